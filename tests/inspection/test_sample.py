"""What a sample has of small and of large files."""

import collections
import gzip
import json
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.inspection import sample as sampling
from twotower_tf.inspection.sample import take_sample

READ = partial(read_batches, columns=["n", "text"])
ROWS = 40_000


@pytest.fixture
def cut_small(monkeypatch):
    """Lets files of a megabyte count as large."""
    monkeypatch.setattr(sampling, "_PART_BYTES", 50_000)
    monkeypatch.setattr(sampling, "_FEW_BYTES", 1)
    monkeypatch.setattr("twotower_tf.datasets.lines._BLOCK_BYTES", 20_000)


def _row(number: int) -> str:
    return "x" * (number % 17)


def _file(folder, kind: str) -> SourceFile:
    path = folder / f"log.{kind}"
    if kind == "tsv":
        path.write_text("n\ttext\n" + "".join(f"{n}\t{_row(n)}\n" for n in range(ROWS)))
    elif kind == "parquet":
        table = pa.table({"n": range(ROWS), "text": [_row(n) for n in range(ROWS)]})
        pq.write_table(table, path, row_group_size=ROWS // 10)
    else:
        lines = "".join(json.dumps({"n": n, "text": _row(n)}) + "\n" for n in range(ROWS)).encode()
        path.write_bytes(lines if kind == "jsonl" else gzip.compress(lines))
    return SourceFile(str(path), "jsonl" if kind.startswith("jsonl") else kind)


def _numbers(sample) -> list[int]:
    return [
        int(batch.record(row)["n"])
        for one in sample.read
        for batch in one.batches
        for row in range(len(batch))
    ]


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "jsonl.gz", "parquet"])
def test_of_a_small_file_it_is_all_in_order(tmp_path, kind):
    sample = take_sample(READ, [_file(tmp_path, kind)], ROWS)
    assert sample.is_whole
    assert sample.expected() == ROWS
    assert _numbers(sample) == list(range(ROWS))


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "jsonl.gz", "parquet"])
def test_of_a_large_file_it_is_some_and_says_how_many_there_are(tmp_path, cut_small, kind):
    sample = take_sample(READ, [_file(tmp_path, kind)], 2000)
    numbers = _numbers(sample)
    assert not sample.is_whole
    assert 2000 <= len(numbers) < ROWS
    assert numbers == sorted(set(numbers))
    assert sample.expected() == pytest.approx(ROWS, rel=0.1)
    if kind != "jsonl.gz":
        # From all over the file.
        assert len(collections.Counter(number * 4 // ROWS for number in numbers)) == 4


def test_of_many_files_some_are_read_the_first_and_the_last_among_them(tmp_path, cut_small):
    files = []
    for number in range(30):
        path = tmp_path / f"{number:02d}.csv"
        path.write_text("n,text\n" + "".join(f"{number * 100 + n},a\n" for n in range(100)))
        files.append(SourceFile(str(path), "csv"))
    sample = take_sample(READ, files, 100_000)
    assert [sample.read[0].number, sample.read[-1].number] == [0, 29]
    assert len(sample.read) < 30
    assert not sample.is_whole
    assert sample.expected() == pytest.approx(3000, rel=0.1)


def test_what_small_files_leave_is_for_the_large_ones(tmp_path):
    (tmp_path / "a.csv").write_text("n,text\n1,a\n")
    small, large = SourceFile(str(tmp_path / "a.csv"), "csv"), _file(tmp_path, "tsv")
    assert take_sample(READ, [small, large], ROWS + 1).is_whole
