"""What of an answer must be as expected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.device.device import NEW, a_release
from visionfleet_device.golden import difference, request


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ({}, {"anything": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None, "c": 3}]}),
        (0.90, 0.86),
        (400, 385.5),
        (400.0, 385),
        (0, 0.04),
        ("screw", "screw"),
        (True, True),
        ([], []),
    ],
)
def test_is_the_same(expected: object, answer: object) -> None:
    assert difference(expected, answer, 0.05) is None


@pytest.mark.parametrize(
    ("expected", "answer", "said"),
    [
        ({"a": 1}, {}, "the answer has no 'a'"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "the answer.a.b is 2, expected 1"),
        ({"a": {}}, {"a": None}, "the answer.a is null, expected an object"),
        ({"a": 1}, None, "the answer is null, expected an object"),
        ([1], [1, 2], "the answer has 2 entries, expected 1"),
        ([1], {"0": 1}, 'the answer is {"0": 1}, expected a list'),
        ([1, 2], [1, 3], "the answer[1] is 3, expected 2"),
        (0.90, 0.84, "the answer is 0.84, expected 0.9 within 0.05"),
        (400, 370.0, "the answer is 370.0, expected 400 within 0.05"),
        (100, 101, "the answer is 101, expected 100"),
        (1.0, float("nan"), "the answer is nan, expected 1.0 within 0.05"),
        (1, True, "the answer is true, expected 1"),
        (True, 1, "the answer is 1, expected true"),
        (0, None, "the answer is null, expected 0"),
        ("screw", "nail", 'the answer is "nail", expected "screw"'),
        ("x" * 200, 1, f'the answer is 1, expected "{"x" * 76}…'),
    ],
)
def test_is_not_the_same(expected: object, answer: object, said: str) -> None:
    assert difference(expected, answer, 0.05) == said


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_everything_is_as_itself(value: object) -> None:
    assert difference(value, json.loads(json.dumps(value)), 0.0) is None


@given(expected=JSON, answer=JSON)
def test_no_answer_breaks_the_comparison(expected: object, answer: object) -> None:
    found = difference(expected, answer, 0.05)
    assert found is None or found.startswith("the answer")


def test_a_model_is_asked_by_the_route_of_its_task() -> None:
    golden = a_release(NEW)["goldens"][0]
    path, body = request(a_release(NEW), golden, b"\xff")
    assert path == "/infer/object_detection"
    assert body == {"model_id": "screws/3", "image": {"type": "base64", "value": "/w=="}}


def test_a_workflow_is_asked_by_its_name() -> None:
    golden = {"name": "count", "workflow": "count-screws", "model": None}
    path, body = request(a_release(NEW), golden, b"\xff")
    assert path == "/infer/workflows/acme/count-screws"
    assert body == {"inputs": {"image": {"type": "base64", "value": "/w=="}}}
    assert "photo" in request(a_release(NEW), {**golden, "image_input": "photo"}, b"")[1]["inputs"]
