"""Precision and mean average precision against loops in plain Python."""

import random

import numpy as np
import pytest

from twotower_tf.evaluation.user_days import user_days_of

AT = [1, 4, 9]


def naive(examples, top, catalogue):
    """Means over users of precision and average precision, by K, of (user, time, item) each."""
    precision, average = {k: [] for k in AT}, {k: [] for k in AT}
    for user in {user for user, _, _ in examples}:
        rows = [row for row, one in enumerate(examples) if one[0] == user]
        first = min(rows, key=lambda row: (examples[row][1], row))
        relevant = {examples[row][2] for row in rows}
        shown = [catalogue[at] if at >= 0 else None for at in top[first]]
        for k in AT:
            hits = [item in relevant for item in shown[:k]]
            precision[k].append(sum(hits) / k)
            at_hits = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
            average[k].append(sum(at_hits) / min(len(relevant), k))
    return {
        name: {str(k): pytest.approx(sum(values[k]) / len(values[k])) for k in AT}
        for name, values in (("precision", precision), ("map", average))
    }


@pytest.mark.parametrize("seed", range(5))
def test_they_equal_loops_over_users_and_places(seed):
    rng = random.Random(seed)
    catalogue = [f"i{n}" for n in range(7 if seed == 0 else 12)]
    examples = [
        # Some times are the same; some items are not in the catalogue.
        (f"u{rng.randrange(8)}", rng.randrange(3), f"i{rng.randrange(14)}")
        for _ in range(40)
    ]
    width = min(9, len(catalogue))
    top = [rng.sample(range(len(catalogue)), width) for _ in examples]
    # A method that does not rank everything has no more at some place.
    top = np.array([row[: width - 2] + [-1] * 2 if rng.random() < 0.3 else row for row in top])
    users, times, items = map(list, zip(*examples, strict=True))
    positions = {item: at for at, item in enumerate(catalogue)}
    positives = np.array([positions.get(item, -1) for item in items])
    days = user_days_of(users, np.array(times), items, positives, len(catalogue))
    assert len(days.first) == len(set(users))
    assert days.measure(top, AT) == naive(examples, top, catalogue)


def test_a_user_of_one_example_has_recall_over_k_and_the_reciprocal_rank():
    days = user_days_of(["u"], np.array([5]), ["b"], np.array([1]), 4)
    found = days.measure(np.array([[2, 0, 1]]), [2, 3])
    assert found["precision"] == {"2": 0.0, "3": pytest.approx(1 / 3)}
    assert found["map"] == {"2": 0.0, "3": pytest.approx(1 / 3)}


def test_without_users_nothing_is_measured():
    nothing = np.zeros(0, np.int64)
    days = user_days_of([], nothing, [], nothing, 4)
    assert days.measure(np.zeros((0, 2), int), [1]) == {
        "precision": {"1": None},
        "map": {"1": None},
    }
