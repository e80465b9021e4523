"""A vocabulary of item ids is held against the catalogue."""

import datetime
import os

import pyarrow as pa
import pyarrow.parquet as pq

from twotower_tf.config import Config
from twotower_tf.storage import Workdir
from twotower_tf.training.listed_items import warn_of_unknown_items


def test_how_many_ids_of_a_vocabulary_the_catalogue_lacks_is_said(tmp_path, caplog):
    listed = tmp_path / "items.txt"
    listed.write_text("i1\ni9\ni2\ni8\n", encoding="utf-8-sig")
    config = Config.model_validate(
        {
            "name": "shop",
            "source": {
                "events": {"path": "e.csv"},
                "items": {"path": "i.csv", "columns": {"item_id": "sku"}},
            },
            # Of tags nobody knows all.
            "tables": {
                name: {"buckets": 4, "dim": 2, "vocabulary": str(listed)}
                for name in ("items", "tags")
            },
            "query": {
                "features": [{"name": "history", "kind": "id_bag", "table": "items"}],
                "layers": [2],
            },
            "candidate": {
                "features": [
                    {"name": "item", "column": "sku", "kind": "id", "table": "items"},
                    {"name": "tags", "kind": "id_bag", "table": "tags"},
                    {"name": "price", "kind": "dense"},
                ],
                "layers": [2],
            },
        }
    )
    day, workdir = datetime.date(2026, 1, 2), Workdir(str(tmp_path / "work"))
    partition = workdir.partition("catalogue", day)
    entry = {"file": "items.parquet", "records": 2, "sha256": ""}
    with partition.write({"shards": [entry], "counts": {}}) as folder:
        pq.write_table(pa.table({"item_id": ["i1", "i2"]}), os.path.join(folder, entry["file"]))
    warn_of_unknown_items(config, workdir, day)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"tables.items.vocabulary: {listed}: 2 of 4 ids are unknown, the first 'i9': the "
        "catalogue has no such item"
    )
