import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionfleet.hub.objects.signing import Signer
from visionfleet.hub.objects.storage import ObjectMissing, Storage
from visionfleet.hub.processing import results
from visionfleet.hub.processing.results import (
    NEUTRALISED,
    ROWS_A_CHUNK,
    columns_of,
    merge_csv,
    merge_jsonl,
    to_csv,
    to_jsonl,
)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.open(SimpleNamespace(storage=tmp_path / "storage"), Signer(b"k" * 32))


def rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def restored(cell: str) -> str:
    return cell[1:] if NEUTRALISED.match(cell) else cell


def test_jsonl_is_a_compact_line_for_each_record() -> None:
    data = to_jsonl([{"image": "größe.jpg", "n": 1, "nested": {"a": [1.5, None, True]}}, {}])
    assert data.decode() == '{"image":"größe.jpg","n":1,"nested":{"a":[1.5,null,true]}}\n{}\n'
    assert to_jsonl([]) == b""


def test_numbers_that_json_does_not_have_become_null() -> None:
    record = {"a": float("nan"), "b": [float("inf"), {"c": float("-inf")}], "d": 1e300}
    assert to_jsonl([record]) == b'{"a":null,"b":[null,{"c":null}],"d":1e+300}\n'
    assert rows(b"".join(to_csv([record], ["a", "b"])))[1] == ["null", '[null,{"c":null}]']


def test_csv_cells() -> None:
    record = {
        "image": "a,b.jpg", "none": None, "yes": True, "count": -5, "share": 0.25, "text": 'say "hi"\r\nthere',
        "nested": {"class": "é", "box": [1, 2]}, "unasked": 1,
    }  # fmt: skip
    columns = ["image", "none", "yes", "count", "share", "text", "nested", "missing"]
    data = b"".join(to_csv([record], columns))
    assert data.startswith(b"image,none,yes,count,share,text,nested,missing\r\n")
    assert rows(data)[1] == [
        "a,b.jpg", "", "true", "-5", "0.25", 'say "hi"\r\nthere', '{"class":"é","box":[1,2]}', "",
    ]  # fmt: skip


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'=", "''+"])
def test_text_that_a_spreadsheet_would_run_is_neutralised(start: str) -> None:
    text = f"{start}cmd|' /C calc'!A0"
    (header, row) = rows(b"".join(to_csv([{text: text}], [text])))
    assert header == row == [f"'{text}"]
    assert restored(row[0]) == text


@pytest.mark.parametrize("text", ["'tis", "a=b", "5", "", "{", " "])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert rows(b"".join(to_csv([{"a": text, "b": ""}], ["a", "b"])))[1] == [text, ""]


def test_columns_are_the_union_with_the_image_first() -> None:
    assert columns_of([{"image": "a", "z": 1}, {"b": 1, "image": "b"}, {"A": 2}]) == ("image", "A", "b", "z")
    assert columns_of([]) == ("image",)


def test_a_long_csv_comes_in_pieces() -> None:
    pieces = list(to_csv(({"image": str(n)} for n in range(2 * ROWS_A_CHUNK + 1)), ["image"]))
    assert len(pieces) == 3
    assert len(rows(b"".join(pieces))) == 2 * ROWS_A_CHUNK + 2


def test_merged_results_keep_the_order_of_the_objects(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put("2", to_jsonl([{"image": "a", "x": 1}, {"image": "b"}]))
    storage.put("empty", b"")
    storage.put("1", b'{"image":"c","y":"\xc3\xa9"}')  # without a newline at its end
    keys = ["2", "empty", "1"]
    whole = b'{"image":"a","x":1}\n{"image":"b"}\n{"image":"c","y":"\xc3\xa9"}\n'
    csv_rows = [["image", "x", "y"], ["a", "1", ""], ["b", "", ""], ["c", "", "é"]]
    assert b"".join(merge_jsonl(storage, keys)) == whole
    assert rows(b"".join(merge_csv(storage, keys))) == csv_rows

    # the same where an object arrives in pieces that break lines and characters
    stored = {key: storage.read(key) for key in keys}
    monkeypatch.setattr(storage, "stream", lambda key: (bytes([byte]) for byte in stored[key]))
    assert b"".join(merge_jsonl(storage, keys)) == whole
    assert rows(b"".join(merge_csv(storage, keys))) == csv_rows


def test_merging_what_is_missing(storage: Storage) -> None:
    for merge in (merge_jsonl, merge_csv):
        with pytest.raises(ObjectMissing):
            list(merge(storage, ["nope"]))
    assert list(merge_jsonl(storage, [])) == []
    assert b"".join(merge_csv(storage, [])) == b"image\r\n"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
records = st.lists(st.dictionaries(names, json_values, max_size=4), max_size=6)


@given(records)
def test_jsonl_round_trip(some: list[dict[str, object]]) -> None:
    lines = list(results._lines(iter([to_jsonl(some)])))
    assert [json.loads(line) for line in lines] == some


@given(records, st.integers(1, 7))
def test_lines_do_not_depend_on_how_they_arrive(some: list[dict[str, object]], size: int) -> None:
    data = to_jsonl(some)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert list(results._lines(pieces)) == data.split(b"\n")[:-1]


@given(records)
def test_csv_round_trip(some: list[dict[str, object]]) -> None:
    columns = columns_of(some)
    header, *body = rows(b"".join(to_csv(some, columns)))
    assert tuple(map(restored, header)) == columns
    assert len(body) == len(some)
    for record, row in zip(some, body, strict=True):
        for column, cell in zip(columns, row, strict=True):
            value = record.get(column)
            if isinstance(value, str):
                assert restored(cell) == value.encode(errors="backslashreplace").decode()
            else:
                assert (json.loads(cell) if cell else None) == value
