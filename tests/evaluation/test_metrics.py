"""Recall, NDCG, MRR, coverage and deciles, against loops in plain Python."""

import json
import math

import numpy as np
import pytest

from twotower_tf.evaluation.metrics import recall_by_popularity, summarise
from twotower_tf.indexing.ranking import Ranking, rank_exactly

AT = [1, 5, 20]


def random_ranking(queries, items, seed):
    rng = np.random.default_rng(seed)
    positives = rng.integers(-1, items, queries)
    ranking = rank_exactly(
        rng.normal(size=(queries, 4)).astype(np.float32),
        rng.normal(size=(items, 4)).astype(np.float32),
        positives,
        k=max(AT),
        batch_size=64,
    )
    return ranking, positives, rng.integers(0, 6, items)


def naive_recall(ranks, k):
    return sum(0 < rank <= k for rank in ranks) / len(ranks)


def test_a_small_ranking_by_hand():
    ranking = Ranking(np.array([1, 3, 0]), np.array([[0, 1], [1, 0], [0, 2]]))
    summary = summarise(ranking, np.array([0, 2, -1]), np.zeros(4), at=[1, 2])
    assert summary["recall"] == {"1": pytest.approx(1 / 3), "2": pytest.approx(1 / 3)}
    assert summary["ndcg"] == {"1": pytest.approx(1 / 3), "2": pytest.approx(1 / 3)}
    assert summary["mrr"] == pytest.approx((1 + 1 / 3) / 3)
    assert summary["coverage"] == {"1": 0.5, "2": 0.75}


def test_metrics_equal_loops_over_the_ranks():
    ranking, positives, counts = random_ranking(queries=200, items=60, seed=1)
    summary = summarise(ranking, positives, counts, AT)
    ranks = ranking.ranks.tolist()
    assert summary["mrr"] == pytest.approx(sum(1 / r for r in ranks if r) / len(ranks))
    for k in AT:
        gains = [1 / math.log2(1 + rank) for rank in ranks if 0 < rank <= k]
        shown = {item for top in ranking.top.tolist() for item in top[:k]}
        assert summary["recall"][str(k)] == pytest.approx(naive_recall(ranks, k))
        assert summary["ndcg"][str(k)] == pytest.approx(sum(gains) / len(ranks))
        assert summary["coverage"][str(k)] == pytest.approx(len(shown) / 60)


@pytest.mark.parametrize("items", [1, 7, 10, 63])
def test_deciles_split_the_catalogue_by_count_and_recall_is_that_of_their_items(items):
    ranking, positives, counts = random_ranking(queries=150, items=items, seed=items)
    deciles = summarise(ranking, positives, counts, AT)["recall_by_decile"]
    assert len(deciles) == 10
    sizes = [decile["items"] for decile in deciles]
    assert sum(sizes) == items
    assert max(sizes) - min(sizes) <= 1
    popular_first = sorted(range(items), key=lambda item: (-counts[item], item))
    for decile, size in zip(deciles, sizes, strict=True):
        group, popular_first = popular_first[:size], popular_first[size:]
        ranks = [
            rank
            for rank, positive in zip(ranking.ranks, positives, strict=True)
            if positive in group
        ]
        assert decile["held_out"] == len(ranks)
        if not ranks:
            assert decile["recall"] is None
        for k in AT if ranks else []:
            assert decile["recall"][str(k)] == pytest.approx(naive_recall(ranks, k))


@pytest.mark.parametrize("most", [0, 1, 40])
def test_popularity_in_training_has_a_group_of_what_was_never_in_it(most):
    rng = np.random.default_rng(8)
    ranks, positives = rng.integers(0, 30, 200), rng.integers(-1, 70, 200)
    trained = np.maximum(rng.integers(-20, 41, 70), 0)
    trained = np.minimum(trained, most)
    groups = recall_by_popularity(ranks, positives, trained, AT)
    assert len(groups) == 11
    often = sorted(np.flatnonzero(trained).tolist(), key=lambda item: (-trained[item], item))
    for group in groups[:10]:
        items, often = often[: group["items"]], often[group["items"] :]
        check_group(group, items, ranks, positives, trained)
    assert not often
    sizes = [group["items"] for group in groups[:10]]
    assert max(sizes) - min(sizes) <= 1
    never = np.flatnonzero(trained == 0).tolist()
    assert groups[10]["items"] == len(never)
    check_group(groups[10], never, ranks, positives, trained)


def check_group(group, items, ranks, positives, trained):
    of_group = [rank for rank, at in zip(ranks, positives, strict=True) if at in items]
    counts = [int(trained[item]) for item in items]
    assert group["examples"] == ([min(counts), max(counts)] if items else None)
    assert group["held_out"] == len(of_group)
    expected = {str(k): pytest.approx(naive_recall(of_group, k)) for k in AT if of_group}
    assert group["recall"] == (expected or None)


def test_an_item_outside_the_catalogue_counts_as_missed_and_is_in_no_decile():
    ranking = Ranking(np.array([0, 1]), np.array([[0], [0]]))
    summary = summarise(ranking, np.array([-1, 0]), np.ones(1), at=[1])
    assert summary["recall"]["1"] == 0.5
    assert sum(decile["held_out"] for decile in summary["recall_by_decile"]) == 1


def test_without_queries_every_value_is_none_and_valid_json():
    ranking = Ranking(np.zeros(0, int), np.zeros((0, 5), int))
    summary = summarise(ranking, np.zeros(0, int), np.zeros(12), at=[1, 5])
    nothing = {"1": None, "5": None}
    assert summary["recall"] == summary["ndcg"] == summary["coverage"] == nothing
    assert summary["mrr"] is None
    assert all(decile["recall"] is None for decile in summary["recall_by_decile"])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_a_summary_can_be_written_as_json():
    ranking, positives, counts = random_ranking(queries=20, items=30, seed=3)
    summary = summarise(ranking, positives, counts, AT)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_a_top_shorter_than_k_is_refused():
    ranking = Ranking(np.array([1]), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="at most 2"):
        summarise(ranking, np.array([0]), np.zeros(9), at=[1, 5])
    # All of a small catalogue is enough for any K.
    assert summarise(ranking, np.array([0]), np.zeros(2), at=[5])["recall"] == {"5": 1.0}
