import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
from typing import BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visionfleet.hub.staging.ingest import BadShard, Entry, Notification, Rejected, ShardLimits, read_shard
from visionfleet.hub.staging.ingest.tar import MAX_EXTENSION_BYTES

Item = Entry | Rejected | Notification

BLOCK = 512
SHARD_CODES = {
    "not_a_tar", "shard_compressed", "shard_truncated", "shard_damaged", "shard_too_many_entries", "shard_too_large",
}  # fmt: skip
ENTRY_CODES = {
    "file_name_invalid", "entry_duplicate", "entry_too_large", "entry_not_a_file", "notification_invalid",
}  # fmt: skip


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def archive(*entries: tuple[str | tarfile.TarInfo, bytes], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
        for entry, data in entries:
            info = member(entry) if isinstance(entry, str) else entry
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(data: bytes, **limits: int) -> list[Item]:
    return list(read_shard(io.BytesIO(data), ShardLimits(**limits)))


def refusal(data: bytes, **limits: int) -> str:
    with pytest.raises(BadShard) as error:
        read(data, **limits)
    assert str(error.value)
    return error.value.code


def rejection(*entries: tuple[str | tarfile.TarInfo, bytes], **limits: int) -> Rejected:
    """What becomes of the entry in the middle of two good ones."""
    items = read(archive(("first.jpg", b"1"), *entries, ("last.jpg", b"2")), **limits)
    assert (items[0], items[-1]) == (Entry("first.jpg", b"1"), Entry("last.jpg", b"2"))
    (rejected,) = items[1:-1]
    assert isinstance(rejected, Rejected)
    assert rejected.reason
    return rejected


def test_what_the_command_line_packs(tmp_path) -> None:
    names = ["a.jpg", "b c.JPG", "größe.png", "x" * 200 + ".jpg"]
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as tar:
        for name in names:
            (tmp_path / name).write_bytes(name.encode() * 100)
            tar.add(tmp_path / name, arcname=name)
        config = json.dumps({"ingestId": "abc", "notificationsURL": "https://example.com/hook"}).encode()
        tar.addfile(member("notification_config.json", size=len(config)), io.BytesIO(config))
    with path.open("rb") as stream:
        items = list(read_shard(stream))
    assert items == [
        *(Entry(name, name.encode() * 100) for name in names),
        Notification("https://example.com/hook", "abc"),
    ]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 10_000])
def test_every_format_and_size(tar_format: int, size: int) -> None:
    data = archive(("a.jpg", b"x" * size), ("b.jpg", b"y"), tar_format=tar_format)
    assert read(data) == [Entry("a.jpg", b"x" * size), Entry("b.jpg", b"y")]


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tar_format: int) -> None:
    for name, kind in (("é" * 120, Entry), ("x" * 255, Entry), ("x" * 256, Rejected), ("x" * 5000, Rejected)):
        (item,) = read(archive((name, b"1"), tar_format=tar_format))
        assert isinstance(item, kind)
        assert len(item.name) <= 255


def test_an_empty_archive_holds_nothing() -> None:
    assert read(archive()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg", "..", ".", "/etc/passwd", "folder/a.jpg", "./a.jpg", "a/../b.jpg", "C:\\a.jpg", "..\\a.jpg",
        ".hidden", "a\nb.jpg", "a\x7f.jpg", "a\x1b[31m.jpg", "x" * 256, "\udcff.jpg",
    ],
)  # fmt: skip
def test_a_bad_name_is_rejected_and_the_rest_goes_on(name: str) -> None:
    rejected = rejection((name, b"x" * 1000))
    assert rejected.code == "file_name_invalid"
    assert rejected.name.isprintable()
    rejected.name.encode()


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "fifo"),
        (tarfile.DIRTYPE, "folder"),
        (b"Z", "special file"),
    ],
)
def test_what_is_not_a_file_is_rejected(kind: bytes, word: str) -> None:
    rejected = rejection((member("b.jpg", kind, linkname="/etc/passwd"), b""))
    assert (rejected.name, rejected.code) == ("b.jpg", "entry_not_a_file")
    assert word in rejected.reason


def test_a_link_that_claims_a_size_has_no_data() -> None:
    link = bytearray(archive((member("b.jpg", tarfile.SYMTYPE, linkname="x"), b""), tar_format=tarfile.USTAR_FORMAT))
    link[124:136] = b"00000001000\0"
    checksum = sum(link[:148]) + 8 * 32 + sum(link[156:512])
    link[148:156] = b"%06o\0 " % checksum
    items = read(bytes(link[:BLOCK]) + archive(("c.jpg", b"1")))
    assert [item.name for item in items] == ["b.jpg", "c.jpg"]


def test_a_special_entry_of_an_unknown_kind_is_skipped_with_its_data() -> None:
    assert rejection((member("b.jpg", b"Z"), b"x" * 3000)).code == "entry_not_a_file"


@pytest.mark.parametrize("key", ["GNU.sparse.major", "GNU.sparse.map"])
def test_a_sparse_file_of_the_pax_kind(key: str) -> None:
    sparse = member("GNUSparseFile.0/b.jpg", pax_headers={key: "1", "GNU.sparse.name": "b.jpg"})
    assert rejection((sparse, b"x" * 600)) == Rejected("b.jpg", "entry_not_a_file", "it is a sparse file, not a file")


def test_a_sparse_file_of_the_old_kind_is_skipped_with_its_map() -> None:
    header = bytearray(archive((member("b.jpg", b"S"), b""), tar_format=tarfile.GNU_FORMAT)[:BLOCK])
    header[124:136] = b"%011o\0" % 600
    header[345:500] = bytes(155)
    header[482] = 1
    header[483:495] = b"%011o\0" % 99_999
    checksum = sum(header[:148]) + 8 * 32 + sum(header[156:])
    header[148:156] = b"%06o\0 " % checksum
    more, last = bytearray(BLOCK), bytearray(BLOCK)
    more[504] = 1
    data = bytes(header + more + last) + b"x" * 1024 + archive(("c.jpg", b"1"))
    assert read(data) == [
        Rejected("b.jpg", "entry_not_a_file", "it is a sparse file, not a file"),
        Entry("c.jpg", b"1"),
    ]


def test_a_duplicate_is_rejected() -> None:
    assert rejection(("first.jpg", b"other")).code == "entry_duplicate"


def test_an_oversize_entry_is_skipped_without_being_held() -> None:
    big = archive(("first.jpg", b"1"), ("big.jpg", bytes(30 * 1024 * 1024)), ("last.jpg", b"2"))
    stream = io.BytesIO(big)
    tracemalloc.start()
    names = [(item.name, getattr(item, "code", "")) for item in read_shard(stream, ShardLimits(entry_bytes=1000))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert names == [("first.jpg", ""), ("big.jpg", "entry_too_large"), ("last.jpg", "")]
    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize(
    "content",
    [
        b"", b"nope", b"[]", b"{}", b'{"notificationsURL": 5}', b'{"notificationsURL": "http://x", "ingestId": 7}',
        b"[" * 60_000, b"\xff\xfe", b'{"notificationsURL": "http://x\\n"}', b'{"notificationsURL": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_bad_notification_is_rejected(content: bytes) -> None:
    assert rejection(("notification_config.json", content)).code == "notification_invalid"


def test_a_huge_notification_is_not_read() -> None:
    assert rejection(("notification_config.json", b"x" * 70_000)).code == "entry_too_large"


def test_a_notification_needs_no_ingest_id() -> None:
    assert read(archive(("notification_config.json", b'{"notificationsURL": "http://x"}'))) == [
        Notification("http://x", None)
    ]


@pytest.mark.parametrize("data", [b"", b"x", b"\xff\xd8\xff" + b"x" * 2000, b"x" * 511, bytes(100)])
def test_what_is_not_a_tar(data: bytes) -> None:
    assert refusal(data) == "not_a_tar"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_is_refused_by_its_name(compress) -> None:
    assert refusal(compress(archive(("a.jpg", b"1")))) == "shard_compressed"


@pytest.mark.parametrize("name", ["PK1.jpg", "BZh9.jpg"])
def test_a_name_that_looks_like_a_compressed_file_is_a_name(name: str) -> None:
    assert read(archive((name, b"1"), tar_format=tarfile.USTAR_FORMAT)) == [Entry(name, b"1")]


def test_a_truncated_end_is_never_taken_for_the_end() -> None:
    whole = archive(("a.jpg", b"1" * 700), ("b.jpg", b"2"), tar_format=tarfile.USTAR_FORMAT)
    end = BLOCK * 5  # header, 2 blocks, header, block
    for length in range(BLOCK, end + 2 * BLOCK, 64):
        assert refusal(whole[:length]) == "shard_truncated"
    assert len(read(whole[: end + 2 * BLOCK])) == 2


def test_a_lone_zero_block_is_damage() -> None:
    whole = archive(("a.jpg", b"1"), tar_format=tarfile.USTAR_FORMAT)
    assert refusal(whole[: 2 * BLOCK] + bytes(BLOCK) + whole[: 2 * BLOCK]) == "shard_damaged"


def test_what_follows_the_end_is_not_lost_without_a_word() -> None:
    assert refusal(archive(("a.jpg", b"1")) + archive(("b.jpg", b"2"))) == "shard_damaged"
    assert refusal(archive(("a.jpg", b"1")) + b"x") == "shard_damaged"


def test_a_damaged_header_is_never_taken_for_the_end() -> None:
    data = bytearray(archive(("a.jpg", b"1"), ("b.jpg", b"2"), tar_format=tarfile.USTAR_FORMAT))
    data[2 * BLOCK] ^= 1
    assert refusal(bytes(data)) == "shard_damaged"


def test_a_negative_size_is_damage() -> None:
    header = member("a.jpg", size=-512).tobuf(tarfile.GNU_FORMAT)
    assert refusal(header + bytes(1024)) == "shard_damaged"


def test_an_entry_of_8_gib_is_refused_before_anything_is_read() -> None:
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert refusal(member("a.jpg", size=9 * 1024**3).tobuf(tar_format) + bytes(1024)) == "shard_too_large"


def test_a_bomb_of_extended_headers() -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        header = member("x", kind, size=MAX_EXTENSION_BYTES + 1).tobuf(tarfile.GNU_FORMAT)
        assert refusal(header + bytes(200_000)) == "shard_damaged"
        header = member("x", kind, size=0).tobuf(tarfile.GNU_FORMAT)
        assert refusal(header * 5 + archive(("a.jpg", b"1"))) == "shard_damaged"
        assert len(read(header * 4 + archive(("a.jpg", b"1"), tar_format=tarfile.USTAR_FORMAT))) == 1


@pytest.mark.parametrize(
    "records",
    [b"x", b"0 a=b\n", b"3 a=b\n", b"99 a=b\n", b"6 a=b ", b"6 a:b\n", b"-6 a=b\n", b"6 a=b\n0", b"\xb2 a=\n"],
)
def test_damaged_pax_records(records: bytes) -> None:
    header = member("x", tarfile.XHDTYPE, size=len(records)).tobuf(tarfile.USTAR_FORMAT)
    assert refusal(header + records.ljust(BLOCK, b"\0") + archive(("a.jpg", b"1"))) == "shard_damaged"


def test_limits() -> None:
    three = archive(*((f"{n}.jpg", b"x") for n in range(3)), tar_format=tarfile.USTAR_FORMAT)
    assert len(read(three, entries=3)) == 3
    assert refusal(three, entries=2) == "shard_too_many_entries"
    assert len(read(three, total_bytes=len(three))) == 3
    assert refusal(three, total_bytes=len(three) - 1) == "shard_too_large"


def test_a_stream_that_comes_in_pieces() -> None:
    class Trickle(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._file = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self._file.read(min(size, 100))

    stream: BinaryIO = Trickle(archive(("a.jpg", b"1" * 5000)))  # type: ignore[assignment]
    assert list(read_shard(stream)) == [Entry("a.jpg", b"1" * 5000)]


class Counting(io.BytesIO):
    """Remembers the largest read: what a reader holds at once."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.largest = max(self.largest, size)
        return super().read(size)


def read_anything(data: bytes) -> list[Item] | str:
    """Read hostile bytes, and check what must hold for any of them."""
    limits = ShardLimits(entries=8, entry_bytes=2000, total_bytes=50_000)
    stream = Counting(data)
    items: list[Item] = []
    code = ""
    try:
        items.extend(read_shard(stream, limits))
    except BadShard as error:
        code = error.code
        assert code in SHARD_CODES
    assert stream.largest <= 1024 * 1024
    assert len(items) <= limits.entries
    names = [item.name for item in items if isinstance(item, Entry)]
    assert len(names) == len(set(names))
    for item in items:
        if isinstance(item, Entry):
            assert item.name not in {"", ".", ".."}
            assert not {"/", "\\", "\0", "\n"} & set(item.name)
            assert len(item.name.encode()) <= 255
            assert len(item.data) <= limits.entry_bytes
        elif isinstance(item, Rejected):
            assert item.code in ENTRY_CODES
            assert item.name.isprintable()
    return code or items


names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
    st.sampled_from(["a.jpg", "b.jpg", "../x", "/x", "notification_config.json"]),
)
kinds = st.one_of(st.just(tarfile.REGTYPE), st.binary(min_size=1, max_size=1))
entries = st.builds(
    lambda name, kind, link: member(name, kind, linkname=link), names, kinds, st.text("abc/.", max_size=200)
)
archives = st.builds(
    lambda items, tar_format: archive(*items, tar_format=tar_format),
    st.lists(st.tuples(entries, st.binary(max_size=3000)), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)


@given(archives)
def test_any_archive(data: bytes) -> None:
    read_anything(data)


@given(st.binary(max_size=2000))
@example(bytes(1024))
def test_any_bytes(data: bytes) -> None:
    read_anything(data)


@given(archives, st.data())
def test_any_truncated_archive_is_noticed(data: bytes, draw: st.DataObject) -> None:
    whole = read_anything(data)
    cut = read_anything(data[: draw.draw(st.integers(0, len(data)))])
    assert cut == whole or isinstance(cut, str)  # the same where nothing but zeros behind the end marker is missing


@given(archives, st.data())
def test_any_damaged_archive(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for position in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=4)):
        damaged[position] ^= draw.draw(st.integers(1, 255))
    read_anything(bytes(damaged))


safe_names = st.text(
    st.characters(categories=["L", "N"]) | st.sampled_from(" ._-()#%+"), min_size=1, max_size=80
).filter(lambda name: not name.startswith("."))


@given(
    st.dictionaries(safe_names, st.binary(max_size=2000), max_size=8),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
@settings(deadline=None)
def test_a_good_archive_yields_exactly_its_files(files: dict[str, bytes], tar_format: int) -> None:
    assert read(archive(*files.items(), tar_format=tar_format)) == [Entry(*file) for file in files.items()]
