"""What events need of their items is what the snapshot holds, and defaults for unknown items."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from tensorflow import train

import twotower_tf  # noqa: F401
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples import value_types
from twotower_tf.examples.items.catalogue import parse_catalogue, write_catalogue
from twotower_tf.examples.items.item_lookup import UNKNOWN, ItemLookup, shared_lookup

COUNT = 50


@pytest.fixture
def path(deployment, make_item, tmp_path) -> str:
    records = [make_item(number) for number in range(COUNT)]
    del records[5]["length"], records[6]["published"]
    file = deployment.write("items.jsonl", records)
    parsed = parse_catalogue(
        [SourceFile(str(file), "jsonl", None)], str(deployment.source), deployment.config()
    )
    written = str(tmp_path / "items.parquet")
    write_catalogue(parsed, written)
    return written


@pytest.fixture
def lookup(deployment, path) -> ItemLookup:
    return ItemLookup(path, deployment.config())


IDS = pa.array(["i7", "nothing", "i0", "i7", "", "i5", "i6"])


def test_rows_are_those_of_the_snapshot(lookup, path):
    stored = pyarrow.parquet.read_table(path)["item_id"].to_pylist()
    rows = lookup.rows_of(IDS)
    assert rows.dtype == np.int32
    expected = [stored.index(one) if one in stored else UNKNOWN for one in IDS.to_pylist()]
    assert rows.tolist() == expected
    assert lookup.rows_of(IDS[:0]).tolist() == []
    assert lookup.rows_of(IDS[2:4]).tolist() == expected[2:4]
    assert len(lookup) == COUNT


def test_a_divisor_that_is_missing_is_nan(lookup):
    found = lookup.divisors(lookup.rows_of(IDS))
    np.testing.assert_array_equal(found, [107, np.nan, 100, 107, np.nan, np.nan, 106])


def test_ages_are_as_of_the_event_and_not_negative(lookup, path):
    rows = lookup.rows_of(IDS)
    published = pyarrow.parquet.read_table(path)["published_at"].to_pylist()
    timestamps = np.arange(len(IDS)) * 40_000 + 1_709_251_200
    ages = lookup.ages(rows, timestamps)["candidate/age"]
    for row, timestamp, age in zip(rows, timestamps, ages, strict=True):
        since = None if row == UNKNOWN else published[row]
        assert age == (5.0 if since is None else max(0, timestamp - since) / 86_400)


def test_features_of_unknown_items_are_the_defaults(lookup):
    rows = lookup.rows_of(IDS)
    records = lookup.features(rows, IDS).to_pylist()
    for record, item_id, row in zip(records, IDS.to_pylist(), rows, strict=True):
        feature = train.Features.FromString(record).feature
        assert feature["item_id"].bytes_list.value == [item_id.encode()]
        assert feature["candidate/item"].bytes_list.value == [item_id.encode()]
        tags = [] if row == UNKNOWN else [b"all", b"last"]
        assert feature["candidate/tags"].bytes_list.value == tags
        known_length = row != UNKNOWN and item_id != "i5"
        length = 100 + int(item_id[1:]) if known_length else 7.0
        assert feature["candidate/length"].float_list.value == [length]
        assert "candidate/age" not in feature


def test_a_catalogue_without_items_knows_none(deployment, path, tmp_path):
    empty = str(tmp_path / "empty.parquet")
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path)[:0], empty)
    lookup = ItemLookup(empty, deployment.config())
    rows = lookup.rows_of(IDS)
    assert set(rows) == {UNKNOWN}
    assert np.isnan(lookup.divisors(rows)).all()
    assert lookup.ages(rows, np.zeros(len(IDS), np.int64))["candidate/age"].tolist() == [5.0] * 7
    assert len(lookup.features(rows, IDS)) == len(IDS)


def test_a_process_has_one_look_up_of_a_snapshot(deployment, path):
    config = deployment.config().model_dump_json()
    assert shared_lookup(path, "sum", config) is shared_lookup(path, "sum", config)
    assert shared_lookup(path, "sum", config) is not shared_lookup(path, "another", config)


def test_an_age_whose_start_is_unknown_is_the_default():
    since = pa.array([0, 86_400, None], pa.int64())
    ages = value_types.Age(3.5, since="published").at(since, np.array([86_400, 0, 7]))
    assert ages.to_pylist() == [1.0, 0.0, 3.5]
