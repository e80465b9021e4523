"""Records chosen by their texts: one by one and in columns, of every format."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.config.source import ItemFiles
from twotower_tf.datasets.files import SourceFile, find_files
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.datasets.where import meant_batches, meant_records

RECORDS = [
    {"id": "a", "kind": "view", "live": True, "n": 1},
    {"id": "b", "kind": "buy", "live": True, "n": 2},
    {"id": "c", "kind": "view", "live": False, "n": 3},
    {"id": "d", "kind": None, "live": True, "n": 1},
    {"id": "e", "kind": "view", "live": True, "n": 10},
]
WHERE = [
    ({"kind": ["view"]}, ["a", "c", "e"]),
    ({"kind": ["view", "buy"], "live": ["true"]}, ["a", "b", "e"]),
    ({"n": ["1", "10"]}, ["a", "d", "e"]),
    ({"n": ["1", "10"], "kind": ["buy"]}, []),
    ({}, ["a", "b", "c", "d", "e"]),
]


@pytest.fixture(params=["jsonl", "parquet", "csv"])
def file(request, tmp_path) -> SourceFile:
    path = tmp_path / f"records.{request.param}"
    if request.param == "jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    elif request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), path, row_group_size=2)
    else:
        lines = [f"{one['id']},{one['kind'] or ''},{one['live']},{one['n']}" for one in RECORDS]
        path.write_text("\n".join(["id,kind,live,n", *lines]).replace("True", "true") + "\n")
    return SourceFile(str(path), request.param)


@pytest.mark.parametrize(("texts", "ids"), WHERE)
def test_records_that_hold_the_texts_are_read_one_by_one_and_in_columns(file, texts, ids):
    where = {column: frozenset(one) for column, one in texts.items()}
    columns = ("id", "kind", "live", "n")
    one_by_one = list(meant_records(read_records(file), where))
    assert [record["id"] for _, record in one_by_one] == ids
    found, again = [], []
    for batch in meant_batches(read_batches(SourceSplit(file), columns), where):
        assert len(batch)
        found += batch.column("id", None)[0].to_pylist()
        assert len(batch.positions) == len(batch)
        again += [(batch.number(row), batch.record(row)) for row in range(len(batch))]
    assert found == ids
    assert again == one_by_one


def test_decimals_and_dates_of_parquet_are_chosen_by_their_texts(tmp_path):
    days = [datetime.date(2026, 1, n) for n in (1, 2, 3)]
    table = pa.table({"d": pa.array([1, 2, 3], pa.decimal128(10, 0)), "day": days})
    pq.write_table(table, tmp_path / "records.parquet")
    file = SourceFile(str(tmp_path / "records.parquet"), "parquet")
    for where, row in (({"d": frozenset("2")}, 1), ({"day": frozenset(["2026-01-03"])}, 2)):
        (batch,) = meant_batches(read_batches(SourceSplit(file), list(where)), where)
        assert (len(batch), batch.number(0)) == (1, row + 1)
        ((_, record),) = meant_records(read_records(file), where)
        assert record["day"] == days[row]


def test_what_is_no_record_stays_so_that_it_is_rejected(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"kind": "buy"}\nbroken\n{"kind": "view"}\n{"kind": 1.5}\n{}\n')
    file, where = SourceFile(str(path), "jsonl"), {"kind": frozenset(["view"])}
    (first, broken), (second, view) = meant_records(read_records(file), where)
    assert (first, second) == (2, 3)
    assert isinstance(broken, Unreadable)
    assert view == {"kind": "view"}
    (batch,) = meant_batches(read_batches(SourceSplit(file), ["kind"]), where)
    assert [batch.number(row) for row in range(len(batch))] == [2, 3]
    assert batch.says_columns().tolist() == [False, True]
    assert batch.has("kind").tolist() == [False, True]


def test_a_configuration_names_one_text_or_several(tmp_path):
    (tmp_path / "x.csv").write_text("item_id,a,b\n")
    given = {"path": "x.csv", "where": {"a": 1, "b": ["x", True]}}
    (file,) = find_files(str(tmp_path), ItemFiles.model_validate(given), "items", None)
    assert file.where == {"a": {"1"}, "b": {"x", "true"}}
