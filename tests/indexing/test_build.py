"""The index build end to end: catalogue in, SavedModel out, asked in other processes."""

import datetime
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.indexing import releases
from twotower_tf.indexing.build import build_index
from twotower_tf.indexing.candidates import load_candidates
from twotower_tf.indexing.recommendation import recommend, release_titles
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.storage import Workdir

DAY = datetime.date(2026, 11, 20)
ITEMS = 300


def _config(kind="brute_force") -> Config:
    return Config.model_validate(
        {
            "name": "shop",
            "source": {
                "events": {"path": "events.csv"},
                "items": {"path": "items.csv", "columns": {"item_id": "sku"}},
            },
            "tables": {
                "items": {"buckets": 2000, "dim": 8},
                "words": {"buckets": 500, "dim": 8, "vocabulary": None},
            },
            "query": {
                "features": [
                    {"name": "seed_item_id", "kind": "id", "table": "items"},
                    {"name": "history", "kind": "id_bag", "table": "items", "max_length": 3},
                    {
                        "name": "searches",
                        "kind": "weighted_id_bag",
                        "table": "words",
                        "weights": "search_weights",
                        "max_length": 2,
                    },
                    {"name": "device", "kind": "category", "values": ["phone", "tv"]},
                    {"name": "hour", "kind": "dense", "normalise": "none", "default": 0.5},
                ],
                "layers": [16, 16],
            },
            "candidate": {
                "features": [
                    {"name": "item_id", "column": "sku", "kind": "id", "table": "items"},
                    {"name": "title", "kind": "text", "table": "words"},
                    {"name": "topics", "kind": "id_bag", "table": "words", "max_length": 2},
                    {"name": "price", "kind": "dense", "normalise": "none", "default": 0.25},
                    {"name": "item_age", "kind": "age", "since": "published_at"},
                ],
                "layers": [16, 16],
            },
            "evaluation": {"batch_size": 64},
            "index": {"kind": kind, "default_k": 7, "recall_at": 20},
        }
    )


def _write_catalogue(workdir: Workdir, day=DAY, rows=None) -> None:
    if rows is None:
        rng = np.random.default_rng(3)
        rows = [
            {
                "item_id": f"ключ-{n}" if n % 2 else f"item-{n}",
                "title": f"title {n}" if n % 3 else None,
                "published_at": None,
                "topics": [f"t{t}" for t in rng.integers(20, size=n % 4)],
                "price": float(rng.random()) if n % 5 else None,
            }
            for n in range(ITEMS)
        ]
    schema = pa.schema(
        {
            "item_id": pa.string(),
            "title": pa.string(),
            "published_at": pa.int64(),
            "topics": pa.list_(pa.string()),
            "price": pa.float64(),
        }
    )
    half = len(rows) // 2
    with workdir.partition("catalogue", day).write(
        {"shards": [{"file": "a.parquet"}, {"file": "b.parquet"}]}
    ) as folder:
        for name, part in (("a", rows[:half]), ("b", rows[half:])):
            table = pa.Table.from_pylist(part, schema=schema)
            pq.write_table(table, os.path.join(folder, f"{name}.parquet"))


QUERIES = {
    "seed_item_id": ["item-4", "ключ-5", ""],
    "history": [["item-1", "", "", ""], ["a", "b", "ключ-7", "item-8"], ["", "", "", ""]],
    "searches": [["x", "y", "z"], ["x", "", ""], ["", "", ""]],
    "searches_weights": [[1.0, 0.0, 2.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "device": ["phone", "tv", "watch"],
    "hour": [0.1, 0.9, 0.5],
}

# The same queries as training would see them: ragged, cut to the last max_length values.
QUERY_LISTS = {
    "history": [["item-1"], ["b", "ключ-7", "item-8"], []],
    "searches": [["y", "z"], ["x"], []],
    "searches_weights": [[0.0, 2.0], [0.5], []],
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    made = Workdir(str(tmp_path_factory.mktemp("work")))
    _write_catalogue(made)
    return made


@pytest.fixture(scope="module")
def model():
    return TwoTowerModel.from_config(_config())


def _exact(model, config, workdir):
    """Item ids and scores of every item for QUERIES, best first, by NumPy in float64."""
    import tensorflow as tf

    candidates = load_candidates(workdir.partition("catalogue", DAY), config, DAY)
    features = {
        name: tf.constant(values)
        if isinstance(values, np.ndarray)
        else tf.RaggedTensor.from_row_splits(values.values.tolist(), values.row_splits)
        for name, values in candidates.features.items()
    }
    query = {name: tf.constant(values) for name, values in QUERIES.items()}
    for name, rows in QUERY_LISTS.items():
        dtype = tf.float32 if name == "searches_weights" else tf.string
        query[name] = tf.ragged.constant(rows, dtype=dtype)
    scores = model.query_tower(query).numpy().astype(np.float64) @ (
        model.candidate_tower(features).numpy().astype(np.float64).T
    )
    order = np.argsort(-scores, axis=1)
    return candidates.item_ids[order], np.take_along_axis(scores, order, axis=1)


@pytest.fixture(scope="module", params=["brute_force", "scann"])
def release(request, workdir, model):
    config = _config(request.param)
    import tensorflow as tf

    queries = tf.math.l2_normalize(tf.random.stateless_normal([40, 16], [1, 2]), -1).numpy()
    built = build_index(config, workdir, model, DAY, queries)
    assert built.metrics["kind"] == request.param
    assert built.metrics["items"] == ITEMS
    assert built.metrics["index_recall"] >= 0.95
    return releases.publish(workdir, request.param, DAY, built.save, {"index": built.metrics})


# Asks a SavedModel without this project: through TensorFlow's loader, then as TF Serving does.
_ASK = """
import json, sys
import numpy as np
import tensorflow as tf
folder, needs_scann, queries = sys.argv[1], sys.argv[2] == "scann", json.loads(sys.argv[3])
if needs_scann:
    import scann
dtype = lambda values: np.float32 if isinstance(np.ravel(values)[0], float) else object
queries = {name: np.array(values, dtype(values)) for name, values in queries.items()}
answers = {}

def keep(name, answer):
    ids, scores = (np.asarray(answer[key]) for key in ("item_ids", "scores"))
    answers[name] = [[[i.decode() for i in row] for row in ids], scores.tolist(), ids.shape]

tensors = {name: tf.constant(values) for name, values in queries.items()}
ask = tf.saved_model.load(folder).signatures["serving_default"]
for k in (1, 20, 1000):
    keep(f"k={k}", ask(k=tf.constant(k), **tensors))
keep("one", ask(k=tf.constant(20), **{name: t[1:2] for name, t in tensors.items()}))
keep("none", ask(k=tf.constant(20), **{name: t[:0] for name, t in tensors.items()}))
empty = {n: t[:, :0] if t.shape.rank == 2 else t for n, t in tensors.items()}
keep("empty lists", ask(k=tf.constant(20), **empty))
try:
    ask(k=tf.constant(0), **tensors)
except tf.errors.InvalidArgumentError as error:
    answers["k=0"] = str(error)

with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = loaded.signature_def["serving_default"]
    feed = {signature.inputs[name].name: values for name, values in queries.items()}
    outputs = {name: info.name for name, info in signature.outputs.items()}
    keep("v1", session.run(outputs, {**feed, signature.inputs["k"].name: 20}))
    keep("v1 default k", session.run(outputs, feed))
    signature = loaded.signature_def["embed_query"]
    feed = {signature.inputs[name].name: values for name, values in queries.items()}
    embedding = session.run(signature.outputs["embedding"].name, feed)
    answers["norms"] = np.linalg.norm(embedding, axis=1).tolist()
answers["imported"] = sorted({"twotower_tf", "scann", "tensorflow_recommenders"} & set(sys.modules))
print(json.dumps(answers))
"""


def test_release_answers_as_exact_search_with_the_trainers_towers_in_any_process(
    release, workdir, model
):
    ids, scores = _exact(model, _config(), workdir)
    environment = {**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    done = subprocess.run(
        [sys.executable, "-c", _ASK, release.path, release.model, json.dumps(QUERIES)],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])

    assert answers.pop("imported") == (["scann"] if release.model == "scann" else [])
    assert "k must be at least 1" in answers.pop("k=0")
    np.testing.assert_allclose(answers.pop("norms"), 1.0, atol=1e-5)
    shapes = {name: answer[2] for name, answer in answers.items()}
    assert shapes == {
        "k=1": [3, 1],
        "k=20": [3, 20],
        "k=1000": [3, ITEMS],
        "one": [1, 20],
        "none": [0, 20],
        "empty lists": [3, 20],
        "v1": [3, 20],
        "v1 default k": [3, 7],
    }
    for name in ("k=1", "k=20", "k=1000", "v1", "v1 default k"):
        _assert_same(answers[name], ids, scores, release.model)
    _assert_same(answers["one"], ids[1:2], scores[1:2], release.model)
    # The third query's lists are empty however they are written.
    last = [part[2:] for part in answers["empty lists"][:2]]
    _assert_same(last, ids[2:], scores[2:], release.model)


def _assert_same(answer, ids, scores, kind):
    got_ids, got_scores = np.array(answer[0]), np.array(answer[1])
    k = got_ids.shape[1]
    if kind == "scann" and k < ITEMS:
        found = [
            len(set(got) & set(want)) / k for got, want in zip(got_ids, ids[:, :k], strict=True)
        ]
        assert np.mean(found) >= 0.9
    else:
        assert (got_ids == ids[:, :k]).mean() > 0.97  # float32 may swap near ties
        assert [set(row) for row in got_ids] == [set(row) for row in ids[:, :k]]
    exact = [dict(zip(*pair, strict=True)) for pair in zip(ids, scores, strict=True)]
    expected = [[row[i] for i in got] for row, got in zip(exact, got_ids, strict=True)]
    np.testing.assert_allclose(got_scores, expected, atol=1e-5)
    assert (np.diff(got_scores, axis=1) <= 1e-6).all()


def test_recommend_fills_missing_features_with_their_defaults(release, workdir):
    titles = release_titles(workdir, release)
    partial = recommend(release, {"seed_item_id": "item-4"}, 5, titles)
    complete = {
        "seed_item_id": "item-4",
        "history": [],
        "searches": [],
        "searches_weights": [],
        "device": "",
        "hour": 0.5,
    }
    assert partial == recommend(release, complete, 5, titles)
    assert partial != recommend(release, complete | {"hour": 50}, 5, titles)
    for item_id, score, title in partial:
        number = int(item_id.rpartition("-")[2])
        assert title == (f"title {number}" if number % 3 else "")
        assert -1.00001 <= score <= 1.00001


def test_recommend_refuses_a_k_below_1(release):
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        recommend(release, {}, 0, {})


def test_build_names_the_item_whose_embedding_is_not_finite(tmp_path, model):
    workdir = Workdir(str(tmp_path))
    rows = [
        {"item_id": f"i{n}", "price": float("inf") if n in (70, 90) else 1.0} for n in range(99)
    ]
    _write_catalogue(workdir, rows=rows)
    with pytest.raises(JobError, match="embedding of item 'i70' is not finite"):
        build_index(_config(), workdir, model, DAY, None)


def test_build_without_queries_measures_no_recall(workdir, model):
    metrics = build_index(_config(), workdir, model, DAY, None).metrics
    assert metrics["index_recall"] is None
    assert metrics["kind"] == "brute_force"


def test_build_needs_the_days_catalogue(workdir, model):
    with pytest.raises(InputError, match="there are no catalogue of 2026-11-21"):
        build_index(_config(), workdir, model, datetime.date(2026, 11, 21), None)
