"""The seed items that a release never recommends, taken out of what is measured."""

import numpy as np

# isort: split
import tensorflow as tf

from tests.evaluation.test_protocol import CONFIG
from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.evaluation.own_items import rank_own_items
from twotower_tf.evaluation.seeds import seeds_of
from twotower_tf.indexing.ranking import Removed

CATALOGUE = ["i0", "i1", "i2"]
SEEDS = [["i2", ""], ["nobody's", "i0", "i0"]]


def _held_out() -> HeldOut:
    batches = [{"seed_item_id": tf.constant(some)} for some in SEEDS]
    return HeldOut(batches, [{}, {}], ["i1"] * 5, [""] * 5, ["u"] * 5, np.zeros(5, np.int64))


def test_the_seeds_in_the_catalogue_are_taken_out_where_a_release_excludes_them():
    index = CONFIG.index.model_copy(update={"exclude_seed": True})
    config = CONFIG.model_copy(update={"index": index})
    removed = seeds_of(config, _held_out(), CATALOGUE)
    assert (removed.queries.tolist(), removed.items.tolist()) == ([0, 3, 4], [2, 0, 0])
    assert seeds_of(CONFIG, _held_out(), CATALOGUE) is None


def test_what_is_removed_for_two_reasons_is_removed_once():
    one = Removed(np.array([0, 0, 2]), np.array([1, 4, 1]))
    both = one.with_others(Removed(np.array([0, 1, 2]), np.array([4, 3, 0])))
    pairs = list(zip(both.queries.tolist(), both.items.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 4), (1, 3), (2, 0), (2, 1)]


def test_own_items_that_are_removed_are_passed_over():
    own = [{"own_item_ids": tf.ragged.constant([["i1", "i0"], ["i1", "i0"]], dtype=tf.string)}]
    removed = Removed(np.array([1]), np.array([1]))
    ranking = rank_own_items(own, np.array([0, 0]), CATALOGUE, 2, removed)
    assert ranking.ranks.tolist() == [2, 1]
    assert ranking.top.tolist() == [[1, 0], [0, -1]]
