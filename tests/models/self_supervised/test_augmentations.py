"""Which features each view has: halves that complement each other, correlated ones together."""

import collections
import itertools
import math

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.models.self_supervised.augmentation import RandomMasks, WholeItems
from twotower_tf.models.self_supervised.correlated import CorrelatedMasks
from twotower_tf.models.self_supervised.mutual_information import (
    binned,
    listed,
    mutual_information,
    projected,
    single,
)

FEATURES = ["id", "colour", "price", "tags", "cover"]


def _items(count: int = 60) -> dict:
    """The price follows the colour, the cover the tags; an id is of one item alone."""
    rng = np.random.default_rng(3)
    colours, topics = rng.integers(0, 4, count), rng.integers(0, 3, count)
    lists = [[10 * topic, *(10 * topic + rng.integers(0, 5, 2))] for topic in topics]
    lists[7] = []
    return {
        "id": tf.constant(np.arange(count)),
        "colour": tf.constant(colours),
        "price": tf.constant(3.0 * colours + rng.uniform(0, 0.1, count), tf.float32),
        "tags": (tf.ragged.constant(lists, dtype=tf.int32),),
        "cover": tf.constant(np.eye(3)[topics] + 0.01 * rng.standard_normal((count, 3))),
    }


def _kept(augmentation, steps=200) -> np.ndarray:
    kept = tf.function(augmentation.kept, autograph=False)
    return np.stack([kept(tf.constant(step, tf.int64)).numpy() for step in range(steps)])


def _brute_force(one: list[list], other: list[list]) -> float:
    """I(A; B) of one value drawn from each list, an empty list being a value of its own."""
    joint = collections.Counter()
    for ours, theirs in zip(one, other, strict=True):
        pairs = list(itertools.product(ours or ["none"], theirs or ["none"]))
        for pair in pairs:
            joint[pair] += 1 / len(pairs) / len(one)
    of_a, of_b = collections.Counter(), collections.Counter()
    for (a, b), p in joint.items():
        of_a[a] += p
        of_b[b] += p
    return sum(p * math.log(p / of_a[a] / of_b[b]) for (a, b), p in joint.items())


@pytest.mark.parametrize("k", [2, 3, 4, 7])
@pytest.mark.parametrize("kind", [RandomMasks, CorrelatedMasks])
def test_what_one_view_lacks_is_all_that_the_other_has_and_half_of_the_features(kind, k):
    kept = _kept(kind([f"f{n}" for n in range(k)], seed=1))
    assert (kept[:, 0] != kept[:, 1]).all()
    assert (kept[:, 1].sum(axis=1) == k // 2).all()
    # Every feature is what a view is made of at some step.
    assert kept[:, 1].any(axis=0).all()


def test_random_halves_are_all_as_likely():
    kept = _kept(RandomMasks(list("abcd"), seed=5), 600)[:, 1]
    counts = collections.Counter(map(tuple, kept))
    # Of 6 halves; the 99.9 % point of chi-squared with 5 degrees of freedom.
    assert len(counts) == 6
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 20.5


def test_draws_depend_on_seed_and_step_alone():
    for kind in (RandomMasks, CorrelatedMasks):
        first = _kept(kind(FEATURES, seed=1), 20)
        np.testing.assert_array_equal(_kept(kind(FEATURES, seed=1), 20), first)
        assert (_kept(kind(FEATURES, seed=2), 20) != first).any()


def test_whole_items_have_all_features():
    assert _kept(WholeItems(FEATURES, seed=1), 2).all()


def test_masks_need_two_features():
    with pytest.raises(ValueError, match="at least two features, got 1"):
        RandomMasks(["id"], seed=1)


def test_correlated_masks_are_a_feature_and_those_with_most_mutual_information():
    rows = _items()
    masks = CorrelatedMasks(FEATURES, seed=4)
    masks.set_items(rows)
    prices, tags = rows["price"].numpy(), rows["tags"][0].to_list()
    edges = np.quantile(prices, np.linspace(0, 1, 11)[1:-1])
    cover = projected(rows["cover"].numpy(), seed=4).codes
    values = [
        [[one] for one in rows["id"].numpy()],
        [[one] for one in rows["colour"].numpy()],
        [[sum(price >= edge for edge in edges)] for price in prices],
        tags,
        [[one] for one in cover],
    ]
    expected = np.array([[_brute_force(one, other) for other in values] for one in values])
    np.testing.assert_allclose(masks.correlations(rows), expected, atol=1e-6)
    groups = set()
    for at, row in enumerate(expected):
        others = sorted((to for to in range(5) if to != at), key=lambda to: -row[to])
        groups.add(frozenset([at, others[0]]))
    drawn = {frozenset(np.flatnonzero(mask)) for mask in _kept(masks)[:, 1]}
    assert drawn == groups
    # The id is unlike in all items, and so says all of anything; price and colour are kept apart
    # from tags and cover.
    assert not {frozenset([2, 3]), frozenset([1, 4]), frozenset([2, 4])} & drawn


def test_mutual_information_has_its_closed_forms():
    fair = single(np.array(list("aabb")))
    assert mutual_information(fair, fair) == pytest.approx(math.log(2))
    assert mutual_information(fair, single(np.array([1, 2, 1, 2]))) == pytest.approx(0)
    assert mutual_information(fair, single(np.arange(4))) == pytest.approx(math.log(2))
    nothing = listed(np.array([], np.int32), np.zeros(1, np.int64))
    assert mutual_information(nothing, nothing) == 0.0
    # That a list is empty is a value.
    empty = listed(np.array([5, 5]), np.array([0, 1, 2, 2, 2]))
    assert mutual_information(fair, empty) == pytest.approx(math.log(2))


def test_long_lists_tell_by_their_first_values():
    values = listed(np.arange(100), np.array([0, 40, 40, 100]))
    assert values.lengths.tolist() == [16, 1, 16]
    assert values.codes.tolist() == [*range(1, 17), 0, *range(41, 57)]


def test_numbers_that_are_not_finite_have_a_bin():
    codes = binned(np.array([np.nan, np.inf, -np.inf, 0.0, 5.0]), bins=2).codes
    assert len(set(codes[:4])) == 1
    assert codes[4] != codes[0] or len(set(codes)) == 1
    assert len(projected(np.array([[np.nan, 1.0], [2.0, 3.0]]), seed=1).codes) == 2
