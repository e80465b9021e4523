"""Releases whose nominators learnt of days, against NumPy: popular, co-visitation, fresh items."""

import datetime
import math
import shutil
from collections import Counter

import numpy as np
import pytest

from tests.example_counts import write_counts
from tests.shop import DAY, items_of_shop
from twotower_tf.config import Config
from twotower_tf.releases import releases
from twotower_tf.serving.self_test import self_test
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.indexing.nominators.blend import Blend
from twotower_tf.releases.build import build_index
from twotower_tf.releases.refresh import refresh_release

NOMINATORS = [
    "index",
    {"kind": "own_items", "popularity_days": [2]},
    {"kind": "popular", "days": [2], "items": 30},
    {"kind": "co_visitation", "days": 2, "items": 4, "last": 1},
]
WEIGHTS = {
    "own": 0.5,
    "own_log_count": 0.0,
    "own_log_days": 0.0,
    "own_log_popular_2": 0.1,
    "log_popular_2": 0.2,
    "after_seed": 0.3,
    "after_last": 0.4,
}
QUERIES = {
    "seed": ["item-4", "", ""],
    "history": [["item-1", "item-0"], ["ключ-7", "item-8"], ["", ""]],
}
# The seed item of each query, and the item before it.
SEEDS = [("item-4", "item-0"), ("item-8", "ключ-7"), (None, None)]
OWN = {
    "own_item_ids": [["item-2", "item-8"]] * 3,
    "own_counts": [[1.0, 1.0]] * 3,
    "own_days": [[0.0, 0.0]] * 3,
}


def _examples(back: int) -> list[tuple[str, str]]:
    """Seed item and item of a day's examples, mostly of a few items."""
    rng = np.random.default_rng(back)
    ids = [record["sku"] for record in items_of_shop()]
    numbers = (rng.zipf(1.3, (200, 2)) - 1) % 60
    return [(ids[seed], ids[item]) for seed, item in numbers.tolist()]


EXAMPLES = [*_examples(0), *_examples(1)]


@pytest.fixture(scope="module")
def made(shop, tmp_path_factory):
    """The work directory with the release, and its configuration."""
    workdir = Workdir(str(tmp_path_factory.mktemp("learnt")))
    shop.catalogue_of(items_of_shop())
    shutil.copytree(shop.workdir.path("catalogue"), workdir.path("catalogue"))
    for back in range(2):
        day = DAY - datetime.timedelta(days=back)
        with workdir.partition("examples", day).write({}):
            pass
        write_counts(workdir, day, *zip(*_examples(back), strict=True))
    told = {"nominators": NOMINATORS, "index": {"kind": "brute_force"}}
    config = Config.model_validate({**shop.config.model_dump(exclude_unset=True), **told})
    blend = Blend(1.0, WEIGHTS, 10)
    built = build_index(config, workdir, shop.model, DAY, None, blend=blend)
    releases.publish(workdir, config.name, DAY, built.save, {})
    return workdir, config


def _cosines(shop, items) -> list[dict[str, float]]:
    """The cosine of every item by its id, for each query, by the trainer's own towers."""
    blank = tf.ragged.constant([[], [], []], dtype=tf.string)
    history = [[one for one in row if one] for row in QUERIES["history"]]
    query = {
        "seed": tf.constant(QUERIES["seed"]),
        "history": tf.ragged.constant(history, dtype=tf.string),
        "searches": blank,
        "searches_weights": blank.with_values(tf.zeros([0])),
        "device": tf.constant(["", "", ""]),
        "hour": tf.constant([0.5] * 3),
        "mood": tf.zeros([3, 3]),
    }
    vectors = shop.vectors(items)
    matrix = np.stack([*vectors.values()])
    rows = shop.model.query_tower(query).numpy().astype(np.float64) @ matrix.T
    return [dict(zip(vectors, row, strict=True)) for row in rows]


def _blended(order: list[str], cosines: dict[str, float], seeds: tuple) -> dict[str, float]:
    """Returns the scores of items, given those of the index in its order."""
    scores = dict(cosines)

    def add(item_id, bonus):
        if item_id in scores:
            scores[item_id] += bonus

    popularity = Counter(item for _, item in EXAMPLES)
    own = OWN["own_item_ids"][0]
    for item_id in own:
        add(item_id, 0.5 + 0.1 * math.log1p(popularity[item_id]))
    best = sorted(popularity, key=lambda one: (-popularity[one], order.index(one)))[:30]
    for item_id in best:
        least = math.log1p(popularity[best[-1]])
        if item_id not in own:
            add(item_id, 0.2 * (math.log1p(popularity[item_id]) - least))
    for seed, weight in zip(seeds, (0.3, 0.4), strict=True):
        after = Counter(item for one, item in EXAMPLES if one == seed)
        for item_id in sorted(after, key=lambda one: (-after[one], order.index(one)))[:4]:
            add(item_id, weight * math.log1p(100 * after[item_id] / (after.total() + 10)))
    return scores


def _asked(workdir, config, **inputs) -> list[dict[str, float]]:
    loaded = releases.current(workdir, config.name).load_saved_model()
    answer = loaded.serving_default(k=25, hour=[0.5] * 3, **QUERIES, **OWN, **inputs)
    rows = zip(answer["item_ids"].numpy(), answer["scores"].numpy().tolist(), strict=True)
    return [{one.decode(): s for one, s in zip(*row, strict=True)} for row in rows]


def _agree(rows: list[dict], scores: list[dict], without=()) -> None:
    for got, wanted in zip(rows, scores, strict=True):
        left = {one: score for one, score in wanted.items() if one not in without}
        best = sorted(left, key=left.get, reverse=True)[:25]
        assert set(got) == set(best)
        for item_id, score in got.items():
            assert score == pytest.approx(left[item_id], abs=1e-5)


@pytest.fixture(scope="module")
def order(shop):
    return list(shop.catalogue_of(items_of_shop()).item_ids)


@pytest.fixture(scope="module")
def scores(shop, order):
    rows = _cosines(shop, shop.catalogue_of(items_of_shop()))
    return [_blended(order, *row) for row in zip(rows, SEEDS, strict=True)]


def test_what_was_learnt_speaks_for_items_in_a_release(made, scores):
    rows = _asked(*made)
    _agree(rows, scores)
    assert any(score > 1.5 for score in rows[0].values())


def test_what_is_excluded_does_not_come_whoever_proposes_it(made, scores):
    popular = [one for one, _ in Counter(item for _, item in EXAMPLES).most_common(8)]
    excluded = [*popular, "item-8"]
    _agree(_asked(*made, exclude_ids=[excluded] * 3), scores, excluded)


def test_a_release_passes_its_own_self_test(made):
    workdir, config = made
    assert self_test(releases.current(workdir, config.name).path) == []


def test_what_is_gone_does_not_come_and_what_changed_is_as_popular_as_before(
    shop, made, order, tmp_path
):
    workdir = Workdir(str(tmp_path))
    shutil.copytree(made[0].path("releases"), workdir.path("releases"))
    records = items_of_shop()
    best = [one for one, _ in Counter(item for _, item in EXAMPLES).most_common(6)]
    gone, changed = best[:3], [*best[3:], "item-8"]
    later = [
        {**record, "title": "another title"} if record["sku"] in changed else record
        for record in records
        if record["sku"] not in gone
    ]
    items = shop.catalogue_of(later)
    refresh_release(made[1], workdir, items)
    rows = zip(_cosines(shop, items), SEEDS, strict=True)
    _agree(_asked(workdir, made[1]), [_blended(order, *row) for row in rows])
