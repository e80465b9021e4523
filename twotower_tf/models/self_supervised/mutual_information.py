"""Mutual information of two features of the same items, in NumPy."""

from typing import NamedTuple

import numpy as np

# Of a longer list the first values tell: as many pairs as the product of two lengths are counted.
_MOST_VALUES = 16


class Values(NamedTuple):
    """The values that a feature has in N items.

    Attributes:
        codes: int64 [total], equal for equal values; the values of one item after the other's.
        splits: int64 [N + 1], where each item's values begin; each has one at least.
    """

    codes: np.ndarray
    splits: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64 [N], how many values each item has."""
        return np.diff(self.splits)


def single(values: np.ndarray) -> Values:
    """Returns the values of a feature that has one in each item: any sortable [N]."""
    return Values(_codes(values), np.arange(len(values) + 1))


def listed(values: np.ndarray, splits: np.ndarray) -> Values:
    """Returns the values of lists; of a long list the first ones, of an empty one that it is.

    Args:
        values: Any sortable [total].
        splits: int [N + 1], where each list begins.
    """
    lengths = np.diff(splits)
    taken = np.minimum(lengths, _MOST_VALUES)
    begins = np.concatenate([[0], np.cumsum(np.maximum(taken, 1))]).astype(np.int64)
    codes = np.zeros(begins[-1], np.int64)
    # Where each value that is taken stands, and where it goes.
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    found = _codes(values) + 1
    codes[np.repeat(begins[:-1], taken) + within] = found[np.repeat(splits[:-1], taken) + within]
    return Values(codes, begins)


def binned(values: np.ndarray, bins: int = 10) -> Values:
    """Returns numbers, float [N], as ``bins`` bins with as many items each."""
    finite = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    edges = np.quantile(finite, np.linspace(0.0, 1.0, bins + 1)[1:-1]) if len(finite) else []
    return single(np.searchsorted(edges, finite, side="right"))


def projected(vectors: np.ndarray, seed: int, bits: int = 4) -> Values:
    """Returns vectors, float [N, length], as the sides of ``bits`` random planes they lie on.

    Each plane has half of the vectors on each side.
    """
    finite = np.nan_to_num(np.asarray(vectors, np.float64), posinf=0.0, neginf=0.0)
    planes = np.random.default_rng(seed).standard_normal((finite.shape[1], bits))
    heights = finite @ planes
    sides = heights > np.median(heights, axis=0) if len(heights) else heights > 0
    return single(sides @ (1 << np.arange(bits)))


def mutual_information(one: Values, other: Values) -> float:
    """Returns I(A; B) = sum p(a, b) log (p(a, b) / (p(a) p(b))), in nats.

    A and B are values of the two features, drawn from a random item: of lists, each value is as
    likely as the others. It is that of the items given, which of many rare values is too high for
    all items: ids have as much of it as there can be with anything.
    """
    items = len(one.lengths)
    if not items:
        return 0.0
    pairs = one.lengths * other.lengths
    item = np.repeat(np.arange(items), pairs)
    within = np.arange(len(item)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    row, column = np.divmod(within, other.lengths[item])
    a = one.codes[one.splits[:-1][item] + row]
    b = other.codes[other.splits[:-1][item] + column]
    weights = 1.0 / (items * pairs[item])
    width = other.codes.max() + 1
    joint, at = np.unique(a * width + b, return_inverse=True)
    p = np.bincount(at, weights)
    of_a = np.bincount(a, weights)[joint // width]
    of_b = np.bincount(b, weights)[joint % width]
    return float(np.sum(p * np.log(p / (of_a * of_b))))


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.int64).reshape(-1)
