"""Lists that CSV and TSV files write as text."""

import datetime
import pathlib

import pytest

from twotower_tf.config.source import EventFiles
from twotower_tf.datasets.files import find_files
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import value_at
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit, splits_of

LOG = 'user,shown\nu1,i-7-1 i9-0\nu2,\nu3,i1\n"broken\nu4,  i2-1  \n'
COLUMNS = ("user", "shown[].id", "shown[].clicked")
EXPECTED = [("u1", "i-7", "1"), ("u1", "i9", "0"), ("u3", "i1", None), ("u4", "i2", "1")]


@pytest.fixture
def log(tmp_path):
    (tmp_path / "2026-01-01.csv").write_text(LOG)
    given = {"path": "{date}.csv", "lists": {"shown": {"parts": ["id", "clicked"]}}}
    return find_files(str(tmp_path), EventFiles.model_validate(given), "events", None)[0]


def test_an_element_is_a_record_of_its_parts(log):
    numbers, records = zip(*read_records(log, COLUMNS), strict=True)
    assert numbers == (2, 2, 4, 5, 6)
    assert isinstance(records[3], Unreadable)
    read = [one for one in records if not isinstance(one, Unreadable)]
    assert [tuple(value_at(one, name) for name in COLUMNS) for one in read] == EXPECTED
    (batch,) = read_batches(SourceSplit(log), COLUMNS)
    columns = zip(*(batch.column(name, None)[0].to_pylist() for name in COLUMNS), strict=True)
    assert [row for row in columns if row[0]] == EXPECTED
    assert [batch.number(row) for row in range(len(batch))] == list(numbers)
    assert sorted(set(batch.positions.tolist())) == batch.positions.tolist()


def test_the_header_has_the_parts_and_the_file_is_not_divided(log):
    assert log.day == datetime.date(2026, 1, 1)
    assert column_names(log) == ["user", "shown", "shown[].id", "shown[].clicked"]
    assert splits_of(log, 10) == [SourceSplit(log)]


def test_a_list_that_the_header_lacks_has_no_elements(log):
    pathlib.Path(log.path).write_text("user,seen\n")
    assert column_names(log) == ["user", "seen"]


def test_elements_without_parts_are_texts(tmp_path):
    (tmp_path / "x.tsv").write_text("user\tcart\nu1\ta;b;;c\n")
    given = {"path": "x.tsv", "lists": {"cart": {"separator": ";"}}}
    (file,) = find_files(str(tmp_path), EventFiles.model_validate(given), "events", None)
    assert column_names(file) == ["user", "cart", "cart[]"]
    found = [value_at(record, "cart[]") for _, record in read_records(file, ["cart[]"])]
    assert found == ["a", "b", "c"]
    # Taken apart only where somebody asks for the elements.
    assert list(read_records(file)) == [(2, {"user": "u1", "cart": ["a", "b", "c"]})]
