"""The baseline of own items against plain Python."""

import random

import numpy as np

from twotower_tf.evaluation.metrics import summarise

# isort: split
import tensorflow as tf

from twotower_tf.evaluation.own_items import rank_own_items

CATALOGUE = [f"i{n}" for n in range(9)]


def test_own_items_rank_in_their_order_and_nothing_comes_after_them():
    rng = random.Random(2)
    # Some own items are not in the catalogue any more.
    lists = [rng.sample([f"i{n}" for n in range(12)], rng.randrange(6)) for _ in range(40)]
    positives = np.array([rng.randrange(-1, 9) for _ in lists])
    own = [
        {"own_item_ids": tf.ragged.constant(some, dtype=tf.string)}
        for some in (lists[:17], lists[17:])
    ]
    ranking = rank_own_items(own, positives, CATALOGUE, 3)
    for row, ids in enumerate(lists):
        known = [item_id for item_id in ids if item_id in CATALOGUE]
        wanted = CATALOGUE[positives[row]] if positives[row] >= 0 else None
        assert ranking.ranks[row] == (known.index(wanted) + 1 if wanted in known else 0)
        top = [CATALOGUE[place] for place in ranking.top[row] if place >= 0]
        assert top == known[:3]
    measured = summarise(ranking, positives, np.ones(9, int), [1, 3])
    shown = {place for row in ranking.top for place in row if place >= 0}
    assert measured["coverage"]["3"] == len(shown) / 9
