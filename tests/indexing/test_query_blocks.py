"""Searching in blocks against searching at once."""

import numpy as np
import pytest

from twotower_tf.indexing.kinds.query_blocks import in_blocks

# isort: split
import tensorflow as tf

ITEMS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12, 13])
def test_blocks_give_what_one_search_gives_and_are_never_larger(count):
    queries = np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32)
    seen = []

    def search(some, numbers):
        tf.py_function(lambda rows: seen.append(int(rows)), [tf.shape(some)[0]], [])
        scores, positions = tf.math.top_k(tf.matmul(some, ITEMS, transpose_b=True), 7)
        return scores + numbers[:, None], positions

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def blocks(queries):
        numbers = tf.range(count, dtype=tf.float32)
        return in_blocks(search, [queries, numbers], tf.constant(4))

    scores, positions = blocks(queries)
    exact = queries @ ITEMS.T
    np.testing.assert_array_equal(positions, np.argsort(-exact, axis=1)[:, :7])
    np.testing.assert_allclose(
        scores, np.arange(count)[:, None] - np.sort(-exact, axis=1)[:, :7], atol=1e-5
    )
    assert sum(seen) == count
    assert max(seen) <= 4
