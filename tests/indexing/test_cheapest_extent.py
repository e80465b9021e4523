"""The automatic choice against trying every extent of the ladders."""

import itertools

import numpy as np
import pytest

from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex, Extent
from twotower_tf.indexing.kinds.cheapest_extent import cheapest_extent


class _Sized(ApproximateIndex):
    """An index of which only the sizes and the costs are asked."""

    def cost(self, extent):
        return 3.0 * extent.partitions + extent.reordered


@pytest.fixture
def index():
    return _Sized("sized", sizes=np.full(500, 40), at=100)


def _recall(lossy: float):
    """Recall that rises with both: with the partitions, and with the exact scores."""

    def of(extent: Extent) -> float:
        in_partitions = extent.partitions / (
            extent.partitions + 2.0 * (1 - extent.partitions / 500)
        )
        kept = 1.0 - lossy * (1 - extent.reordered / 20_000) * 100 / extent.reordered
        return in_partitions * kept

    return of


@pytest.mark.parametrize("lossy", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.97, 0.995])
def test_no_extent_of_the_ladders_with_the_wanted_recall_is_cheaper(index, lossy, wanted):
    recall_of = _recall(lossy)
    extent, recall = cheapest_extent(index, recall_of, wanted)
    assert recall == recall_of(extent) >= wanted
    every = (Extent(*pair) for pair in itertools.product(*index.ladders()))
    assert index.cost(extent) == min(index.cost(e) for e in every if recall_of(e) >= wanted)


def test_without_the_wanted_recall_anywhere_else_the_choice_is_exact(index):
    extent, recall = cheapest_extent(
        index, lambda extent: float(extent == Extent(500, 20_000)), wanted=1.0
    )
    assert (extent, recall) == (Extent(500, 20_000), 1.0)


def test_the_choice_tries_few_extents(index):
    tried = []

    def recall_of(extent: Extent) -> float:
        tried.append(extent)
        return _recall(0.3)(extent)

    cheapest_extent(index, recall_of, 0.97)
    ladders = index.ladders()
    assert len(tried) == len(set(tried)) < len(ladders[0]) * len(ladders[1]) / 8


def test_ladders_rise_from_the_least_that_is_possible_to_everything(index):
    partitions, reorderings = index.ladders()
    assert (partitions[0], partitions[-1]) == (3, 500)
    assert (reorderings[0], reorderings[-1]) == (100, 20_000)
    assert all(
        a < b <= 1.5 * a + 1
        for ladder in (partitions, reorderings)
        for a, b in itertools.pairwise(ladder)
    )


def test_a_search_looks_into_as_many_partitions_as_hold_enough_items_whichever_they_are():
    sizes = np.array([5, 0, 7, 2, 9, 5])
    index = _Sized("sized", sizes=sizes, at=10)
    for k in range(1, sizes.sum() + 1):
        enough = index.fewest_partitions(k)
        held = [min(map(sum, itertools.combinations(sizes, n))) for n in (enough, enough - 1)]
        assert held[0] >= k > held[1]
