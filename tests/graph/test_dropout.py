"""Dropout by seed and step."""

import numpy as np

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.graph.dropout import Dropout


def _dropped(seed: int, step: int) -> np.ndarray:
    layer, number = Dropout(0.25, seed), tf.Variable(step, dtype=tf.int64)
    layer.follow(number)
    assert not layer.variables
    return layer(tf.ones([400, 100]), training=True).numpy()


def test_the_share_is_dropped_and_the_mean_kept():
    x = _dropped(1, 0)
    assert abs((x == 0).mean() - 0.25) < 0.01
    np.testing.assert_allclose(x[x > 0], 1 / 0.75)


def test_what_is_dropped_depends_on_seed_and_step_alone():
    np.testing.assert_array_equal(_dropped(1, 7), _dropped(1, 7))
    assert (_dropped(1, 7) != _dropped(1, 8)).any()
    assert (_dropped(1, 7) != _dropped(2, 7)).any()


def test_nothing_is_dropped_outside_of_training_or_at_rate_0():
    x = tf.ones([3, 3])
    np.testing.assert_array_equal(Dropout(0.5, 1)(x), x)
    np.testing.assert_array_equal(Dropout(0.0, 1)(x, training=True), x)
