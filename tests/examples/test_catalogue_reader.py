"""Reading catalogues back, against hand-made ones."""

import datetime
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.items.catalogue_reader import find_titles, load_catalogue
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.storage import Workdir

DAY = datetime.date(2026, 11, 20)
MIDNIGHT = 1_795_219_200  # 2026-11-21T00:00:00Z

CONFIG = Config.model_validate(
    {
        "name": "shop",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "tables": {"t": {"buckets": 10, "dim": 2}},
        "query": {"features": [{"name": "seed", "kind": "id", "table": "t"}], "layers": [2]},
        "candidate": {
            "features": [
                {"name": "item_id", "kind": "id", "table": "t"},
                {"name": "topics", "kind": "weighted_id_bag", "table": "t", "weights": "shares"},
                {"name": "price", "kind": "dense", "default": 0.5},
                {"name": "age", "kind": "age", "since": "published_at", "serving_days": 1.5},
            ],
            "layers": [2],
        },
    }
)
SCHEMA = pa.schema(
    {
        "item_id": pa.string(),
        "title": pa.string(),
        "published_at": pa.int64(),
        "candidate/item_id": pa.string(),
        "candidate/topics": pa.list_(pa.string()),
        "candidate/topics_weights": pa.list_(pa.float64()),
        "candidate/price": pa.float64(),
        "candidate/age": pa.int64(),
    }
)


def _row(item_id, published_at=None, topics=(), price=1.0, title=""):
    weights = [float(n) for n in range(len(topics))]
    return dict(
        zip(
            SCHEMA.names,
            [item_id, title, published_at, item_id, topics, weights, price, 5],
            strict=True,
        )
    )


def _catalogue(tmp_path, *shards):
    workdir = Workdir(str(tmp_path))
    partition = workdir.partition("catalogue", DAY)
    files = [f"{number}.parquet" for number in range(len(shards))]
    with partition.write({"shards": [{"file": file} for file in files]}) as folder:
        for file, rows in zip(files, shards, strict=True):
            table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
            pq.write_table(table, os.path.join(folder, file))
    return workdir


def test_items_published_after_the_end_of_the_day_are_left_out(tmp_path):
    rows = [
        _row("old", 0),
        _row("last second", MIDNIGHT - 1),
        _row("midnight", MIDNIGHT),
        _row("unknown", None),
        _row("next year", MIDNIGHT + 10**7),
    ]
    catalogue = load_catalogue(_catalogue(tmp_path, rows), CONFIG, DAY)
    assert catalogue.item_ids.tolist() == ["old", "last second", "unknown"]


def test_the_end_of_the_day_is_that_of_the_deployment(tmp_path):
    values = CONFIG.model_dump(by_alias=True)
    values["source"]["day_starts"] = "00:00 America/New_York"
    rows = [_row("before", MIDNIGHT + 5 * 3600 - 1), _row("at the end", MIDNIGHT + 5 * 3600)]
    catalogue = load_catalogue(_catalogue(tmp_path, rows), Config.model_validate(values), DAY)
    assert catalogue.item_ids.tolist() == ["before"]


def test_the_last_row_of_an_id_counts(tmp_path):
    first = [_row("a", price=1.0), _row("b", price=2.0)]
    second = [_row("c", price=3.0), _row("a", price=4.0)]
    catalogue = load_catalogue(_catalogue(tmp_path, first, second), CONFIG, DAY)
    prices = zip(catalogue.item_ids, catalogue.features["price"], strict=True)
    assert dict(prices) == {"a": 4.0, "b": 2.0, "c": 3.0}
    assert len(catalogue) == 3


def test_features_are_those_of_the_schema_and_ages_are_as_at_serving(tmp_path):
    rows = [_row("é", topics=["x", "y"], title="É"), _row("b"), _row("c", topics=["z"])]
    catalogue = load_catalogue(_catalogue(tmp_path, rows[:1], rows[1:]), CONFIG, DAY)
    features = catalogue.features
    assert list(features) == ["item_id", "topics", "topics_weights", "price", "age"]
    assert features["item_id"].tolist() == ["é", "b", "c"]
    assert features["topics"].values.tolist() == ["x", "y", "z"]
    assert features["topics"].row_splits.tolist() == [0, 2, 2, 3]
    assert features["topics_weights"].values.tolist() == [0.0, 1.0, 0.0]
    assert features["age"].tolist() == [1.5, 1.5, 1.5]
    for name in ("price", "age"):
        assert features[name].dtype == np.float32


def test_slices_of_lists_are_lists_of_their_own():
    lists = Lists(np.arange(6), np.array([0, 2, 2, 3, 6]))
    part = lists[1:4]
    assert len(part) == 3
    assert part.values.tolist() == [2, 3, 4, 5]
    assert part.row_splits.tolist() == [0, 0, 1, 4]


def test_titles_are_those_of_the_items_that_have_one(tmp_path):
    workdir = _catalogue(tmp_path, [_row("a", title="A"), _row("b")])
    assert find_titles(workdir.partition("catalogue", DAY), ["b", "a", "c"]) == {"a": "A"}


def test_titles_are_read_of_the_row_groups_alone_that_may_hold_the_items(tmp_path, monkeypatch):
    rows = [_row(f"{number:03d}", title=f"T{number}") for number in range(100)]
    workdir = _catalogue(tmp_path, rows)
    path = os.path.join(workdir.partition("catalogue", DAY).path, "0.parquet")
    pq.write_table(pq.read_table(path), path, row_group_size=10)
    read = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda file, number, columns: read.append(number) or original(file, number, columns),
    )
    found = find_titles(workdir.partition("catalogue", DAY), ["035", "999", "031", "070"])
    assert found == {"035": "T35", "031": "T31", "070": "T70"}
    assert read == [3, 7]


def test_a_catalogue_without_items_is_an_error_in_one_line(tmp_path):
    with pytest.raises(JobError, match="catalogue of 2026-11-20 has no item published by then"):
        load_catalogue(_catalogue(tmp_path, [_row("a", MIDNIGHT)]), CONFIG, DAY)


def test_the_latest_catalogue_that_is_not_after_the_day_is_read(tmp_path):
    workdir = _catalogue(tmp_path, [_row("a")])
    later = DAY + datetime.timedelta(days=3)
    assert load_catalogue(workdir, CONFIG, later).item_ids.tolist() == ["a"]
    with pytest.raises(InputError, match="there is no catalogue of 2026-11-19 or before"):
        load_catalogue(workdir, CONFIG, DAY - datetime.timedelta(days=1))
