"""Devices from files of their own: CSV as spreadsheets save it, and an object a line."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.config.support import problems_of, write_file
from visionfleet.config import ConfigError, load
from visionfleet.config.devices import MAX_DEVICES_BYTES, MAX_DEVICES_PROBLEMS, read_devices
from visionfleet.config.edge import Device
from visionfleet.config.rows import row_at

in_a_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

GROUP = "edge: {{groups: [{{name: a, hardware: raspberry-pi-5, devices_from: ./{}}}]}}\n"


def load_devices(folder: Path, name: str, content: str | bytes) -> tuple[Device, ...]:
    """The devices that a group has from a file of this name and content."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(write_file(folder, GROUP.format(name))).edge.groups[0].devices


def problems_with(folder: Path, name: str, content: str | bytes) -> list[tuple[int | None, int | None, str]]:
    """Line, column and code of each problem of such a file."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = problems_of(write_file(folder, GROUP.format(name)))
    assert all(problem.file.endswith(name) for problem in problems)
    return [(problem.line, problem.column, problem.code) for problem in problems]


def test_an_empty_cell_says_nothing(tmp_path: Path) -> None:
    text = "name,address,site,version,exposure,models,label:ring,label:line\na,10.0.0.1,,,,,,7\n"

    (device,) = load_devices(tmp_path, "devices.csv", text)

    assert device == Device(name="a", address="10.0.0.1", labels={"line": "7"})
    assert device.model_fields_set == {"name", "address", "labels"}


@pytest.mark.parametrize(
    "content",
    [
        b"name,address\na,10.0.0.1\n",
        b"\xef\xbb\xbfname,address\r\na,10.0.0.1\r\n",
        b"address,name\n10.0.0.1,a",
        b'"name","address"\n"a", "10.0.0.1"\n',
        b" name , address \n\n,\n a,10.0.0.1 \n,\n\n",
    ],
)
def test_csv_is_read_as_spreadsheets_save_it(content: bytes, tmp_path: Path) -> None:
    assert load_devices(tmp_path, "devices.csv", content) == (Device(name="a", address="10.0.0.1"),)


def test_devices_of_a_file_stand_behind_those_of_the_group(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"name": "b", "address": "b"}\n', encoding="utf-8")
    group = "{name: a, hardware: raspberry-pi-5, devices: [{name: a, address: a}], devices_from: ./d.jsonl}"

    (group,) = load(write_file(tmp_path, f"edge: {{groups: [{group}]}}\n")).edge.groups

    assert [device.name for device in group.devices] == ["a", "b"]
    assert group.devices_from == tmp_path / "d.jsonl"


def test_cells_that_hold_lists_have_blanks_between_entries(tmp_path: Path) -> None:
    text = "name,address,models,workflows\na,10.0.0.1,demo/1  demo/2,\n"

    found = problems_with(tmp_path, "devices.csv", text)

    assert found == [(2, 12, "unknown-model"), (2, 20, "unknown-model")]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", [(1, 1, "csv-header")]),
        ("\n ,\n", [(1, 1, "csv-header")]),
        ("name,address", []),
        ("name\n", [(1, 1, "csv-header")]),
        ("name;address\na;b\n", [(1, 1, "csv-header")]),
        ("name,address,name\na,b,c\n", [(1, 14, "csv-header")]),
        ("name,address,labels\n", [(1, 14, "csv-header")]),
        ("name,address,password\n", [(1, 14, "csv-header")]),
        ("name,address,\n", [(1, 14, "csv-header")]),
        ("name,address,label:\n", [(1, 14, "csv-header")]),
        ('name,"address\na,b\n', [(1, 1, "csv-quotes")]),
        ('name,address\n"a"b,c\nd,e f\n', [(2, 1, "csv-quotes"), (3, 3, "bad-text")]),
        ("name,address\na,b,c\nd\n", [(2, 1, "csv-cells"), (3, 1, "csv-cells")]),
        ("name,address\n,b\na,\n", [(2, 1, "missing"), (3, 3, "missing")]),
        ("name,address\na,b\na,b\n", [(3, 1, "duplicate-name"), (3, 3, "duplicate-address")]),
        ("name,address\n\x00,b\n", [(2, 1, "bad-text")]),
    ],
)
def test_csv_that_holds_no_devices(content: str, found: list[Any], tmp_path: Path) -> None:
    assert problems_with(tmp_path, "devices.csv", content) == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", []),
        ("[]\n", [(1, 1, "json-kind")]),
        ('{"name": "a"\n"address": "b"}\n', [(1, 13, "json-syntax"), (2, 10, "json-syntax")]),
        ('{"name": "a", "address": NaN}\n', [(1, 1, "json-syntax")]),
        ('{"name": "a", "name": "b"}\n', [(1, 1, "json-syntax")]),
        ("[" * 100_000, [(1, 1, "json-syntax")]),
        ('\n{"name": "a", "address": 1}\n', [(2, 26, "wrong-kind")]),
        ('{"name": "a", "address": "b", "labels": {"x": "X"}}', [(1, 47, "bad-text")]),
        ('{"name": "a", "address": "b", "labels": {"X": "x"}}', [(1, 42, "bad-text")]),
        ('{"name": "a", "address": "b", "sight": "x"}\r\n', [(1, 31, "unknown-key")]),
    ],
)
def test_lines_that_hold_no_devices(content: str, found: list[Any], tmp_path: Path) -> None:
    assert problems_with(tmp_path, "devices.jsonl", content) == found


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("devices.csv", b"name,address\ncaf\xe9,b\n", "file-encoding"),
        ("devices.csv", b"#" * (MAX_DEVICES_BYTES + 1), "file-too-large"),
        ("devices.csv", "name,address\na,b\n".encode("utf-16"), "file-encoding"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes, code: str, tmp_path: Path) -> None:
    assert [found[2] for found in problems_with(tmp_path, name, content)] == [code]


def test_problems_without_end_are_cut_off(tmp_path: Path) -> None:
    found = problems_with(tmp_path, "devices.csv", "name,address\n" + "a\n" * (MAX_DEVICES_PROBLEMS + 10))

    assert len(found) == MAX_DEVICES_PROBLEMS + 1
    assert found[-1][2] == "too-many-problems"


def test_what_is_wrong_elsewhere_is_shown_beside(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("name,address\na,b c\n", encoding="utf-8")

    problems = problems_of(write_file(tmp_path, GROUP.format("d.csv") + "hub: {prot: 1}\n"))

    assert [(Path(problem.file).name, problem.path) for problem in problems] == [
        ("d.csv", "address"),
        ("visionfleet.yaml", "hub.prot"),
    ]


def test_a_name_that_stands_in_another_file_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("address,name\n10.0.0.1,dock\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"address": "10.0.0.2", "name": "dock"}\n', encoding="utf-8")
    groups = ", ".join(
        f"{{name: {name[0]}, hardware: raspberry-pi-5, devices_from: ./{name}}}" for name in ("a.csv", "b.jsonl")
    )

    (problem,) = problems_of(write_file(tmp_path, f"edge: {{groups: [{groups}]}}\n"))

    assert (problem.file, problem.line, problem.column) == ("b.jsonl", 1, 33)
    assert problem.rule == "is also the name of a.csv:2"


def test_locations_outside_of_rows_lead_to_none() -> None:
    assert row_at({"edge": {"groups": [{"devices": [{}]}]}}, ("edge", "groups", 0, "devices", 7, "name")) is None
    assert row_at({}, ()) is None


LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
DEVICES = st.lists(
    st.fixed_dictionaries(
        {"name": LABELS, "address": st.ip_addresses().map(str)},
        optional={
            "site": LABELS,
            "version": st.just("1.8.3"),
            "exposure": st.sampled_from(["lan", "localhost"]),
            "labels": st.dictionaries(st.sampled_from(["ring", "line"]), LABELS, min_size=1),
        },
    ),
    unique_by=(lambda device: device["name"], lambda device: device["address"]),
    max_size=5,
)
COLUMNS = ("name", "address", "site", "version", "exposure", "label:ring", "label:line")


def as_csv(devices: list[dict[str, Any]], quoting: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(COLUMNS)
    for device in devices:
        labels = {f"label:{key}": value for key, value in device.get("labels", {}).items()}
        writer.writerow([(device | labels).get(column, "") for column in COLUMNS])
    return text.getvalue()


@in_a_folder
@given(DEVICES, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_all_forms_of_a_list_are_one(tmp_path: Path, devices: list[dict[str, Any]], quoting: int) -> None:
    lines = "".join(f"{json.dumps(device)}\n" for device in devices)
    inline = f"edge: {{groups: [{{name: a, hardware: raspberry-pi-5, devices: {json.dumps(devices)}}}]}}\n"

    expected = load(write_file(tmp_path, inline)).edge.groups[0].devices

    assert load_devices(tmp_path, "devices.jsonl", lines) == expected
    assert load_devices(tmp_path, "devices.csv", as_csv(devices, quoting)) == expected


TEXTS = st.lists(
    st.sampled_from(["name", "address", "label:x", ",", '"', "\n", "\r\n", "\r", "a", " ", "1.8", "\t", ";", "\0", "é"])
    | st.text(max_size=3)
).map("".join)


@in_a_folder
@given(TEXTS, st.sampled_from(["devices.csv", "devices.jsonl"]))
@example("name,address\n\u2028,\x85\n", "devices.csv")
@example('{"name": {"a": [[[[1]]]]}, "labels": {"": 1}}', "devices.jsonl")
@example('{"\\ud800": "\\ud800", "labels": {"\\ud800": "\\ud800"}, "models": ["\\ud800"]}', "devices.jsonl")
def test_any_text_is_read_or_refused(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(write_file(tmp_path, GROUP.format(name)))
    except ConfigError as error:
        for problem in error.problems:
            assert problem.file.endswith(name)
            assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1
            assert problem.rule
            assert problem.fix
            assert len(str(problem).splitlines()) == 2
            str(problem).encode()


def test_rows_know_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_text('name,address,label:ring\n"a", b ,"x ""y"""\n', encoding="utf-8")

    (row,), problems = read_devices(path)

    assert problems == []
    places = row.places()
    assert {at: (place.line, place.column, place.text) for at, place in places.items() if len(at) == 1} == {
        ("name",): (2, 1, "a"),
        ("address",): (2, 6, "b"),
    }
    assert (places[("labels", "ring")].column, places[("labels", "ring")].text) == (9, 'x "y"')
