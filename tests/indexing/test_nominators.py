"""What nominators learn of days and propose, against plain Python."""

import datetime
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.example_counts import write_counts
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.counts import Counts
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.indexing.nominators.co_visitation import CoVisitation
from twotower_tf.indexing.nominators.fresh import Fresh
from twotower_tf.indexing.nominators.own_items import OwnItems
from twotower_tf.indexing.nominators.popular import Popular

DAY = datetime.date(2026, 11, 20)
END = 1_795_219_200  # 2026-11-21T00:00:00Z
IDS = [f"é{number}" for number in range(12)]
PLACES = {item_id: place for place, item_id in enumerate(IDS)}


def _examples(back: int) -> list[tuple[str, str]]:
    """Seed item and item of a day's examples; some are not in the catalogue, some have no seed."""
    rng = np.random.default_rng(back)
    names = [*IDS[:9], "gone"]
    return [
        (rng.choice(["", *names], p=[0.1, 0.4, 0.2, *[0.3 / 8] * 8]), names[int(rng.integers(10))])
        for _ in range(40 if back != 2 else 0)
    ]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    made = Workdir(str(tmp_path_factory.mktemp("work")))
    for back in range(6):
        day = DAY - datetime.timedelta(days=back)
        with made.partition("examples", day).write({}):
            pass
        write_counts(made, day, *zip(*_examples(back), strict=True) if back != 2 else ([], []))
    published = [END - 3600 * hours for hours in (1, 20, 1, 50, 71, 72, 73, -5)]
    rows = [(one, at) for one, at in zip(IDS, [*published, None, 0, 7, 8], strict=True)]
    # The last row of an id holds.
    rows = [(IDS[1], END), *rows]
    ids, times = zip(*rows, strict=True)
    table = pa.table({"item_id": pa.array(ids), "published_at": pa.array(times, pa.int64())})
    with made.partition("catalogue", DAY).write({"shards": [{"file": "items.parquet"}]}) as folder:
        pq.write_table(table, f"{folder}/items.parquet")
    return made


@pytest.fixture
def known(workdir):
    return Known(workdir, Counts(workdir), DAY, IDS, Calendar())


def _window(days: int) -> list[tuple[str, str]]:
    return [one for back in range(days) for one in _examples(back)]


def _find(ids: tf.Tensor) -> tf.Tensor:
    found = [[PLACES.get(one.decode(), -1) for one in row] for row in ids.numpy().tolist()]
    return tf.constant(found, tf.int32, ids.shape)


def _rows(nominated) -> list[list[tuple]]:
    rows = []
    for places, features in zip(
        nominated.positions.numpy(), nominated.features.numpy(), strict=True
    ):
        there = [(int(p), *f) for p, f in zip(places, features.tolist(), strict=True) if p >= 0]
        rows.append(there)
    return rows


@pytest.mark.parametrize(("days", "items"), [((1,), 5), ((2, 6), 4), ((1, 3, 6), 100)])
def test_the_most_popular_of_the_windows_are_proposed_to_everybody(known, days, items):
    popular = Popular(days, items)
    popular.learn(known)
    counts = [Counter(item for _, item in _window(one)) for one in days]
    logs = {one: [math.log1p(count[one]) for count in counts] for one in IDS}
    best = sorted(IDS, key=lambda one: -sum(logs[one]))[:items]
    best = [one for one in best if any(logs[one])]
    least = [min(logs[one][window] for one in best) for window in range(len(days))]
    want = [
        (PLACES[one], *(value - low for value, low in zip(logs[one], least, strict=True)))
        for one in best
    ]
    rows = _rows(popular.nominate({"device": tf.constant(["tv", ""])}, _find))
    ragged = tf.ragged.constant([["a"], []], dtype=tf.string)
    traced = tf.function(lambda history: popular.nominate({"history": history}, _find))
    assert _rows(traced(ragged)) == rows
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert len(rows[0]) == len(want)
    np.testing.assert_allclose(sorted(rows[0]), sorted(want), atol=1e-6)


def test_the_newest_are_proposed_by_how_fresh_they_are(known):
    fresh = Fresh(3, 4)
    fresh.learn(known)
    (row,) = _rows(fresh.nominate({"device": tf.constant(["tv"])}, _find))
    # Neither what is three days old nor what comes later, nor what nobody knows the age of.
    assert [place for place, _ in row] == [0, 2, 1, 3]
    np.testing.assert_allclose([score for _, score in row], 1 - np.array([1, 1, 20, 50]) / 72)


def _after(item_id: str, days: int, most: int) -> dict[int, float]:
    pairs = Counter(item for seed, item in _window(days) if seed == item_id and item in PLACES)
    n = sum(pairs.values())
    best = sorted(pairs, key=lambda one: (-pairs[one], PLACES[one]))[:most]
    return {PLACES[one]: math.log1p(100 * pairs[one] / (n + 10)) for one in best}


REQUEST = {
    "seed": tf.constant([IDS[0], "", "", "gone"]),
    "history": tf.ragged.constant(
        [[IDS[5], IDS[2], IDS[1]], [IDS[3], IDS[0], IDS[1]], [], [IDS[1]]], dtype=tf.string
    ),
}
# Of the seed on screen, or else the last item; and of the two items before it.
SEEDS = {
    ("seed", "history"): ([0, 1, None, None], [[1, 2], [0, 3], [], [1]]),
    (None, "history"): ([1, 1, None, 1], [[2, 5], [0, 3], [], []]),
    ("seed", None): ([0, None, None, None], None),
}


@pytest.mark.parametrize("named", SEEDS)
@pytest.mark.parametrize(("days", "most"), [(1, 3), (6, 4), (6, 50)])
def test_what_comes_after_the_seed_and_the_last_items_is_proposed(known, named, days, most):
    nominator = CoVisitation(*named, days, most, 2)
    nominator.learn(known)
    seeds, last = SEEDS[named]
    got = _rows(nominator.nominate(REQUEST, _find))
    assert nominator.features == (("after_seed", "after_last") if last else ("after_seed",))
    for row, seed in enumerate(seeds):
        want = [] if seed is None else list(_after(IDS[seed], days, most).items())
        if last is not None:
            want = [(*one, 0.0) for one in want]
            for item in last[row]:
                want += [(p, 0.0, value) for p, value in _after(IDS[item], days, most).items()]
        assert len(got[row]) == len(want)
        np.testing.assert_allclose(sorted(got[row]), sorted(want), atol=1e-6)


def test_own_items_are_told_how_popular_they_are(known):
    own = OwnItems((1, 6))
    own.learn(known)
    ids = tf.ragged.constant([[IDS[4], "gone", IDS[11]], []], dtype=tf.string)
    numbers = ids.with_values(tf.ones([3]))
    request = {"own_item_ids": ids, "own_counts": numbers, "own_days": numbers}
    nominated = own.nominate(request, _find)
    assert own.features == (
        "own",
        "own_log_count",
        "own_log_days",
        "own_log_popular_1",
        "own_log_popular_6",
    )
    counts = [Counter(item for _, item in _window(days)) for days in (1, 6)]
    want = [[math.log1p(count[one]) for count in counts] for one in (IDS[4], IDS[11])]
    np.testing.assert_allclose(nominated.features[0, ::2, 3:], want, atol=1e-6)
    assert np.isfinite(nominated.features).all()


def test_before_the_first_day_nothing_is_known(workdir):
    first = Known(workdir, Counts(workdir), DAY - datetime.timedelta(days=30), IDS, Calendar())
    for nominator in (Popular((1, 7), 5), Fresh(3, 4), CoVisitation("seed", "history", 7, 5, 2)):
        nominator.learn(first)
        assert not any(_rows(nominator.nominate(REQUEST, _find)))


def test_what_is_learnt_takes_the_place_of_what_was(workdir, known):
    again, once = Popular((1,), 5), Popular((1,), 5)
    again.learn(Known(workdir, Counts(workdir), DAY - datetime.timedelta(days=3), IDS, Calendar()))
    before = _rows(again.nominate(REQUEST, _find))
    for nominator in (again, once):
        nominator.learn(known)
    assert _rows(again.nominate(REQUEST, _find)) == _rows(once.nominate(REQUEST, _find)) != before
