"""The softmax over blocks against the whole matrix in NumPy, where there are several blocks."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (chooses Keras 2 before TensorFlow loads)

# isort: split
import tensorflow as tf

from twotower_tf.models.losses.blockwise import softmax_losses

# 2^21 / 30,000 logits make blocks of 70 examples: two and a shorter one.
_EXAMPLES, _ITEMS, _LENGTH = 190, 30_000, 3


def _whole_matrix(u, v, weights, positives, shares, own):
    logits = u @ v.T + weights
    rows = np.arange(len(u))
    if own is not None:
        logits[rows, positives] += own - weights[positives]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = odds / odds.sum(axis=1, keepdims=True)
    losses = -np.log(softmax[rows, positives])
    softmax[rows, positives] -= 1.0
    error = softmax * shares[:, None]
    return shares @ losses, losses, error @ v, error.T @ u


@pytest.mark.parametrize("certain", [False, True])
@pytest.mark.parametrize("graph", [False, True])
def test_losses_and_gradients_of_several_blocks_equal_the_whole_matrix(certain, graph):
    random = np.random.default_rng(3)
    u, v = (random.normal(size=(size, _LENGTH)) for size in (_EXAMPLES, _ITEMS))
    weights, shares = random.normal(size=_ITEMS), random.uniform(size=_EXAMPLES)
    positives = random.integers(0, _ITEMS, _EXAMPLES)
    chosen = tf.constant(positives)
    own = random.normal(size=_EXAMPLES) if certain else None

    def run(u, v):
        with tf.GradientTape() as tape:
            tape.watch((u, v))
            total, losses = softmax_losses(u, v, weights, chosen, tf.constant(shares), own)
            # A factor, so that the gradient coming from above counts.
            doubled = 2.0 * total
        return total, losses, *(g / 2.0 for g in tape.gradient(doubled, (u, v)))

    got = (tf.function(run) if graph else run)(tf.constant(u), tf.constant(v))
    expected = _whole_matrix(u, v, weights, positives, shares, own)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_the_losses_of_the_examples_have_no_gradient():
    u, v = tf.ones([2, 1]), tf.ones([3, 1])
    with tf.GradientTape() as tape:
        tape.watch(u)
        losses = softmax_losses(u, v, tf.zeros([3]), tf.constant([0, 1]), tf.ones([2]))[1]
    assert tape.gradient(losses, u) is None
