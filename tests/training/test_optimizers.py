"""The optimisers of a configuration: one step of each against its formula."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (chooses Keras 2 before TensorFlow loads)

# isort: split
import tensorflow as tf

from twotower_tf.config.registries import OPTIMIZERS

GRADIENT = np.array([0.5, -0.001, 0.0])


def _step(**told) -> np.ndarray:
    optimizer = OPTIMIZERS.make(OPTIMIZERS.parse(told))
    weights = tf.Variable(tf.zeros(3))
    optimizer.apply_gradients([(tf.constant(GRADIENT, tf.float32), weights)])
    return weights.numpy()


@pytest.mark.parametrize("start", [0.3, 1e-4, None])
def test_adagrad_divides_by_the_root_of_what_its_accumulator_starts_with_and_the_square(start):
    told = {"layer_rate": 1.0} | ({} if start is None else {"initial_accumulator": start})
    total = (1e-6 if start is None else start) + GRADIENT**2
    expected = -0.2 * GRADIENT / np.sqrt(total)
    np.testing.assert_allclose(_step(learning_rate=0.2, **told), expected, rtol=0.05, atol=1e-7)


def test_tables_go_at_the_whole_rate_and_layers_at_their_share_of_it():
    table, layer = tf.Variable(tf.zeros([4, 2])), tf.Variable(tf.zeros([3]))
    told = {"learning_rate": 0.2, "layer_rate": 0.25, "initial_accumulator": 0.1}
    made = OPTIMIZERS.make(OPTIMIZERS.parse(told))
    optimizer = type(made).from_config(made.get_config())
    rows, numbers = np.array([3, 1]), np.array([[0.5, -1.0], [2.0, 0.0]])
    for _ in range(2):
        sparse = tf.IndexedSlices(tf.constant(numbers, tf.float32), tf.constant(rows), [4, 2])
        dense = tf.constant(GRADIENT, tf.float32)
        optimizer.apply_gradients([(sparse, table), (dense, layer)])

    def steps(gradient) -> np.ndarray:
        sums = 0.1 + gradient**2 * np.array([[1], [2]]).reshape(2, *[1] * gradient.ndim)
        return -0.2 * (gradient / np.sqrt(sums)).sum(axis=0)

    expected = np.zeros((4, 2))
    expected[rows] = steps(numbers)
    np.testing.assert_allclose(table.numpy(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(layer.numpy(), 0.25 * steps(GRADIENT), rtol=1e-5, atol=1e-7)


def test_adam_steps_by_its_rate_and_sgd_by_rate_times_gradient():
    adam = _step(kind="adam", learning_rate=0.2)
    np.testing.assert_allclose(adam, [-0.2, 0.2, 0.0], rtol=0.01)
    sgd = _step(kind="sgd", learning_rate=0.2)
    np.testing.assert_allclose(sgd, -0.2 * GRADIENT, rtol=1e-6)
