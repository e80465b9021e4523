"""The index build end to end: catalogue in, SavedModel out, asked in this and other processes."""

import datetime
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.hashes import text_hash
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.examples.schema import HISTORY_DWELL, HISTORY_TYPES
from twotower_tf.examples.users import histories, history_rows, profiles
from twotower_tf.releases import releases
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.models.inference import TowerInference
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.releases.build import build_index
from twotower_tf.releases.recommendation import Recommender

DAY = datetime.date(2026, 11, 20)
ITEMS = 300


def _config(kind="brute_force", vocabulary=None, buckets=500) -> Config:
    """A configuration with all kinds of raw values, named as its kind of index."""
    return Config.model_validate(
        {
            "name": kind,
            "source": {
                "events": {
                    "path": "e.csv",
                    "columns": {
                        "seed_item_id": "seed_item_id",
                        "event_type": "what",
                        "dwell": "seconds",
                    },
                },
                "items": {"path": "items.jsonl", "columns": {"item_id": "sku", "title": "title"}},
                "users": {"path": "users.jsonl"},
            },
            "examples": {"shards": 2},
            "tables": {
                "items": {"buckets": 2000, "dim": 8},
                "words": {"buckets": buckets, "dim": 8, "vocabulary": vocabulary},
                "titles": {"buckets": 500, "dim": 8},
            },
            "query": {
                "features": [
                    {"name": "seed_item_id", "kind": "id", "table": "items"},
                    {"name": "history", "kind": "id_bag", "table": "items", "max_length": 3},
                    {
                        "name": "searches",
                        "column": "search_words",
                        "kind": "weighted_id_bag",
                        "table": "words",
                        "weights": "search_weights",
                        "max_length": 2,
                    },
                    {"name": "last", "column": "history", "kind": "id", "table": "items"},
                    {
                        "name": "recent",
                        "column": "history",
                        "kind": "id_bag",
                        "encode": "item",
                        "encoder": {
                            "kind": "recency",
                            "times": True,
                            "types": ["click", "buy"],
                            "dwell": True,
                        },
                        "max_length": 3,
                    },
                    {"name": "device", "kind": "category", "values": ["phone", "tv"]},
                    {
                        "name": "hour",
                        "of": "user",
                        "kind": "dense",
                        "normalise": "none",
                        "default": 0.5,
                    },
                ],
                "layers": [16, 16],
            },
            "candidate": {
                "features": [
                    {"name": "item_id", "column": "sku", "kind": "id", "table": "items"},
                    {"name": "title", "kind": "text", "table": "titles"},
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


def _write_catalogue(workdir: Workdir, folder, config: Config) -> None:
    rng = np.random.default_rng(3)
    source = folder / "items.jsonl"
    with source.open("w") as file:
        for n in range(ITEMS):
            row = {"sku": f"ключ-{n}" if n % 2 else f"item-{n}"}
            row["topics"] = [f"t{t}" for t in rng.integers(20, size=n % 4)]
            if n % 3:
                row["title"] = f"title {n}"
            if n % 5:
                row["price"] = rng.random()
            file.write(json.dumps(row) + "\n")
    parsed = catalogue.parse_catalogue([SourceFile(str(source), "jsonl")], str(folder), config)
    assert len(parsed.items) == ITEMS, parsed.rejected[:1]
    manifest = {"shards": [{"file": catalogue.FILE}]}
    with workdir.partition(catalogue.KIND, DAY).write(manifest) as staging:
        catalogue.write_catalogue(parsed, os.path.join(staging, catalogue.FILE))


def _write_users(workdir: Workdir, folder, config: Config) -> None:
    """Ann has a history and a profile, Björn a history alone, Zoë a profile alone."""
    source = folder / "users.jsonl"
    rows = [{"user_id": "ann", "hour": 0.75}, {"user_id": "zoë", "hour": 0.25}]
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with workdir.partition(profiles.KIND, DAY).write({"shards": [0, 1]}) as staging:
        files = [SourceFile(str(source), "jsonl")]
        profiles.stage_profiles(config, DAY, files, str(folder), staging)
    ids = {"ann": [f"item-{n}" for n in (2, 4, 6, 8)], "björn": ["item-1"]}
    manifest = {"chains": [[str(DAY)]] * 2}
    with workdir.partition(histories.KIND, DAY).write(manifest) as staging:
        for shard in range(2):
            active = [
                {
                    "user_id": user,
                    "item_ids": item_ids,
                    "timestamps": list(range(len(item_ids))),
                    "event_types": ["click", "", "buy", ""][: len(item_ids)],
                    "dwells": [9.5, 0.0, 1.0, 70.0][: len(item_ids)],
                }
                for user, item_ids in ids.items()
                if text_hash(user) % 2 == shard
            ]
            schema = history_rows.schema_of(traits=(HISTORY_TYPES, HISTORY_DWELL))
            histories.ShardHistories(shard, every=14, schema=schema).write(
                DAY,
                os.path.join(staging, histories.file_name(shard, 2)),
                pa.Table.from_pylist(active, schema),
            )


QUERIES = {
    "seed_item_id": ["item-4", "ключ-5", ""],
    "history": [["item-1", "", "", ""], ["a", "b", "ключ-7", "item-8"], ["", "", "", ""]],
    "searches": [["x", "y", "z"], ["x", "", ""], ["", "", ""]],
    "searches_weights": [[1.0, 2.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "last": ["item-1", "item-8", ""],
    "recent": [["item-1", "item-2", "", ""], ["a", "b", "ключ-7", "item-8"], ["", "", "", ""]],
    "recent_days": [[2.5, 0.1, 0.0, 0.0], [9.0, 8.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]],
    "recent_types": [["click", "", "", ""], ["buy", "buy", "", "view"], ["", "", "", ""]],
    "recent_dwell": [[0.0, 30.0, 0.0, 0.0], [9.0, 7.0, 0.0, 400.0], [0.0, 0.0, 0.0, 0.0]],
    "device": ["phone", "tv", "watch"],
    "hour": [0.1, 0.9, 0.5],
}

# The same queries as training would see them: ragged, cut to the last max_length values.
QUERY_LISTS = {
    "history": [["item-1"], ["b", "ключ-7", "item-8"], []],
    "searches": [["y", "z"], ["x"], []],
    "searches_weights": [[2.0, 0.0], [0.5], []],
    "recent": [["item-1", "item-2"], ["b", "ключ-7", "item-8"], []],
    "recent_days": [[2.5, 0.1], [8.0, 0.5, 0.0], []],
    "recent_types": [["click", ""], ["buy", "", "view"], []],
    "recent_dwell": [[0.0, 30.0], [7.0, 0.0, 400.0], []],
}
NUMBERS = ("searches_weights", "recent_days", "recent_dwell")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    made = Workdir(str(tmp_path_factory.mktemp("work")))
    _write_catalogue(made, tmp_path_factory.mktemp("source"), _config())
    _write_users(made, tmp_path_factory.mktemp("source"), _config())
    return made


@pytest.fixture(scope="module")
def model():
    made = TwoTowerModel.from_config(_config())
    # What is known of past events counts for something, as it does once it is learnt.
    rng = np.random.default_rng(7)
    learnt = [one for one in made.query_tower.trainable_variables if "by_" in one.name]
    assert len(learnt) == 3
    for variable in learnt:
        variable.assign(rng.normal(size=variable.shape))
    return made


def _exact(model, config, workdir):
    """Item ids and scores of every item for QUERIES, best first, by NumPy in float64."""
    candidates = load_catalogue(workdir, config, DAY)
    features = {
        name: tf.constant(values)
        if isinstance(values, np.ndarray)
        else tf.RaggedTensor.from_row_splits(values.values.tolist(), values.row_splits)
        for name, values in candidates.features.items()
    }
    query = {name: tf.constant(values) for name, values in QUERIES.items()}
    for name, rows in QUERY_LISTS.items():
        dtype = tf.float32 if name in NUMBERS else tf.string
        query[name] = tf.ragged.constant(rows, dtype=dtype)
    scores = model.query_tower(query).numpy().astype(np.float64) @ (
        model.candidate_tower(features).numpy().astype(np.float64).T
    )
    order = np.argsort(-scores, axis=1)
    return candidates.item_ids[order], np.take_along_axis(scores, order, axis=1)


@pytest.fixture(
    scope="module", params=[pytest.param("brute_force", marks=pytest.mark.long), "scann"]
)
def release(request, workdir, model):
    config = _config(request.param)
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
loaded = tf.saved_model.load(folder)
ask = loaded.serving_default
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


def test_recommender_fills_missing_features_with_their_defaults(release, workdir):
    recommender = Recommender(_config(release.model), workdir)
    partial = recommender.recommend({"seed_item_id": "item-4"}, 5)
    complete = {
        "seed_item_id": "item-4",
        "history": [],
        "searches": [],
        "searches_weights": [],
        "last": "",
        "recent": [],
        "recent_days": [],
        "recent_types": [],
        "recent_dwell": [],
        "device": "",
        "hour": 0.5,
    }
    assert partial == recommender.recommend(complete, 5)
    assert partial != recommender.recommend(complete | {"hour": 50}, 5)
    for item_id, score, title in partial:
        number = int(item_id.rpartition("-")[2])
        assert title == (f"title {number}" if number % 3 else "")
        assert abs(score) <= 1 + 1e-6
    assert len(recommender.recommend({})) == 7


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"histroy": ["a"]}, "unknown feature 'histroy'; did you mean 'history'?"),
        ({"history": "a"}, "'history' must be a list of texts or whole numbers, got \"a\""),
        ({"history": ["a", 5.5]}, "'history' must be a list of texts or whole numbers"),
        ({"history": ["a", True]}, "'history' must be a list of texts or whole numbers"),
        (
            {"seed_item_id": 0.5},
            "'seed_item_id' must be a text in quotes or a whole number, got 0.5",
        ),
        ({"seed_item_id": None}, "'seed_item_id' must be a text in quotes or a whole number"),
        ({"hour": True}, "'hour' must be a number, got true"),
        ({"hour": "9"}, "'hour' must be a number, got \"9\""),
        ({"hour": 1e39}, "'hour' must be a number, got 1e+39"),
        ({"searches_weights": 3}, "'searches_weights' must be a list of numbers, got 3"),
        ({"hour": float("nan")}, "'hour' must be a number, got NaN"),
        ({"searches": ["a"]}, "'searches_weights' must have as many values as 'searches', got 0"),
        (
            {"recent": ["a"], "recent_days": [1], "recent_types": ["", ""], "recent_dwell": [1]},
            "'recent_types' must have as many values as 'recent', got 2 and 1",
        ),
        (
            {"recent": ["a"], "recent_days": [1], "recent_types": [""]},
            "'recent_dwell' must have as many values as 'recent', got 0 and 1",
        ),
    ],
)
def test_recommender_refuses_queries_that_do_not_fit(release, workdir, query, message):
    with pytest.raises(InputError) as error:
        Recommender(_config(release.model), workdir).recommend(query, 5)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_whole_numbers_are_ids_in_a_query_as_in_data_files(release, workdir):
    recommender = Recommender(_config(release.model), workdir)
    as_text = recommender.recommend({"seed_item_id": "41", "history": ["7", "8", "9"]}, 50)
    assert recommender.recommend({"seed_item_id": 41, "history": [7, 8.0, "9"]}, 50) == as_text
    assert recommender.recommend({"seed_item_id": "42", "history": ["7", "8", "9"]}, 50) != as_text


def test_a_k_beyond_all_numbers_asks_for_all_items(release, workdir):
    recommender = Recommender(_config(release.model), workdir)
    everything = recommender.recommend({}, 2**40)
    assert len({item_id for item_id, _, _ in everything}) == ITEMS
    assert len(recommender.recommend({}, 2**31 - 1, ["item-2"])) == ITEMS - 1


def test_to_exclude_every_item_is_an_error_that_says_so(release, workdir):
    everything = [
        item_id
        for item_id, _, _ in Recommender(_config(release.model), workdir).recommend({}, ITEMS)
    ]
    with pytest.raises(JobError, match="nothing to recommend: all of the 300 items") as error:
        Recommender(_config(release.model), workdir).recommend({}, 5, everything)
    assert "\n" not in str(error.value)


def test_recommender_refuses_a_k_below_1(release, workdir):
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        Recommender(_config(release.model), workdir).recommend({}, 0)


def test_recommender_makes_a_users_query_of_history_and_profile(release, workdir):
    recommender = Recommender(_config(release.model), workdir)
    query = recommender.query_for_user("ann")
    assert query == {
        "seed_item_id": "item-8",
        "history": ["item-2", "item-4", "item-6", "item-8"],
        "last": "item-8",
        "recent": ["item-2", "item-4", "item-6", "item-8"],
        "recent_days": [(Calendar().end_of(DAY) - second) / 86_400 for second in range(4)],
        "recent_types": ["click", "", "buy", ""],
        "recent_dwell": [9.5, 0.0, 1.0, 70.0],
        "hour": 0.75,
    }
    lists = ("history", "recent", "recent_days", "recent_types", "recent_dwell")
    cut = query | {name: query[name][-3:] for name in lists}
    other = query | {"recent_types": ["click", "", "", "click"]}
    assert recommender.recommend(query, 9) != recommender.recommend(other, 9)
    assert recommender.recommend(query, 9) == recommender.recommend(cut, 9)
    assert recommender.query_for_user("björn") == {
        "seed_item_id": "item-1",
        "history": ["item-1"],
        "last": "item-1",
        "recent": ["item-1"],
        "recent_days": [Calendar().end_of(DAY) / 86_400],
        "recent_types": ["click"],
        "recent_dwell": [9.5],
    }
    assert sorted(recommender.some_users(5)) == ["ann", "björn"]
    assert recommender.some_users(1) == recommender.some_users(2)[:1]
    with pytest.raises(InputError, match="user 'zoë' has no history up to 2026-11-20"):
        recommender.query_for_user("zoë")


def test_recommender_needs_a_release(workdir):
    config = _config().model_copy(update={"name": "other"})
    with pytest.raises(InputError, match="there is no release of 'other'"):
        Recommender(config, workdir)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["file", "built"])
def test_release_of_tables_with_a_vocabulary_answers_after_loading(tmp_path, workdir, kind):
    words = tmp_path / "words.txt"
    words.write_text("t1\nt2\nщит\n", encoding="utf-8")
    # A table of one bucket: without the vocabulary all ids would be one.
    config = _config(vocabulary=str(words) if kind == "file" else {"built": 5}, buckets=1)
    model = TwoTowerModel.from_config(config)
    if kind == "built":
        model.tables["words"].set_vocabulary(["t1", "t2", "щит"])
    built = build_index(config, workdir, model, DAY, None)
    assert built.metrics["index_recall"] is None
    published = releases.publish(Workdir(str(tmp_path)), "words", DAY, built.save, {})
    words.unlink()

    embed_items = TowerInference(model.candidate_tower, config, "candidate")
    items = embed_items.embed_catalogue(load_catalogue(workdir, config, DAY), 50)
    answers = []
    for word in ("щит", "t2", "unlisted"):
        query = {name: tf.constant(values[2:]) for name, values in QUERIES.items()}
        query["searches"], query["searches_weights"] = tf.constant([[word]]), tf.constant([[1.0]])
        loaded = published.load_saved_model()
        answer = loaded.serving_default(k=tf.constant(ITEMS), **query)
        scores = items @ model.query_tower(query)[0].numpy()
        np.testing.assert_allclose(answer["scores"][0], np.sort(scores)[::-1], atol=1e-5)
        answers.append(answer["scores"].numpy().tobytes())
    assert len(set(answers)) == 3


def test_build_needs_a_catalogue_of_the_day_or_before(workdir, model):
    with pytest.raises(InputError, match="no catalogue of 2026-11-19 or before"):
        build_index(_config(), workdir, model, DAY - datetime.timedelta(days=1), None)
