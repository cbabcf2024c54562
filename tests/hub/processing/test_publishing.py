"""Merging what a task has committed."""

from __future__ import annotations

import json

from visionfleet.hub.processing.publishing import merge_chunks
from visionfleet.hub.processing.results import to_jsonl


class FakeStorage:
    """Chunks by key; notes which are read."""

    def __init__(self, chunks: dict[str, list[str]]) -> None:
        self.chunks = chunks
        self.reads: list[str] = []

    def read(self, key: str) -> bytes:
        self.reads.append(key)
        return to_jsonl({"image": name, "from": key} for name in self.chunks[key])


def test_each_record_comes_from_the_chunk_that_its_image_names_in_the_images_order() -> None:
    storage = FakeStorage({"1": ["c", "a"], "2": ["b", "a"]})
    merged = b"".join(merge_chunks(storage, [("a", "2"), ("b", "2"), ("c", "1")]))
    assert [json.loads(line) for line in merged.splitlines()] == [
        {"image": "a", "from": "2"},
        {"image": "b", "from": "2"},
        {"image": "c", "from": "1"},
    ]


def test_no_chunk_is_read_before_it_is_needed_or_twice() -> None:
    storage = FakeStorage({"1": ["a", "b"], "2": ["c"], "3": ["d"]})
    lines = merge_chunks(storage, [("a", "1"), ("b", "1"), ("c", "2"), ("d", "3")])
    assert [list(storage.reads) for _ in lines] == [["1"], ["1"], ["1", "2"], ["1", "2", "3"]]
