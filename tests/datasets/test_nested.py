"""Columns inside of others, and lists that are taken apart, against plain Python."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.datasets import nested
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit

ORDERS = [
    {"user": {"id": "u1"}, "at": 1, "items": [{"id": "a", "n": 2}, {"id": "b", "n": None}]},
    {"user": {"id": "u2"}, "at": 2, "items": []},
    {"user": None, "at": 3, "items": None},
    {"user": {"id": "u4"}, "at": 4, "items": [{"id": "a", "n": 1}]},
]
COLUMNS = ("user.id", "at", "items[].id", "items[].n")
EVENTS = [
    ("u1", 1, "a", 2),
    ("u1", 1, "b", None),
    (None, 3, None, None),
    ("u4", 4, "a", 1),
]
LINES = [1, 1, 3, 4]


@pytest.fixture(params=["jsonl", "parquet"])
def orders(request, tmp_path) -> SourceFile:
    path = tmp_path / f"orders.{request.param}"
    if request.param == "jsonl":
        path.write_text("\ufeff" + "".join(json.dumps(order) + "\n" for order in ORDERS))
    else:
        pq.write_table(pa.Table.from_pylist(ORDERS), path, row_group_size=3)
    return SourceFile(str(path), request.param)


def test_a_list_is_a_record_an_element_one_by_one_and_in_columns(orders):
    numbers, records = zip(*read_records(orders, COLUMNS), strict=True)
    found = [tuple(nested.value_at(one, name) for name in COLUMNS) for one in records]
    assert found == EVENTS
    assert list(numbers) == LINES
    columns, positions, numbers, again = [], [], [], []
    for batch in read_batches(SourceSplit(orders), COLUMNS):
        arrays = [batch.column(name, None) for name in COLUMNS]
        assert not any(odd.any() for _, odd in arrays)
        columns += zip(*(array.to_pylist() for array, _ in arrays), strict=True)
        positions += batch.positions.tolist()
        numbers += [batch.number(row) for row in range(len(batch))]
        again += [batch.record(row) for row in range(len(batch))]
    assert columns == EVENTS
    assert numbers == LINES
    assert sorted(set(positions)) == positions
    assert again == list(records)


def test_a_header_names_what_is_inside(orders):
    if orders.format == "parquet":
        assert column_names(orders) == [
            "user", "user.id", "at", "items", "items[]", "items[].id", "items[].n",
        ]  # fmt: skip


def test_batches_say_which_records_have_a_column(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": {"b": 1}}\n{"a": {}}\nbroken\n{"a.b": null}\n')
    (batch,) = read_batches(SourceSplit(SourceFile(str(path), "jsonl")), ["a.b"])
    assert batch.says_columns().tolist() == [True, True, False, True]
    assert batch.has("a.b").tolist() == [True, False, False, True]
    assert batch.names() == {"a", "a.b"}


@pytest.mark.parametrize("name", ["a.b", "a", "c"])
def test_a_column_of_the_very_name_comes_first(name):
    record = {"a": {"b": 1}, "a.b": 2}
    assert nested.value_at(record, name) == {"a.b": 2, "a": {"b": 1}, "c": None}[name]
    batch = pa.RecordBatch.from_pylist([record])
    column = nested.column_at(batch, name)
    assert (column and column.to_pylist()[0]) == nested.value_at(record, name)


def test_several_lists_go_together_if_they_are_of_one_length():
    records = [
        {"u": "x", "ids": [1, 2], "at": [5, 6]},
        {"u": "y", "ids": [1, 2], "at": [5]},
        {"u": "z", "ids": [3], "at": None},
    ]
    lists = nested.lists_of(["ids[]", "u", "at[]"])
    one_by_one = [one for record in records for one in nested.taken_apart(record, lists)]
    expected = [("x", 1, 5), ("x", 2, 6), ("y", None, None), ("z", None, None)]
    assert [
        tuple(nested.value_at(one, name) for name in ("u", "ids[]", "at[]")) for one in one_by_one
    ] == expected
    batch = pa.RecordBatch.from_pylist(records).slice(0)
    apart, rows, places = nested.batch_taken_apart(batch, lists)
    columns = (apart[name].to_pylist() for name in ("u", "ids[]", "at[]"))
    assert list(zip(*columns, strict=True)) == expected
    assert rows.tolist() == [0, 0, 1, 2]
    np.testing.assert_array_equal(places, [0, 1, 0, 0])
    sliced, rows, _ = nested.batch_taken_apart(batch.slice(1), lists)
    assert sliced["u"].to_pylist() == ["y", "z"]
    assert rows.tolist() == [0, 1]


def test_bytes_of_parquet_are_text_where_they_are_some(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table(
        {
            "id": pa.array([b"i1", "ü".encode()], pa.binary()),
            "tags": pa.array([[b"a"], []], pa.list_(pa.binary())),
            "in": pa.array([{"b": b"x"}, None], pa.struct([("b", pa.large_binary())])),
            "not_text": pa.array([b"\xff", b"a"], pa.binary()),
        }
    )
    pq.write_table(table, path)
    records = [record for _, record in read_records(SourceFile(str(path), "parquet"))]
    assert records == [
        {"id": "i1", "tags": ["a"], "in": {"b": "x"}, "not_text": b"\xff"},
        {"id": "ü", "tags": [], "in": None, "not_text": b"a"},
    ]
