"""The example that a loss that is no number is blamed on."""

import numpy as np
import pytest
import tensorflow as tf

import twotower_tf  # noqa: F401
from twotower_tf.training.largest_number import largest_number


def _batch(items, query=None, candidate=None) -> dict:
    return {"item_id": tf.constant(items), "query": query or {}, "candidate": candidate or {}}


@pytest.mark.parametrize(("sizes", "expected"), [((2, -5e20), "b"), ((3e38, -5e20), "d")])
def test_the_largest_number_is_named_with_its_feature_and_its_item(sizes, expected):
    price, topic = sizes
    batches = [
        _batch(["a", "b"], {"topics": tf.ragged.constant([[], [0.5, topic, 1.0]])}),
        _batch(
            ["c", "d"],
            {"device": tf.constant(["tv", "9e30"])},
            {"price": tf.constant([1.0, price]), "mood": tf.constant([[1.0, 2.0], [3.0, 4.0]])},
        ),
    ]
    found = largest_number(batches)
    assert found.item_id == expected
    assert (found.feature, np.float32(found.value)) == {
        "b": ("query/topics", np.float32(-5e20)),
        "d": ("candidate/price", np.float32(3e38)),
    }[expected]


def test_a_vector_counts_a_row_at_a_time_and_numbers_of_usual_size_are_not_named():
    vectors = tf.constant([[1.0, 2.0], [1.0, 2.0], [1.0, np.inf]])
    found = largest_number([_batch(["a", "b", "c"], candidate={"mood": vectors})])
    assert str(found) == "candidate/mood is inf in an example of item 'c'"
    assert largest_number([_batch(["a"], candidate={"price": tf.constant([1e9])})]) is None
    assert largest_number([]) is None
