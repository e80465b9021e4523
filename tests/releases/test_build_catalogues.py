"""Index builds of odd catalogues, from Parquet to the answers of the published release."""

import datetime
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.example_counts import write_counts
from tests.example_records import example_record
from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.encoding import tfrecord
from twotower_tf.indexing.candidates.embedding_files import read_embeddings
from twotower_tf.releases import releases
from twotower_tf.storage import Workdir, checksum

# isort: split
import tensorflow as tf

from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.releases.build import build_index

DAY = datetime.date(2026, 11, 20)
END = 1_795_219_200  # 2026-11-21T00:00:00Z
CONFIG = Config.model_validate(
    {
        "name": "shop",
        "source": {
            "events": {"path": "e.csv"},
            "items": {"path": "i.csv", "columns": {"published_at": "published_at"}},
        },
        "tables": {"t": {"buckets": 100, "dim": 8}},
        "query": {"features": [{"name": "user", "kind": "id", "table": "t"}], "layers": [8]},
        "candidate": {
            "features": [
                {"name": "title", "kind": "text", "table": "t"},
                {"name": "price", "kind": "dense", "normalise": "none"},
            ],
            "layers": [8],
        },
        # Broken vectors are the subject of one test, in which they are a fifth.
        "selection": {"max_broken_share": 0.2},
    }
)
QUERIES = np.eye(8, dtype=np.float32)


@pytest.fixture(scope="module")
def model():
    return TwoTowerModel.from_config(CONFIG)


def _row(item_id, title="a title", price=0.5, published_at=0):
    return {
        "item_id": item_id,
        "published_at": published_at,
        "candidate/title": title,
        "candidate/price": price,
    }


def _write(root, rows, examples=()) -> Workdir:
    workdir = Workdir(str(root))
    schema = pa.schema(
        {
            "item_id": pa.string(),
            "published_at": pa.int64(),
            "candidate/title": pa.string(),
            "candidate/price": pa.float64(),
        }
    )
    with workdir.partition("catalogue", DAY).write({"shards": [{"file": "i"}]}) as folder:
        table = pa.Table.from_pylist(list(rows), schema=schema)
        pq.write_table(table, os.path.join(folder, "i"))
    shards: list = []
    with workdir.partition("examples", DAY).write({"shards": shards}) as folder:
        path = os.path.join(folder, "train-0")
        encoded = [example_record({"item_id": [one.encode()]}) for one in examples]
        count = tfrecord.write_records(path, encoded)
        shards.append({"file": "train-0", "records": count, "sha256": checksum(path)})
    write_counts(workdir, DAY, [""] * len(examples), examples)
    return workdir


def _build(workdir, model, config=CONFIG):
    """Builds, publishes and asks for the best 100; returns the metrics, ids and scores."""
    built = build_index(config, workdir, model, DAY, QUERIES)
    release = releases.publish(workdir, "shop", DAY, built.save, {})
    loaded = release.load_saved_model()
    answer = loaded.serving_default(user=tf.constant(["ann", "bob"]), k=tf.constant(100))
    ids = [[one.decode() for one in row] for row in answer["item_ids"].numpy()]
    return built.metrics, ids, answer["scores"].numpy()


def test_of_duplicate_ids_the_last_row_is_indexed_once(tmp_path, model):
    rows = [_row("a", price=1), _row("b", price=2), _row("a", price=3), _row("a", price=4)]
    metrics, ids, scores = _build(_write(tmp_path / "twice", rows), model)
    assert [sorted(row) for row in ids] == [["a", "b"]] * 2
    assert metrics["selection"]["left_out"][0] == {"rule": "duplicate_ids", "items": 2}
    _, once_ids, once = _build(_write(tmp_path / "once", [rows[1], rows[3]]), model)
    assert ids == once_ids
    np.testing.assert_array_equal(scores, once)


def test_items_without_features_are_indexed_by_their_defaults(tmp_path, model):
    rows = [_row("bare", title=None, price=0.0), _row("empty", title="", price=0.0), _row("full")]
    metrics, ids, scores = _build(_write(tmp_path, rows), model)
    assert [set(row) for row in ids] == [{"bare", "empty", "full"}] * 2
    assert np.isfinite(scores).all()
    assert metrics["items"] == 3


def test_an_item_whose_vector_is_not_finite_is_left_out_and_counted(tmp_path, model):
    rows = [_row(f"i{number}", price=number) for number in range(10)]
    rows[3]["candidate/price"] = float("nan")
    rows[7]["candidate/price"] = float("inf")
    workdir = _write(tmp_path, rows, examples=["i3", "i7", "i1", "i2"])
    metrics, ids, scores = _build(workdir, model)
    assert [set(row) for row in ids] == [{f"i{n}" for n in range(10) if n not in (3, 7)}] * 2
    assert np.isfinite(scores).all()
    assert (metrics["selection"]["selected"], metrics["broken"], metrics["items"]) == (10, 2, 8)
    # What is not in the index is not covered.
    assert metrics["coverage"] == 0.5
    assert metrics["index_recall"] == 1.0


def test_more_broken_vectors_than_allowed_fail_the_build_and_publish_nothing(tmp_path, model):
    rows = [_row(f"i{number}", price=float("nan") if number < 3 else 1) for number in range(10)]
    workdir = _write(tmp_path, rows)
    with pytest.raises(JobError, match="embeddings of 3 of 10 items are not finite, of 'i0'"):
        build_index(CONFIG, workdir, model, DAY, QUERIES)
    assert workdir.days("embeddings") == []
    assert not os.path.exists(workdir.path(".staging"))


# Of fewer than 16 items ScaNN is not trained: brute force takes its place.
@pytest.mark.parametrize(
    ("kind", "items"), [("brute_force", 1), ("scann", 15), ("scann", 16), ("scann", 40)]
)
def test_fewer_items_than_k_are_all_found_one_alone_too(tmp_path, model, kind, items):
    index = CONFIG.index.model_copy(update={"kind": kind})
    config = CONFIG.model_copy(update={"index": index})
    rows = [_row(f"i{number}", title=f"word{number}") for number in range(items)]
    metrics, ids, scores = _build(_write(tmp_path, rows), model, config)
    assert [set(row) for row in ids] == [{row["item_id"] for row in rows}] * 2
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    assert metrics["index_recall_at"] == items
    assert metrics["index_recall"] == 1.0


@pytest.mark.parametrize(
    ("rows", "left_out"),
    [
        ([], "0 rows in the catalogue; left out none"),
        ([_row("a", published_at=END)], "left out 1 by not_yet_published"),
    ],
)
def test_without_an_item_the_build_fails_and_says_why(tmp_path, model, rows, left_out):
    workdir = _write(tmp_path, rows)
    with pytest.raises(JobError, match="0 items selected: there is nothing to recommend") as error:
        build_index(CONFIG, workdir, model, DAY, QUERIES)
    assert left_out in str(error.value)
    assert workdir.days("embeddings") == []


def test_the_stages_follow_the_configuration_and_report(tmp_path, model):
    rows = [_row(f"i{number}", published_at=END - 86_400 * number - 1) for number in range(10)]
    examples = ["i1", "i1", "i2", "i4", "i9", "i9", "i0", "gone"]
    workdir = _write(tmp_path, rows, examples)
    selection = {"max_age_days": 5, "min_examples": 1, "always_hours": 12}
    config = Config.model_validate(CONFIG.model_dump() | {"selection": selection})
    metrics, ids, _ = _build(workdir, model, config)
    assert sorted(ids[0]) == ["i0", "i1", "i2", "i4"]
    assert metrics["selection"] == {
        "rows": 10,
        "left_out": [
            {"rule": "duplicate_ids", "items": 0},
            {"rule": "not_yet_published", "items": 0},
            {"rule": "max_age_days", "items": 5},
            {"rule": "min_examples", "items": 1},
        ],
        "always": 0,
        "selected": 4,
    }
    assert metrics["coverage"] == 5 / 8
    item_ids, embeddings = read_embeddings(workdir.partition("embeddings", DAY))
    assert item_ids.tolist() == ["i0", "i1", "i2", "i4"]
    assert embeddings.shape == (4, 8)
