import pytest
import yaml

from visionfleet.config.document import Place, find_places, line_and_column, nearest_place, read


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("1", 1),
        ("-17", -17),
        ("+3", 3),
        ("1.5", 1.5),
        ("1.5e+3", 1500.0),
        ("1e3", "1e3"),
        ("1.5e3", "1.5e3"),
        (".5", 0.5),
        ("-2.", -2.0),
        ('"1"', "1"),
        ("'true'", "true"),
        ('""', ""),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1_000", "1_000"),
        ("012", "012"),
        ("0x1f", "0x1f"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("1.8.3", "1.8.3"),
        (".inf", ".inf"),
        ("9" * 30, "9" * 30),
        ("-", "-"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_follow_yaml_1_2(scalar: str, value: object) -> None:
    if scalar == "-":
        scalar = '"-"'

    document = read(f"key: {scalar}")

    assert not document.faults
    assert document.data == {"key": value}


@pytest.mark.parametrize("key", ["on", "1", "null", "1.5", "true", "~"])
def test_keys_are_text(key: str) -> None:
    assert read(f"{key}: 1").data == {key: 1}


def test_plain_data_is_what_the_usual_loader_makes_of_it() -> None:
    text = "a: [1, two, {b: 3.5, c: [null, true, 'x']}]\nd:\n  - e: f\n    g: |\n      h\n  - []\n  - {}\n"

    assert read(text).data == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("a: &x 1", ["yaml-anchor"]),
        ("a: &x [1]", ["yaml-anchor"]),
        ("&x a: 1", ["yaml-anchor"]),
        ("a: *x", ["yaml-alias"]),
        ("*x : 1", ["yaml-key", "yaml-alias"]),
        ("a: !x 1", ["yaml-tag"]),
        ("a: ! 1", ["yaml-tag"]),
        ("a: !!binary aGk=", ["yaml-tag"]),
        ("!x {a: 1}", ["yaml-tag"]),
        ("<<: {a: 1}", ["yaml-merge"]),
        ("'<<': {a: 1}", []),
        ("a: 1\na: 2\n", ["yaml-duplicate-key"]),
        ("a: 1\n'a': 2\n\"a\": 3\n", ["yaml-duplicate-key", "yaml-duplicate-key"]),
        ("a: {b: 1, b: {c: 1, c: 2}}", ["yaml-duplicate-key", "yaml-duplicate-key"]),
        ("[{a: 1}, {a: 1}]", []),
        ("{a: 1}: 2", ["yaml-key"]),
        ("--- 1\n--- 2\n", ["yaml-documents"]),
        ("a: 1\n...\n", []),
        ("%YAML 3.0\n---\na: 1\n", ["yaml-syntax"]),
        ("a: 1\n\tb: 2\n", ["yaml-tab"]),
        ("a: {\n", ["yaml-syntax"]),
        ("a: 'x\n", ["yaml-syntax"]),
        ("a: @x\n", ["yaml-syntax"]),
        ("a: '\\q'\nb: \"\\q\"\n", ["yaml-syntax"]),
        ("a: " + "[" * 31 + "]" * 31, []),
        ("a: " + "[" * 32 + "]" * 32, ["yaml-depth"]),
        ("a: \ufeffb", ["yaml-character"]),
    ],
)
def test_faults(text: str, codes: list[str]) -> None:
    faults = read(text).faults

    assert [fault.code for fault in faults] == codes
    assert all(fault.rule and fault.fix for fault in faults)


def test_the_first_of_two_values_is_kept_and_named() -> None:
    document = read("a: 1\nb:\n  c: 2\na: 3\n")

    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.faults[0].fix == "remove one of the two: the first is in line 1"


def test_nothing_is_known_below_an_alias() -> None:
    assert read("a: [1, *x]\nb: !t {c: 1}\nd: {<<: {}}").unknown == {("a", 1), ("b",), ("d",)}
    assert read("a: [").unknown == {()}


def test_places_count_from_one_in_characters() -> None:
    places = find_places("ä: [ö, {b: 0x1}]\nc:\n  d: 'e'\n")

    assert places[()] == Place(1, 1, 1, 1, None)
    assert places["ä", 0] == Place(1, 5, 1, 5, "ö")
    assert places["ä", 1, "b"] == Place(1, 12, 1, 9, "0x1")
    assert places["c",] == Place(3, 3, 2, 1, None)
    assert places["c", "d"] == Place(3, 6, 3, 3, "e")
    assert nearest_place(places, ("c", "x", 3)) == places["c",]
    assert nearest_place({}, ("c",)) == Place(1, 1, 1, 1, None)


def test_line_and_column() -> None:
    assert line_and_column("ab\ncd", 0) == (1, 1)
    assert line_and_column("ab\ncd", 4) == (2, 2)
