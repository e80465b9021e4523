"""Nearest items against a dense matrix of users and items, and sorting the whole catalogue."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twotower_tf.evaluation import item_knn
from twotower_tf.evaluation.item_knn import ItemKnn
from twotower_tf.evaluation.past_items import PastItems
from twotower_tf.indexing.ranking import Removed

FIRST = datetime.date(2026, 1, 1)
IDS = [f"i{n}" for n in range(9)]
USERS = [f"u{n}" for n in range(6)]


def table_of(actions):
    users, items = [[one[at] for one in actions] for at in (0, 1)]
    return pa.table(
        {"user_id": pa.array(users, pa.string()), "item_id": pa.array(items, pa.string())}
    )


def counts_of(actions):
    items = sorted({item for _, item in actions})
    counts = [sum(item == one for _, item in actions) for one in items]
    return pa.table(
        {"item_id": pa.array(items, pa.string()), "examples": pa.array(counts, pa.int64())}
    )


def fill(knn, days):
    for number, actions in enumerate(days):
        day = FIRST + datetime.timedelta(days=number)
        knn.add_day(day, counts_of(actions), table_of(actions))


def past_of(lists):
    return PastItems(
        [one for ids in lists for one in ids], np.cumsum([0, *map(len, lists)]).astype(np.int64)
    )


def dense_scores(actions, catalogue, past, neighbours, shrinkage):
    """Scores [N] of a query, by the matrix of all users and items."""
    ids = [*catalogue, *(one for one in [*IDS, "gone"] if one not in catalogue)]
    matrix = np.zeros((len(USERS), len(ids)))
    for user, item in actions:
        matrix[USERS.index(user), ids.index(item)] = 1
    together = matrix.T @ matrix
    norms = np.sqrt(np.outer(matrix.sum(0), matrix.sum(0)))
    similar = np.where(together > 0, together / np.where(together > 0, norms + shrinkage, 1), 0)
    similar = np.rint(similar * 2**32)
    np.fill_diagonal(similar, 0)
    similar = similar[:, : len(catalogue)]
    scores = np.zeros(len(catalogue))
    for item in past:
        row = similar[ids.index(item)]
        nearest = sorted(range(len(row)), key=lambda at: (-row[at], at))[:neighbours]
        for at in nearest:
            scores[at] += row[at]
    return scores


days_of_actions = st.lists(
    st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(IDS)), max_size=20), max_size=4
)
pasts = st.lists(st.sampled_from([*IDS, "gone"]), unique=True, max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    days=days_of_actions,
    window=st.integers(1, 3),
    catalogue=st.lists(st.sampled_from(IDS), unique=True),
    queries=st.lists(st.tuples(pasts, st.integers(-1, 8), st.sets(st.integers(0, 8))), max_size=6),
    neighbours=st.integers(1, 4),
    shrinkage=st.sampled_from([0.0, 2.5]),
    k=st.integers(1, 10),
    removing=st.booleans(),
    pairs=st.sampled_from([1, 7, 1 << 22]),
)
def test_ranks_and_top_equal_sorting_dense_scores(
    days, window, catalogue, queries, neighbours, shrinkage, k, removing, pairs
):
    knn = ItemKnn(window, neighbours, shrinkage)
    fill(knn, days)
    recent = [action for actions in days[-window:] for action in actions]
    size = len(catalogue)
    positives = np.array([min(at, size - 1) for _, at, _ in queries], int)
    gone = [sorted(at for at in some if at < size) if removing else [] for _, _, some in queries]
    removed = Removed(
        np.repeat(np.arange(len(queries)), list(map(len, gone))).astype(np.int64),
        np.array([at for some in gone for at in some], np.int64),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_knn, "_PAIRS_TOGETHER", pairs)
        past = past_of([items for items, _, _ in queries])
        ranking = knn.rank(past, positives, catalogue, k, removed if removing else None)
    popularity = [sum(item == one for _, item in recent) for one in catalogue]
    assert ranking.top.shape == (len(queries), min(k, size))
    for query, (items, _, _) in enumerate(queries):
        scores = dense_scores(recent, catalogue, items, neighbours, shrinkage)
        order = [
            at
            for at in sorted(range(size), key=lambda at: (-scores[at], -popularity[at], at))
            if at not in gone[query]
        ]
        positive = positives[query]
        assert ranking.ranks[query] == (order.index(positive) + 1 if positive in order else 0)
        top = ranking.top[query].tolist()
        assert [at for at in top if at >= 0] == order[:k]
        assert top == sorted(top, key=lambda at: at < 0)


def test_an_item_that_one_user_repeats_is_no_nearer_for_it():
    repeated = [("u0", "i0"), *[("u0", "i1")] * 9, ("u1", "i0"), ("u1", "i2"), ("u2", "i2")]
    knn = ItemKnn(7, 5, 0.0)
    fill(knn, [repeated])
    # i1 and i0: 1 / sqrt(1 * 2); i2 and i0: 1 / sqrt(2 * 2).
    ranking = knn.rank(past_of([["i0"]]), np.array([2]), ["i0", "i1", "i2"], 3)
    assert ranking.top.tolist() == [[1, 2, 0]]
    # Shrinkage draws what rests on the fewer users down, here not past the other.
    shrunk = ItemKnn(7, 5, 100.0)
    fill(shrunk, [repeated])
    assert shrunk.rank(past_of([["i0"]]), np.array([2]), ["i0", "i1", "i2"], 3).ranks == [2]


def test_a_larger_random_world_is_the_same_in_small_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    names = [f"n{n}" for n in range(300)]
    draws = np.minimum(rng.integers(0, 300, (2, 5000)), rng.integers(0, 300, (2, 5000)))
    knn = ItemKnn(7, 10, 5.0)
    fill(knn, [[(f"v{user}", names[item]) for user, item in draws.T.tolist()]])
    lists = [[names[at] for at in np.unique(rng.integers(0, 300, 6))] for _ in range(200)]
    positives = rng.integers(-1, 300, 200)
    whole = knn.rank(past_of(lists), positives, names, 20)
    monkeypatch.setattr(item_knn, "_PAIRS_TOGETHER", 1000)
    in_blocks = knn.rank(past_of(lists), positives, names, 20)
    np.testing.assert_array_equal(whole.ranks, in_blocks.ranks)
    np.testing.assert_array_equal(whole.top, in_blocks.top)


def test_days_must_come_in_order():
    knn = ItemKnn(7, 5, 0.0)
    fill(knn, [[], []])
    with pytest.raises(ValueError, match="in order"):
        knn.add_day(FIRST, counts_of([]), table_of([]))
