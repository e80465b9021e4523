"""Splits of files hold every record once, wherever they are cut."""

import datetime
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower_tf import storage
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.lines import Unreadable, lines_before, read_line_blocks
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit, splits_of
from twotower_tf.errors import InputError

DAY = datetime.date(2026, 1, 2)


def lines_with_numbers(path, start, stop):
    before = lines_before(str(path), start)
    for block in read_line_blocks(str(path), start, stop):
        yield from enumerate(block.lines, before + block.first + 1)


@given(st.lists(st.binary(max_size=5)), st.lists(st.integers(0, 40)), st.booleans())
def test_a_line_is_in_the_split_it_starts_in_and_knows_its_number(
    tmp_path_factory, pieces, cuts, ended
):
    content = b"\n".join(pieces) + b"\n" * ended
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_bytes(content)
    bounds = sorted({0, *(cut for cut in cuts if cut < len(content))})
    found = []
    for start, stop in zip(bounds, [*bounds[1:], None], strict=True):
        own = list(lines_with_numbers(path, start, stop))
        begins = [len(b"".join(line + b"\n" for line in _lines(content)[: n - 1])) for n, _ in own]
        assert all(start <= begin and (stop is None or begin < stop) for begin in begins)
        found += own
    assert found == list(enumerate(_lines(content), 1))


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def test_long_lines_cross_the_blocks_they_are_read_in(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [b"a" * (5 << 20), b"b", b"c" * (9 << 20), b"d"]
    path.write_bytes(b"\n".join(lines))
    assert [line for _, line in lines_with_numbers(path, 0, None)] == lines
    assert list(lines_with_numbers(path, 1, (5 << 20) + 2)) == [(2, b"b")]
    assert list(lines_with_numbers(path, 10, 20)) == []


def test_parquet_is_divided_between_row_groups(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": range(100)}), path, row_group_size=10, compression="none")
    file = SourceFile(str(path), "parquet", DAY)
    size = sum(splits_sizes(path))
    splits = splits_of(file, size // 3)
    assert 3 <= len(splits) <= 5
    assert [split.start for split in splits[1:]] == [split.stop for split in splits[:-1]]
    batches = [batch for split in splits for batch in read_batches(split, ["n"])]
    assert [n for b in batches for n in b.column("n", None)[0].to_pylist()] == list(range(100))
    assert [b.number(row) for b in batches for row in range(len(b))] == list(range(1, 101))
    assert splits_of(file, 1 << 30) == [SourceSplit(file)]
    assert len(splits_of(file, 1)) == 10


def splits_sizes(path):
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        yield metadata.row_group(group).column(0).total_compressed_size


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("x.csv.gz", DAY),
        ("x.jsonl.gz", DAY),
        ("x.csv", None),
        ("x.jsonl", None),
        ("x.parquet", None),
    ],
)
def test_what_can_not_be_entered_half_way_is_one_split(tmp_path, name, day):
    path = tmp_path / name
    path.write_bytes(b"n\n1\n" * 1000)
    file = SourceFile(str(path), name.split(".")[1], day)
    assert splits_of(file, 10) == [SourceSplit(file)]


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_splits_in_a_store_hold_what_they_hold_on_the_disk(tmp_path, bucket, format):
    path, url = tmp_path / f"x.{format}", f"{bucket}/x.{format}"
    if format == "parquet":
        pq.write_table(pa.table({"n": range(3000)}), path, row_group_size=500)
    else:
        path.write_bytes(b"".join(b'{"n": %d}\n' % n for n in range(3000)))
    storage.copy(str(path), url)
    size = path.stat().st_size
    on_disk, in_store = (
        splits_of(SourceFile(place, format, DAY), size // 4) for place in (str(path), url)
    )
    ends = [(split.start, split.stop) for split in in_store]
    assert ends == [(split.start, split.stop) for split in on_disk]
    assert len(ends) >= 3
    batches = [batch for split in in_store for batch in read_batches(split, ["n"])]
    assert [n for b in batches for n in b.column("n", None)[0].to_pylist()] == list(range(3000))
    assert [b.number(row) for b in batches for row in range(len(b))] == list(range(1, 3001))
    with pytest.raises(InputError, match=f"s3://.*/no.{format} can't be read"):
        splits_of(SourceFile(f"{bucket}/no.{format}", format, DAY), 100)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_file_that_is_not_there_is_refused_and_an_empty_one_is_one_split(tmp_path, format):
    missing = SourceFile(str(tmp_path / f"x.{format}"), format, DAY)
    with pytest.raises(InputError, match="can't be read"):
        splits_of(missing, 100)
    (tmp_path / f"x.{format}").write_bytes(b"")
    assert splits_of(missing, 100) == [SourceSplit(missing)]


def test_damaged_gzip_ends_in_its_reason_and_the_number_of_the_line_it_stands_for(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    numbers = [n * 7919 % 10_007 for n in range(20_000)]
    whole = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in numbers))
    path.write_bytes(whole[: len(whole) // 2])
    *batches, last = read_batches(SourceSplit(SourceFile(str(path), "jsonl", DAY)), ["n"])
    found = [n for batch in batches for n in batch.column("n", None)[0].to_pylist()]
    assert 5_000 < len(found) < 15_000
    assert found == numbers[: len(found)]
    assert len(last) == 1
    assert isinstance(last.record(0), Unreadable)
    assert last.number(0) == len(found) + 1
    assert last.positions[0] > batches[-1].positions[-1]
