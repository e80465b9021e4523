"""Vectors in a tower against NumPy, and the checks of their section."""

import numpy as np
import pytest

from twotower_tf.config.registries import FEATURE_KINDS

# isort: split
import tensorflow as tf

from twotower_tf.models.features.vector import VectorEncoder

ROWS = np.array([[3.0, 0.0, -4.0], [0.0, 0.0, 0.0], [1e30, -1e30, 0.0], [1e-30, 0.0, 0.0]])


def _encoded(rows, **settings) -> tuple[np.ndarray, VectorEncoder]:
    section = FEATURE_KINDS.parse({"name": "v", "kind": "vector", "length": 3, **settings})
    encoder = FEATURE_KINDS.make(section, {}, 5)
    return encoder({"v": tf.constant(rows, tf.float32)}).numpy(), encoder


def test_a_vector_goes_in_as_it_is():
    got, encoder = _encoded(ROWS)
    np.testing.assert_array_equal(got, ROWS.astype(np.float32))
    assert not encoder.variables


def test_a_normalised_vector_has_length_1_however_large_and_zeros_stay_zeros():
    got, _ = _encoded(ROWS, normalise=True)
    expected = ROWS / np.maximum(np.linalg.norm(ROWS, axis=1, keepdims=True), 1e-300)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.linalg.norm(got[[0, 2, 3]], axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("normalise", [False, True])
def test_a_projection_is_a_learnt_matrix_that_leaves_zeros_zeros(normalise):
    rows = ROWS[:2]
    with tf.GradientTape() as tape:
        got, encoder = _encoded(rows, projection=2, normalise=normalise)
        (kernel,) = encoder.trainable_variables
        loss = tf.reduce_sum(encoder({"v": tf.constant(rows, tf.float32)}) * [[1.0, 10.0]])
    given = rows / 5 if normalise else rows
    np.testing.assert_allclose(got, given @ kernel.numpy(), atol=1e-6)
    gradient = np.outer(given[0], [1.0, 10.0])
    np.testing.assert_allclose(tape.gradient(loss, kernel), gradient, atol=1e-5)
    same = VectorEncoder("v", 3, 2, seed=5).trainable_variables[0].numpy()
    np.testing.assert_array_equal(kernel.numpy(), same)
    assert (VectorEncoder("v", 3, 2, seed=6).trainable_variables[0].numpy() != same).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_with_a_number_that_is_not_finite_counts_as_missing(bad):
    for settings in ({}, {"normalise": True}, {"projection": 2}):
        got, _ = _encoded([[1.0, bad, 2.0], [0.0, 0.0, 0.0]], **settings)
        np.testing.assert_array_equal(got, np.zeros_like(got))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "greater than or equal to 1"),
        ({"projection": 0}, "greater than or equal to 1"),
        ({"default": "ones"}, "Input should be 'zeros'"),
        ({"normalize": True}, "unknown key 'normalize'; did you mean 'normalise'?"),
    ],
)
def test_mistakes_in_the_section_are_named(settings, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        _encoded(ROWS, **settings)
