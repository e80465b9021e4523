"""Exact ranking, against sorting the whole score matrix in plain Python."""

import numpy as np
import pytest

from twotower_tf.indexing.ranking import Removed, rank_exactly


def sorted_catalogue(query, items):
    """The positions of all items, best first, from float64 scores sorted in Python."""
    scores = [sum(float(q) * float(v) for q, v in zip(query, item, strict=True)) for item in items]
    return sorted(range(len(items)), key=lambda position: (-scores[position], position))


def check_against_sorting(queries, items, positives, k, batch_size):
    ranking = rank_exactly(queries, items, positives, k, batch_size)
    assert ranking.top.shape == (len(queries), min(k, len(items)))
    for query, positive, rank, top in zip(
        queries, positives, ranking.ranks, ranking.top, strict=True
    ):
        order = sorted_catalogue(query, items)
        assert top.tolist() == order[:k]
        assert rank == (0 if positive < 0 else 1 + order.index(positive))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (50, 50), (300, 10), (2000, 5), (2000, 150)])
def test_ranks_and_top_equal_sorting_all_scores(n, k):
    rng = np.random.default_rng(n)
    queries = rng.normal(size=(11, 8)).astype(np.float32)
    items = rng.normal(size=(n, 8)).astype(np.float32)
    check_against_sorting(queries, items, rng.integers(-1, n, 11), k, batch_size=4)


@pytest.mark.parametrize("values", [1, 2, 4])
def test_ties_go_to_the_lower_position(values):
    # Small whole numbers have exact float32 scores, so that many items really tie.
    rng = np.random.default_rng(values)
    queries = rng.integers(0, values, size=(9, 3)).astype(np.float32)
    items = rng.integers(0, values, size=(700, 3)).astype(np.float32)
    check_against_sorting(queries, items, rng.integers(-1, 700, 9), k=20, batch_size=5)


def test_the_batch_size_does_not_change_the_result():
    rng = np.random.default_rng(0)
    queries = rng.integers(-3, 4, size=(23, 6)).astype(np.float32)
    items = rng.integers(-3, 4, size=(500, 6)).astype(np.float32)
    positives = rng.integers(-1, 500, 23)
    whole = rank_exactly(queries, items, positives, 10, batch_size=23)
    for batch_size in (1, 7, 22, 1000):
        part = rank_exactly(queries, items, positives, 10, batch_size)
        np.testing.assert_array_equal(part.ranks, whole.ranks)
        np.testing.assert_array_equal(part.top, whole.top)


def test_no_queries_and_no_items_give_empty_results():
    nothing = np.zeros((0, 4), np.float32)
    some = np.ones((3, 4), np.float32)
    no_queries = rank_exactly(nothing, some, np.zeros(0, int), k=2, batch_size=8)
    assert (no_queries.ranks.shape, no_queries.top.shape) == ((0,), (0, 2))
    no_items = rank_exactly(some, nothing, np.full(3, -1), k=2, batch_size=8)
    assert no_items.ranks.tolist() == [0, 0, 0]
    assert no_items.top.shape == (3, 0)


def test_a_broken_model_is_refused_instead_of_ranked_first():
    items = np.ones((3, 4), np.float32)
    items[1, 2] = np.nan
    with pytest.raises(ValueError, match="item_embeddings must be finite, but row 1"):
        rank_exactly(np.ones((2, 4), np.float32), items, np.array([0, 1]), 2, 8)


@pytest.mark.parametrize(
    ("positives", "k", "message"),
    [
        ([0, 3], 1, "below 3, got 3"),
        ([-2, 0], 1, "got -2"),
        ([0], 1, "2 queries"),
        ([0, 0], 0, "k"),
    ],
)
def test_arguments_that_do_not_fit_are_named(positives, k, message):
    ones = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=message):
        rank_exactly(ones[:2], ones, np.array(positives), k, 8)


def test_what_is_removed_is_never_found_and_the_others_close_up():
    rng = np.random.default_rng(4)
    # Few distinct vectors, so that many scores are equal.
    items = rng.integers(-1, 2, (15, 3)).astype(np.float32)
    queries = rng.integers(-1, 2, (40, 3)).astype(np.float32)
    positives = rng.integers(-1, 15, 40)
    gone = [np.flatnonzero(rng.random(15) < share) for share in rng.random(40)]
    removed = Removed(np.repeat(np.arange(40), [len(some) for some in gone]), np.concatenate(gone))
    ranking = rank_exactly(queries, items, positives, 6, batch_size=7, removed=removed)
    for query, some in enumerate(gone):
        scores = items @ queries[query]
        order = [at for at in np.lexsort((np.arange(15), -scores)).tolist() if at not in some]
        positive = positives[query]
        assert ranking.ranks[query] == (order.index(positive) + 1 if positive in order else 0)
        assert ranking.top[query].tolist() == (order + [-1] * 6)[:6]
