"""Measures of ranked impressions, each against loops in plain Python."""

import itertools
import math

import numpy as np
import pytest

from twotower_tf.evaluation.ranking.calibration import calibration
from twotower_tf.evaluation.ranking.measures import Impressions, measure


def _impressions(rng: np.random.Generator, count: int = 120) -> Impressions:
    """Returns impressions of some users' pages, in any order; some pages have no click."""
    pages = rng.integers(0, 25, count)
    clicked = rng.random(count) < 0.3
    seconds = np.where(clicked, rng.exponential(40, count), 0.0)
    users = np.array([f"u{page % 7}" for page in pages], object)
    items = np.array([f"i{n}" for n in rng.integers(0, 30, count)], object)
    return Impressions(users, items, pages, clicked, seconds)


def _wrong(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better < worse)


def _pairs(shown: Impressions, groups) -> list[tuple[int, int]]:
    return [
        (one, other)
        for one, other in itertools.product(range(len(shown)), repeat=2)
        if shown.clicked[one] and not shown.clicked[other] and groups[one] == groups[other]
    ]


def _auc(shown: Impressions, scores, groups) -> float | None:
    pairs = _pairs(shown, groups)
    wrong = sum(_wrong(scores[one], scores[other]) for one, other in pairs)
    return 1 - wrong / len(pairs) if pairs else None


def _ndcg(shown: Impressions, scores) -> float:
    """The mean over pages of the mean over all orders that scores allow, of pages up to four."""
    found = []
    for page in sorted(set(shown.pages)):
        rows = [row for row in range(len(shown)) if shown.pages[row] == page]
        if not shown.seconds[rows].sum():
            continue
        gains = []
        for order in itertools.permutations(rows):
            of_order = [scores[row] for row in order]
            if of_order == sorted(of_order, reverse=True):
                gains.append(sum(shown.seconds[r] / math.log2(2 + n) for n, r in enumerate(order)))
        best = sorted(shown.seconds[rows], reverse=True)
        ideal = sum(gain / math.log2(2 + n) for n, gain in enumerate(best))
        found.append(np.mean(gains) / ideal)
    return np.mean(found)


@pytest.mark.parametrize("seed", range(4))
def test_measures_are_those_of_loops_over_all_pairs(seed):
    rng = np.random.default_rng(seed)
    shown = _impressions(rng)
    scores = rng.integers(0, 6, len(shown)) / 2.0
    found = measure(shown, scores)
    pairs = _pairs(shown, shown.pages)
    lost = sum(_wrong(scores[a], scores[b]) * shown.seconds[a] for a, b in pairs)
    assert found["user_loss"] == pytest.approx(lost / sum(shown.seconds[a] for a, _ in pairs))
    assert found["auc"] == pytest.approx(_auc(shown, scores, np.zeros(len(shown))))
    by_user = []
    for user in sorted(set(shown.users)):
        own = [user == one or number for number, one in enumerate(shown.users)]
        of_user = [(a, b) for a, b in _pairs(shown, shown.users) if shown.users[a] == user]
        assert own
        if of_user:
            by_user.append(1 - np.mean([_wrong(scores[a], scores[b]) for a, b in of_user]))
    assert found["user_auc"] == pytest.approx(np.mean(by_user))


@pytest.mark.parametrize("seed", range(3))
def test_ndcg_of_equal_scores_is_the_mean_over_their_orders(seed):
    rng = np.random.default_rng(seed)
    shown = _impressions(rng, 40)
    few = np.concatenate([np.flatnonzero(shown.pages == page)[:5] for page in set(shown.pages)])
    shown = Impressions(*(getattr(shown, name)[few] for name in _FIELDS))
    scores = rng.integers(0, 3, len(shown)).astype(float)
    assert measure(shown, scores)["ndcg"] == pytest.approx(_ndcg(shown, scores))


_FIELDS = ("users", "items", "pages", "clicked", "seconds")


def test_the_watched_seconds_are_the_best_scores_and_their_opposite_the_worst():
    shown = _impressions(np.random.default_rng(0))
    best, worst = measure(shown, shown.seconds), measure(shown, -shown.seconds)
    assert (best["user_loss"], best["auc"], best["user_auc"], best["ndcg"]) == (0, 1, 1, 1)
    assert (worst["user_loss"], worst["auc"]) == (1, 0)
    assert measure(shown, np.zeros(len(shown)))["user_loss"] == pytest.approx(0.5)


def test_a_score_that_is_no_number_is_below_all():
    shown = _impressions(np.random.default_rng(1))
    scores = np.random.default_rng(2).normal(size=len(shown))
    broken, lowest = scores.copy(), scores.copy()
    broken[::7], lowest[::7] = np.nan, -1e9
    assert measure(shown, broken) == measure(shown, lowest)


def test_what_can_not_be_measured_is_none():
    nothing = Impressions(*(np.zeros(0, kind) for kind in (object, object, int, bool, float)))
    unclicked = _impressions(np.random.default_rng(3))
    unclicked.clicked[:], unclicked.seconds[:] = False, 0.0
    for shown in (nothing, unclicked):
        assert set(measure(shown, np.zeros(len(shown))).values()) == {None}


def test_calibration_compares_means_by_what_was_predicted_and_by_position():
    rng = np.random.default_rng(4)
    predicted, watched = rng.exponential(10, 1000), rng.exponential(12, 1000)
    positions = rng.integers(1, 30, 1000).astype(float)
    found = calibration(predicted, watched, positions)
    assert found["ratio"] == pytest.approx(predicted.sum() / watched.sum())
    rows = sorted(range(1000), key=predicted.__getitem__)
    for number, group in enumerate(found["by_decile"]):
        own = rows[100 * number : 100 * (number + 1)]
        assert group["impressions"] == 100
        assert group["predicted"] == pytest.approx(predicted[own].mean())
        assert group["watched"] == pytest.approx(watched[own].mean())
    assert [group["position"] for group in found["by_position"]] == list(range(1, 21))
    third = found["by_position"][2]
    assert third["watched"] == pytest.approx(watched[positions == 3].mean())
    nothing = calibration(np.zeros(0), np.zeros(0))
    assert nothing == {"ratio": None, "by_decile": [], "by_position": []}
