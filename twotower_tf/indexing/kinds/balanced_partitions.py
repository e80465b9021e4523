"""Partitions of near vectors that are all about as large: k-means with a limit on the size.

A retrieval gathers whole partitions, each padded to the size of the largest, so that plain k-means,
whose largest partition holds several times the mean, would mostly gather padding.
"""

import dataclasses
import math

import numpy as np

_ITERATIONS = 8
_BALANCED_ITERATIONS = 2
# Mean share of a partition that is filled: with less room nearly all would be full, and an item
# whose own is full would end up far from home.
_FILLED = 0.85
# A partition with less than one in so many places filled is small.
_SMALL = 4
_SAMPLE_PER_CENTRE = 64
_ROWS_AT_A_TIME = 16_384


@dataclasses.dataclass(frozen=True)
class Partitions:
    """Which vectors lie together.

    Attributes:
        members: int32 [P, size], the vectors' positions, ascending; then -1 to fill up.
        centres: float32 [P, d], the means of the members.
    """

    members: np.ndarray
    centres: np.ndarray


def balanced_partitions(vectors: np.ndarray, size: int, seed: int) -> Partitions:
    """Divides vectors into partitions of at most ``size``, each with at least one vector.

    k-means first makes about sqrt(P) coarse clusters, and then of each its share of the P
    partitions, so that the work is N * sqrt(P) * d, not N * P * d. In the second, a partition that
    is asked for by more vectors than it takes keeps the nearest; the others ask the next nearest
    of their coarse cluster, until all have a place (deferred acceptance, Gale and Shapley 1962).

    Args:
        vectors: float32 [N, d], N >= 1.
        size: The most vectors in a partition.
        seed: Draws the samples and the first centres; the same seed, the same partitions.
    """
    random = np.random.default_rng(seed)
    wanted = math.ceil(len(vectors) / (_FILLED * size))
    coarse = _k_means(vectors, max(1, round(math.sqrt(wanted))), random)
    rows: list[np.ndarray] = []
    for cluster in _groups(_nearest(vectors, coarse), len(coarse)):
        if len(cluster):
            own = _of_one_cluster(vectors[cluster], size, random)
            rows += [cluster[group] for group in _groups(own, own.max() + 1) if len(group)]
    members = np.full([len(rows), max(map(len, rows))], -1, np.int32)
    for row, group in zip(members, rows, strict=True):
        row[: len(group)] = group
    return Partitions(members, np.stack([vectors[group].mean(axis=0) for group in rows]))


def _of_one_cluster(vectors: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Returns the partition of each vector of a coarse cluster."""
    count = math.ceil(len(vectors) / (_FILLED * size))
    centres = _k_means(vectors, count, random)
    for _ in range(_BALANCED_ITERATIONS):
        own = _accepted(_affinities(vectors, centres), size)
        centres = _means(vectors, own, centres)
        # Small ones give way, the smallest first: a retrieval pays for their empty places.
        counts = np.bincount(own, minlength=len(centres))
        most = len(centres) - math.ceil(len(vectors) / size)
        small = np.flatnonzero(counts < size // _SMALL)
        given_up = small[np.argsort(counts[small], kind="stable")][:most]
        centres = np.delete(centres, given_up, axis=0)
    return _accepted(_affinities(vectors, centres), size)


def _k_means(vectors: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Returns the centres [count, d] of Lloyd's k-means on a sample, begun at random vectors."""
    taken = random.permutation(len(vectors))[: count * _SAMPLE_PER_CENTRE]
    centres = vectors[taken[:count]]
    sample = vectors[np.sort(taken)]
    for _ in range(_ITERATIONS):
        centres = _means(sample, _nearest(sample, centres), centres)
    return centres


def _affinities(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns [n, count]: minus half the squared distances, up to |x|^2 / 2; higher is nearer."""
    return vectors @ centres.T - 0.5 * np.sum(centres * centres, axis=1)


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            np.argmax(_affinities(vectors[start : start + _ROWS_AT_A_TIME], centres), axis=1)
            for start in range(0, len(vectors), _ROWS_AT_A_TIME)
        ]
    )


def _means(vectors: np.ndarray, own: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns the means of the vectors of each centre; one without vectors stays where it is."""
    counts = np.bincount(own, minlength=len(centres))
    used = np.flatnonzero(counts)
    starts = np.cumsum(counts[used]) - counts[used]
    ordered = vectors[np.argsort(own, kind="stable")]
    means = centres.copy()
    means[used] = np.add.reduceat(ordered, starts, axis=0) / counts[used, None]
    return means


def _accepted(affinities: np.ndarray, size: int) -> np.ndarray:
    """Returns the centre that takes each vector, at most ``size`` a centre.

    Args:
        affinities: [n, count], n <= count * size; of equal ones the lower position comes first.
        size: The most vectors a centre takes.
    """
    wishes = np.argsort(-affinities, axis=1, kind="stable")
    asked = np.zeros(len(wishes), np.int64)
    own = wishes[:, 0].copy()
    while True:
        crowded = np.bincount(own, minlength=affinities.shape[1]) > size
        asking = np.flatnonzero(crowded[own])
        if not len(asking):
            return own
        order = asking[np.lexsort((-affinities[asking, own[asking]], own[asking]))]
        centres = own[order]
        rank = np.arange(len(order)) - np.searchsorted(centres, centres)
        refused = order[rank >= size]
        asked[refused] += 1
        own[refused] = wishes[refused, asked[refused]]


def _groups(own: np.ndarray, count: int) -> list[np.ndarray]:
    """Returns the positions of each group's members, ascending."""
    order = np.argsort(own, kind="stable")
    return np.split(order, np.cumsum(np.bincount(own, minlength=count))[:-1])
