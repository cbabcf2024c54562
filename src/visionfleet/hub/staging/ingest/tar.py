"""Reads tar archives strictly: POSIX.1-2001 (ustar and pax) and GNU long names.

The blocks are read here, and not by `tarfile.open`, because that takes damage for the end of an archive and reads
extended headers of any size into memory. `tarfile` still parses the header blocks.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_EXTENSION_BYTES = 64 * 1024
MAX_EXTENSIONS = 4
"""Extended headers before one entry: pax, long name and long link at most, and one to spare."""

_BLOCK = tarfile.BLOCKSIZE
_SKIP_BYTES = 1024 * 1024
_ZEROS = bytes(_BLOCK)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}
_EXTENSIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_WITHOUT_DATA = {
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.DIRTYPE: "folder",
    tarfile.FIFOTYPE: "fifo",
}


class BadShard(Exception):
    """This archive cannot be read to its end. `code` is stable, the message is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Member:
    """The header of an entry. `kind` says in words what it is: only "file" holds a file's bytes.

    `name` is as hostile as the archive; bytes in it that are not UTF-8 are surrogates.
    """

    name: str
    kind: str
    size: int


def members(blocks: Blocks) -> Iterator[Member]:
    """Yield the members up to the end marker. Whoever takes one must read or skip its data before the next."""
    block = blocks.read_first()
    while block != _ZEROS:
        yield _read_member(blocks, block)
        block = blocks.read(_BLOCK)
    if blocks.read(_BLOCK) != _ZEROS:
        raise BadShard("shard_damaged", "its end marker is one block of zeros, not two")


def _read_member(blocks: Blocks, block: bytes) -> Member:
    """Read a header and the extended ones before it, of which `block` is the first."""
    records: dict[str, str] = {}
    for _ in range(1 + MAX_EXTENSIONS):
        header = _parse_header(block)
        if header.type not in _EXTENSIONS:
            if header.type == tarfile.GNUTYPE_SPARSE:
                blocks.skip_sparse_map(block)
            return _member(header, records)
        records |= _read_extension(blocks, header)
        block = blocks.read(_BLOCK)
    raise BadShard("shard_damaged", f"an entry has over {MAX_EXTENSIONS} extended headers")


def _parse_header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadShard("shard_damaged", f"a header is damaged: {error}") from error
    if header.size < 0:
        raise BadShard("shard_damaged", "an entry has a negative size")
    return header


def _read_extension(blocks: Blocks, header: tarfile.TarInfo) -> dict[str, str]:
    if header.size > MAX_EXTENSION_BYTES:
        raise BadShard("shard_damaged", f"an extended header has over {MAX_EXTENSION_BYTES} bytes")
    data = blocks.read_padded(header.size)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.partition(b"\0")[0].decode(errors="surrogateescape")}
    return _parse_pax(data) if header.type == tarfile.XHDTYPE else {}


def _parse_pax(data: bytes) -> dict[str, str]:
    """Parse records of the form `LENGTH KEY=VALUE\\n`, where LENGTH counts the whole record."""
    records: dict[str, str] = {}
    start = 0
    while start < len(data):
        digits = data[start : start + 8].partition(b" ")[0]
        end = start + int(digits) if digits.isdigit() else start
        key, equals, value = data[start + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or data[end - 1 : end] != b"\n":
            raise BadShard("shard_damaged", "an extended header is damaged")
        records[key.decode(errors="surrogateescape")] = value.decode(errors="surrogateescape")
        start = end
    return records


def _member(header: tarfile.TarInfo, records: dict[str, str]) -> Member:
    if "size" in records:  # only written for what does not fit the header's own field: over 8 GiB
        raise BadShard("shard_too_large", "it has an entry of over 8 GiB")
    name = records.get("GNU.sparse.name") or records.get("path") or header.name
    size = 0 if header.type in _WITHOUT_DATA else header.size
    return Member(name, _kind(header, records), size)


def _kind(header: tarfile.TarInfo, records: dict[str, str]) -> str:
    if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in records):
        return "sparse file"
    return "file" if header.type in _FILES else _WITHOUT_DATA.get(header.type, "special file")


class Blocks:
    """The archive's bytes, read once and in order. Counts them, and never returns fewer than were asked for."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._left = limit

    def read_first(self) -> bytes:
        """Read the first block, or say what came instead of an archive."""
        block = self._read_up_to(_BLOCK)
        if block == _ZEROS or _is_header(block):
            self._count(_BLOCK)
            return block
        for magic, compression in _COMPRESSED.items():
            if block.startswith(magic):
                raise BadShard("shard_compressed", f"it is compressed ({compression}): send a plain tar archive")
        raise BadShard("not_a_tar", "it does not start with a tar header")

    def read(self, size: int) -> bytes:
        """Read `size` bytes."""
        self._count(size)
        return self._read_exactly(size)

    def read_padded(self, size: int) -> bytes:
        """Read `size` bytes and what fills their last block."""
        data = self.read(size)
        self.read(-size % _BLOCK)
        return data

    def skip_padded(self, size: int) -> None:
        """Pass over `size` bytes and what fills their last block."""
        left = size + -size % _BLOCK
        self._count(left)
        while left:
            left -= len(self._read_exactly(min(left, _SKIP_BYTES)))

    def skip_sparse_map(self, header: bytes) -> None:
        """Pass over the blocks that list where the data of an old GNU sparse file belongs."""
        more = header[482]
        while more:
            more = self.read(_BLOCK)[504]

    def expect_zeros_to_the_end(self) -> None:
        """Read what fills the last record. Anything else, such as a second archive, would be lost without a word."""
        while data := self._read_up_to(_SKIP_BYTES):
            self._count(len(data))
            if data.strip(b"\0"):
                raise BadShard("shard_damaged", "something follows its end marker")

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise BadShard("shard_too_large", f"it has over {self._limit} bytes")

    def _read_exactly(self, size: int) -> bytes:
        data = self._read_up_to(size)
        if len(data) < size:
            raise BadShard("shard_truncated", "it ends in the middle: its end is missing")
        return data

    def _read_up_to(self, size: int) -> bytes:
        """Read `size` bytes, or what there is: a pipe or socket may give them in pieces."""
        pieces: list[bytes] = []
        while size and (piece := self._stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
