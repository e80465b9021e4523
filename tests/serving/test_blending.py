"""Releases with own items among their nominators, against NumPy."""

import json
import math
import os
import shutil

import numpy as np
import pytest

from tests.example_records import example_record
from tests.shop import items_of_shop
from twotower_tf.releases import releases
from twotower_tf.serving.self_test import self_test
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.indexing.kinds.indexes import BruteForceIndex
from twotower_tf.indexing.nominators.blend import Blend
from twotower_tf.indexing.nominators.own_items import OwnItems
from twotower_tf.releases.refresh import refresh_release
from twotower_tf.serving.blending import Blending
from twotower_tf.serving.fresh_items import FreshItems
from twotower_tf.serving.retrieval import Request

NOMINATORS = ("index", "own_items")
# A bonus of 0.2 at once, 0.4 for each unit of log count, -0.1 for each of log days.
BLEND = Blend(5.0, {"own": 1.0, "own_log_count": 2.0, "own_log_days": -0.5}, 100)
QUERIES = {
    "seed": ["item-4", "ключ-5", ""],
    "history": [["item-1", ""], ["ключ-7", "item-8"], ["", ""]],
    "hour": [0.1, 0.9, 0.5],
}
# Of each query: id, count, days; one that is not in the catalogue, one with what is no count.
OWN = [
    [("item-2", 7.0, 0.5), ("ключ-1", 1.0, 300.0), ("nobody's", 9.0, 0.0), ("item-10", 2.0, 4.0)],
    [("item-8", math.nan, -3.0), ("ключ-299", 0.0, math.inf)],
    [],
]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("brute_force", marks=pytest.mark.long),
        pytest.param("portable", marks=pytest.mark.long),
        "scann",
    ],
)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def release(kind, shop):
    return shop.release(kind, NOMINATORS, BLEND)


@pytest.fixture(scope="module")
def loaded(release):
    return release.load_saved_model()


def _padded(rows: list[list], padding) -> list[list]:
    width = max(1, *map(len, rows))
    return [[*row, *[padding] * (width - len(row))] for row in rows]


def _inputs(own: list[list[tuple]]) -> dict[str, list]:
    columns = [[[one[place] for one in row] for row in own] for place in range(3)]
    padded = [_padded(rows, padding) for rows, padding in zip(columns, ("", 0.0, 0.0), strict=True)]
    return dict(zip(("own_item_ids", "own_counts", "own_days"), padded, strict=True))


def _cosines(shop, items) -> list[dict[str, float]]:
    """The cosine of every item by its id, for each query, by the trainer's own towers."""
    blank = tf.ragged.constant([[], [], []], dtype=tf.string)
    query = {
        "seed": tf.constant(QUERIES["seed"]),
        "history": tf.ragged.constant([["item-1"], ["ключ-7", "item-8"], []], dtype=tf.string),
        "searches": blank,
        "searches_weights": blank.with_values(tf.zeros([0])),
        "device": tf.constant(["", "", ""]),
        "hour": tf.constant(QUERIES["hour"]),
        "mood": tf.zeros([3, 3]),
    }
    vectors = shop.vectors(items)
    matrix = np.stack([*vectors.values()])
    rows = shop.model.query_tower(query).numpy().astype(np.float64) @ matrix.T
    return [dict(zip(vectors, row, strict=True)) for row in rows]


def _blended(cosines: dict[str, float], own: list[tuple]) -> dict[str, float]:
    scores = dict(cosines)
    for item_id, count, days in own:
        if item_id in scores:
            count = count if count >= 1 else 1.0
            days = min(days, 1e6) if days >= 0 else 1e6
            bonus = 0.2 + 0.4 * math.log(count) - 0.1 * math.log1p(days)
            scores[item_id] = max(-1.0, scores[item_id] + bonus)
    return scores


def _best(scores: dict, k: int, without=()) -> dict[str, float]:
    left = [item_id for item_id in scores if item_id not in without]
    return {one: scores[one] for one in sorted(left, key=scores.get, reverse=True)[:k]}


def _rows(answer) -> list[dict[str, float]]:
    rows = []
    for ids, scores in zip(answer["item_ids"].numpy(), answer["scores"].numpy(), strict=True):
        assert (np.diff(scores) <= 0).all()
        assert np.isfinite(scores).all()
        row = {one.decode(): s for one, s in zip(ids, scores.tolist(), strict=True) if one}
        assert len(row) == sum(one != b"" for one in ids)
        rows.append(row)
    return rows


def _agree(kind: str, got: dict, want: dict, scores: dict) -> None:
    """The same ids with their scores; of an approximate index nearly all of them."""
    assert len(got) == len(want)
    for item_id, score in got.items():
        assert score == pytest.approx(scores[item_id], abs=1e-5)
    missed = len(want.keys() - got.keys())
    assert missed <= (max(1, len(want) // 10) if kind != "brute_force" else 0)


@pytest.fixture(scope="module")
def blended(shop):
    """The blended score of every item, for each query."""
    rows = _cosines(shop, shop.catalogue_of(items_of_shop()))
    return [_blended(row, own) for row, own in zip(rows, OWN, strict=True)]


@pytest.mark.parametrize("k", [1, 5, 40, 2**31 - 1])
def test_own_items_and_the_index_come_on_one_scale(kind, loaded, blended, k):
    rows = _rows(loaded.serving_default(k=k, **QUERIES, **_inputs(OWN)))
    for got, scores in zip(rows, blended, strict=True):
        _agree(kind, got, _best(scores, k), scores)
    # Those that were acted on often are where the index alone would not have them.
    assert next(iter(rows[0])) == "item-2"


def test_excluded_items_never_come_whoever_proposes_them(kind, loaded, blended):
    excluded = [["item-2", "nobody's", *list(_best(blended[0], 6))], ["item-8"], []]
    padded = _padded(excluded, "")
    answer = loaded.serving_default(k=10, exclude_ids=padded, **QUERIES, **_inputs(OWN))
    for got, scores, without in zip(_rows(answer), blended, excluded, strict=True):
        assert not set(got) & set(without)
        _agree(kind, got, _best(scores, 10, without), scores)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_bonuses_the_best_of_all_items_come(seed):
    rng = np.random.default_rng(seed)
    items, dim, rows = 40, 3, 3
    embeddings = rng.normal(size=(items, dim)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    queries = rng.normal(size=(rows, dim)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    ids = np.array([f"i{n}" for n in range(items)], object)
    # For and against, so that all of the index's best may fall behind.
    blend = Blend(1.0, {"own": rng.normal(), "own_log_count": rng.normal(), "own_log_days": 0}, 0)
    index = BruteForceIndex(embeddings)
    blending = Blending([OwnItems()], blend, index, ids, embeddings)
    own = [sorted(rng.choice(items, rng.integers(12), replace=False)) for _ in range(rows)]
    counts = [rng.integers(1, 9, len(row)).astype(np.float32) for row in own]
    excluded = [[f"i{n}" for n in rng.integers(items, size=rng.integers(5))] for _ in range(rows)]
    ids_of_rows = tf.ragged.constant([[f"i{n}" for n in row] for row in own], dtype=tf.string)
    inputs = {
        "own_item_ids": ids_of_rows,
        "own_counts": ids_of_rows.with_values(np.concatenate(counts)),
        "own_days": ids_of_rows.with_values(np.zeros(sum(map(len, own)), np.float32)),
    }
    k = int(rng.integers(1, 30))
    request = Request.of(
        tf.constant(queries), tf.constant(k), tf.constant(_padded(excluded, ""), tf.string)
    )
    fresh = FreshItems(items, dim)
    answer = blending.retrieve(tf.Variable(ids, dtype=tf.string), fresh, request, inputs)
    for row, got in enumerate(_rows(answer)):
        scores = dict(zip(ids, (embeddings @ queries[row]).tolist(), strict=True))
        for item, count in zip(own[row], counts[row], strict=True):
            bonus = blend.weights["own"] + blend.weights["own_log_count"] * math.log(count)
            scores[f"i{item}"] = max(-1.0, scores[f"i{item}"] + bonus)
        want = _best(scores, k, excluded[row])
        assert list(got) == list(want)
        np.testing.assert_allclose(list(got.values()), list(want.values()), atol=1e-5)


def test_without_own_items_a_release_gives_what_its_index_alone_gives(kind, shop, loaded):
    index_alone = shop.release(kind).load_saved_model()
    alone = index_alone.serving_default(k=20, **QUERIES)
    empty = [_inputs([[], [], []]), {}]
    for own in empty:
        answer = loaded.serving_default(k=20, **QUERIES, **own)
        assert (answer["item_ids"].numpy() == alone["item_ids"].numpy()).all()
        np.testing.assert_allclose(answer["scores"], alone["scores"], atol=1e-6)


def test_own_items_need_as_many_counts_and_days_as_ids(loaded):
    inputs = {**_inputs(OWN), "own_days": [[1.0], [1.0], [1.0]]}
    with pytest.raises(tf.errors.InvalidArgumentError, match="own_days must have as many"):
        loaded.serving_default(k=3, **QUERIES, **inputs)


def test_examples_as_the_build_writes_them_give_the_same(loaded):
    records = []
    for row, own in enumerate(OWN):
        texts = {
            "query/seed": [QUERIES["seed"][row].encode()],
            "query/history": [one.encode() for one in QUERIES["history"][row] if one],
            "own_item_ids": [one.encode() for one, _, _ in own],
        }
        numbers = {
            "query/hour": [QUERIES["hour"][row]],
            "own_counts": [count for _, count, _ in own],
            "own_days": [days for _, _, days in own],
        }
        records.append(example_record(texts, numbers, {}))
    answer = loaded.examples(tf.constant(records))
    want = loaded.serving_default(k=7, **QUERIES, **_inputs(OWN))
    assert (answer["item_ids"].numpy() == want["item_ids"].numpy()).all()
    np.testing.assert_allclose(answer["scores"], want["scores"], atol=1e-6)


def test_no_rows_give_no_rows(loaded):
    none = {name: tf.zeros([0, 2] if name == "history" else [0], tf.string) for name in ("seed",)}
    own = {"own_item_ids": tf.zeros([0, 2], tf.string), "own_counts": tf.zeros([0, 2])}
    answer = loaded.serving_default(k=4, **none, **own, own_days=tf.zeros([0, 2]))
    assert answer["item_ids"].shape == (0, 4)


def test_the_self_test_asks_with_own_items(release):
    with open(os.path.join(release.path, "assets.extra", "self_test.json"), encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    assert any(case["query"].get("own_item_ids") for case in cases)
    assert self_test(release.path) == []


def test_fresh_and_removed_items_are_the_users_own_too(kind, shop, release, tmp_path):
    workdir = Workdir(str(tmp_path))
    config = shop.config_of(kind, NOMINATORS)
    shutil.copytree(release.path, workdir.path("releases", config.name, release.version))
    records = items_of_shop()
    new = [{**record, "sku": f"new-{n}", "title": f"news {n}"} for n, record in enumerate(records)]
    # item-2 goes, ключ-1 changes, and new-3 comes.
    later = [record for record in records if record["sku"] != "item-2"]
    for record in later:
        if record["sku"] == "ключ-1":
            record["title"] = "another title"
    items = shop.catalogue_of([*later, *new[:12]])
    refresh_release(config, workdir, items)
    own = [[("item-2", 7.0, 0.5), ("ключ-1", 5.0, 1.0), ("new-3", 3.0, 2.0)], [], []]
    loaded = releases.current(workdir, config.name).load_saved_model()
    rows = _rows(loaded.serving_default(k=30, **QUERIES, **_inputs(own)))
    want = [_blended(row, one) for row, one in zip(_cosines(shop, items), own, strict=True)]
    assert "item-2" not in rows[0]
    assert set(list(rows[0])[:2]) == {"ключ-1", "new-3"}
    for got, scores in zip(rows, want, strict=True):
        _agree(kind, got, _best(scores, 30), scores)
