"""Which held-out examples are repeats, against plain Python."""

import random

import numpy as np

# isort: split
import tensorflow as tf

from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.evaluation.repeats import repeats_of

CATALOGUE = [f"i{n}" for n in range(9)]


def test_kinds_and_what_was_seen_are_those_of_the_own_items():
    rng = random.Random(1)
    # Some own items are not in the catalogue any more; the longest lists may have lost some.
    lists = [rng.sample([f"i{n}" for n in range(12)], rng.randrange(6)) for _ in range(60)]
    wanted = [f"i{rng.randrange(12)}" for _ in lists]
    own = [
        {"own_item_ids": tf.ragged.constant(some, dtype=tf.string)}
        for some in (lists[:17], lists[17:])
    ]
    times = np.zeros(60, np.int64)
    held_out = HeldOut([{}, {}], own, wanted, [""] * 60, ["u"] * 60, times)
    repeats = repeats_of(held_out, CATALOGUE, own_length=5)
    expected = [
        "repeat" if item in ids else "new" if len(ids) < 5 else "unknown"
        for ids, item in zip(lists, wanted, strict=True)
    ]
    assert set(expected) == {"repeat", "new", "unknown"}
    for kind in set(expected):
        rows = [row for row, one in enumerate(expected) if one == kind]
        assert repeats.of_kind(kind).tolist() == rows
    for query, ids in enumerate(lists):
        seen = repeats.seen.items[repeats.seen.queries == query]
        assert {CATALOGUE[at] for at in seen} == set(ids) & set(CATALOGUE)
