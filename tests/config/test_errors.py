import pytest

from visionfleet.config import ConfigError, Problem
from visionfleet.config.errors import looks_secret, near_miss, path_text, shown


def problem(file: str = "visionfleet.yaml", line: int | None = 31, **fields: str) -> Problem:
    parts = {"path": "edge.groups[0].hardware", "value": "orin", "rule": "is not known", "fix": "try", "code": "c"}
    return Problem(file, line, 18 if line else None, **{**parts, **fields})


def test_a_problem_is_two_lines() -> None:
    assert str(problem()) == "visionfleet.yaml:31:18: edge.groups[0].hardware: 'orin' is not known\n  try"
    assert str(problem(line=None, path="", fix="")) == "visionfleet.yaml: 'orin' is not known"


def test_problems_come_in_the_order_of_their_places() -> None:
    error = ConfigError([problem("b"), problem("a", 7), problem("a", None), problem("a", 3)])

    assert [(p.file, p.line) for p in error.problems] == [("a", None), ("a", 3), ("a", 7), ("b", 31)]
    assert str(error).count("\n") == 7


@pytest.mark.parametrize(
    ("value", "start"),
    [("yolo8", "did you mean 'yolov8'? Known: yolov8, vit"), ("YOLOV8", "did you mean"), ("colour", "Known: yolov8")],
)
def test_near_misses(value: str, start: str) -> None:
    assert near_miss(value, ["yolov8", "vit"]).startswith(start)


def test_long_lists_of_known_values_are_cut() -> None:
    assert near_miss("?", [f"demo/{n}" for n in range(1000)]).endswith("demo/15, …")
    assert near_miss("?", []) == "None is known"


@pytest.mark.parametrize(
    "value",
    [
        "rf_Ab12Cd34Ef56",
        "ghp_0123456789abcdef",
        "sk-0123456789abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.e30",
        "-----BEGIN PRIVATE KEY-----",
        "postgresql://hub:hunter2@db/x",
        "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d",
        "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5",
        "anticonstitutionnellement Zm9vYmFyYmF6cXV4MTIz",
        "the key is Zm9vYmFyYmF6cXV4MTIz, they say",
    ],
)
def test_secrets_are_known_by_their_looks(value: str) -> None:
    assert looks_secret(value)
    assert shown(value) == "…"


@pytest.mark.parametrize(
    "value",
    [
        "acme-vision",
        "roboflow/roboflow-inference-server-cpu",
        "https://hub.acme.example:9500",
        "./models/demo-1",
        "./Models/Line3-Detector-v2",
        "demo/1234567890",
        "1.8.3",
    ],
)
def test_ordinary_values_are_shown(value: str) -> None:
    assert shown(value) == value


def test_anything_under_a_secret_key_is_hidden() -> None:
    assert shown("x", "hub.signing_key") == "…"
    assert shown("x", "api_key") == "…"


def test_values_are_shown_short_and_on_one_line() -> None:
    assert shown("a\nb\x1b[0m\u202e") == "a\\nb\\x1b[0m\\u202e"
    assert shown("-" * 100) == "-" * 60 + "…"
    assert path_text(("a", 0, "b\nc", "d")) == "a[0].b\\nc.d"
