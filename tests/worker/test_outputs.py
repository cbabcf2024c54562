from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.worker.support import JPEG, image_value
from visionfleet.protocol import FileName, PartName
from visionfleet.worker import outputs
from visionfleet.worker.errors import ImageFailed
from visionfleet.worker.outputs import Saving, file_name, part_name, split_outputs

ALL = Saving(images=True)
NONE = Saving(images=False)
PNG = b"\x89PNG\r\n\x1a\n a picture"


def test_images_become_files_and_the_record_refers_to_them() -> None:
    record, files = split_outputs("a.jpg", {"count": 3, "annotated": image_value()}, ALL)
    assert record == {
        "image": "a.jpg",
        "count": 3,
        "annotated": {"type": "file", "part": "annotated", "name": "a.jpg"},
    }
    [file] = files
    assert (file.file.part, file.file.name, file.file.content_type) == ("annotated", "a.jpg", "image/jpeg")
    assert file.data == JPEG


def test_images_are_dropped_where_none_are_saved() -> None:
    record, files = split_outputs("a.jpg", {"annotated": image_value(), "crops": [image_value()]}, NONE)
    assert files == ()
    assert record["annotated"] == {"type": "image", "saved": False}
    assert record["crops"] == [{"type": "image", "saved": False}]


def test_only_the_outputs_asked_for_are_saved() -> None:
    saving = Saving(images=True, only=frozenset({"mask"}))
    record, files = split_outputs("a.jpg", {"annotated": image_value(), "mask": image_value()}, saving)
    assert [file.file.part for file in files] == ["mask"]
    assert record["annotated"] == {"type": "image", "saved": False}


def test_nested_images_are_counted_in_reading_order() -> None:
    value = {"left": [image_value(), {"deep": image_value(PNG)}], "note": "x"}
    record, files = split_outputs("a.jpg", {"crops": value}, ALL)
    assert [file.file.name for file in files] == ["a.jpg.item0.jpg", "a.jpg.item1.png"]
    assert record["crops"] == {
        "left": [
            {"type": "file", "part": "crops", "name": "a.jpg.item0.jpg"},
            {"deep": {"type": "file", "part": "crops", "name": "a.jpg.item1.png"}},
        ],
        "note": "x",
    }


def test_two_outputs_may_have_files_of_one_name() -> None:
    _, files = split_outputs("a.jpg", {"one": image_value(), "two": image_value()}, ALL)
    assert [(file.file.part, file.file.name) for file in files] == [("one", "a.jpg"), ("two", "a.jpg")]


def test_what_a_crop_says_about_its_parent_stays() -> None:
    value = image_value() | {"parent_id": "p", "parent_origin": {"offset_x": math.nan}}
    record, _ = split_outputs("a.jpg", {"crop": value}, ALL)
    assert record["crop"] == {
        "parent_id": "p",
        "parent_origin": {"offset_x": None},
        "type": "file",
        "part": "crop",
        "name": "a.jpg",
    }


@pytest.mark.parametrize(
    "value",
    [
        {"type": "base64"},
        {"type": "base64", "value": 3},
        {"type": "base64", "value": "not base64!"},
        {"type": "base64", "value": "ümläut"},
        {"type": "url", "value": "aGVsbG8="},
    ],
)
def test_what_only_looks_like_an_image_stays(value: dict[str, Any]) -> None:
    record, files = split_outputs("a.jpg", {"out": value}, ALL)
    assert (record["out"], files) == (value, ())


def test_numbers_that_json_does_not_know_become_null() -> None:
    record, _ = split_outputs("a.jpg", {"out": [math.nan, {"x": math.inf}, -math.inf, 1.5]}, ALL)
    assert record["out"] == [None, {"x": None}, None, 1.5]
    json.dumps(record, allow_nan=False)


def test_an_output_called_image_does_not_hide_the_name() -> None:
    record, files = split_outputs("a.jpg", {"image": image_value(), "image_": 1}, ALL)
    assert record["image"] == "a.jpg"
    assert record["image_"] == 1
    assert record["image__"] == {"type": "file", "part": "image", "name": "a.jpg"}
    assert len(files) == 1


def test_bytes_that_are_no_known_image_are_kept_as_such() -> None:
    _, [file] = split_outputs("a.jpg", {"out": image_value(b"who knows")}, ALL)
    assert (file.file.name, file.file.content_type) == ("a.jpg.bin", "application/octet-stream")


def test_too_large_a_record_fails_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MAX_RECORD_BYTES", 100)
    with pytest.raises(ImageFailed, match="the limit is 100") as caught:
        split_outputs("a.jpg", {"out": "x" * 100}, ALL)
    assert caught.value.code == "result_too_large"


def test_too_large_a_file_fails_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MAX_FILE_BYTES", 10)
    with pytest.raises(ImageFailed) as caught:
        split_outputs("a.jpg", {"out": image_value()}, ALL)
    assert caught.value.code == "file_too_large"


def test_too_many_files_fail_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MAX_IMAGE_FILES", 2)
    with pytest.raises(ImageFailed) as caught:
        split_outputs("a.jpg", {"out": [image_value()] * 3}, ALL)
    assert caught.value.code == "too_many_files"


def test_too_deep_a_result_fails_the_image() -> None:
    value: Any = 1
    for _ in range(150):
        value = [value]
    with pytest.raises(ImageFailed) as caught:
        split_outputs("a.jpg", {"out": value}, ALL)
    assert caught.value.code == "result_too_deep"


@pytest.mark.parametrize(
    ("source", "suffix", "item", "expected"),
    [
        ("a.jpg", ".jpg", None, "a.jpg"),
        ("a.JPG", ".jpg", None, "a.JPG"),
        ("a.jpeg", ".jpg", None, "a.jpeg"),
        ("a.png", ".jpg", None, "a.png.jpg"),
        ("a.png", ".png", None, "a.png"),
        ("frame", ".jpg", None, "frame.image.jpg"),
        ("2026.11.24", ".jpg", None, "2026.11.24.image.jpg"),
        ("2026.11.24.jpg", ".jpg", None, "2026.11.24.jpg"),
        ("a.png.jpg", ".jpg", None, "a.png.jpg.jpg"),
        ("a.jpg", ".jpg", 2, "a.jpg.item2.jpg"),
        ("a.jpg.item2.jpg", ".jpg", None, "a.jpg.item2.jpg.jpg"),
    ],
)
def test_file_name(source: str, suffix: str, item: int | None, expected: str) -> None:
    assert file_name(source, suffix, item) == expected


_STEMS = st.sampled_from(["a", "a.b", "frame", "a.item0", "a.image"])
_SUFFIXES = st.lists(st.sampled_from([".jpg", ".JPG", ".jpeg", ".png", ".image", ".item0", ".item1", ""]), max_size=3)
_SOURCES = st.builds(lambda stem, suffixes: stem + "".join(suffixes), _STEMS, _SUFFIXES)
_ITEMS = st.none() | st.integers(0, 2)


@given(_SOURCES, _ITEMS, _SOURCES, _ITEMS)
def test_two_images_never_meet_in_one_name(one: str, item: int | None, other: str, other_item: int | None) -> None:
    # an output is one image for every source or holds several for every source, within one workflow
    same = file_name(one, ".jpg", item) == file_name(other, ".jpg", other_item)
    assert same == ((one, item) == (other, other_item))


@given(st.text(min_size=1, max_size=300), _ITEMS)
def test_every_file_name_is_one_that_the_hub_takes(source: str, item: int | None) -> None:
    name = TypeAdapter[str](FileName).validate_python(file_name(source, ".jpg", item))
    assert len(name.encode()) <= outputs.MAX_NAME_BYTES


@given(st.text(max_size=100))
def test_every_part_is_one_that_the_hub_takes(output: str) -> None:
    TypeAdapter[str](PartName).validate_python(part_name(output))


def test_parts_of_unsafe_names_stay_apart() -> None:
    assert part_name("annotated") == "annotated"
    assert len({part_name("my out"), part_name("my_out"), part_name("my/out")}) == 3
    assert part_name("results") != "results"  # the hub's own
