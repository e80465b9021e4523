"""The estimators inside other people's training: a plain Keras model, and a loop of one's own."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator

KINDS = [StreamingFrequencyEstimator, AdaptiveFrequencyEstimator]
NAMES = np.array([f"video {i}" for i in range(50)])


def batches(steps=40, size=16):
    drawn = np.random.default_rng(3).geometric(0.1, (steps, size)) % len(NAMES)
    return NAMES[drawn]


def counted_alone(kind):
    estimator = kind(500)
    for batch in batches():
        estimator.update(tf.constant(batch))
    return estimator.probabilities(tf.constant(NAMES)).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_does_not_touch_the_sketch(kind):
    estimator = kind(buckets=10, initial_gap=1e6, dtype="mixed_float16")
    assert estimator(tf.constant([1])).dtype == tf.float32
    assert estimator(tf.constant([1])).numpy()[0] == np.float32(1e-6)


class Corrected(tf.keras.Model):
    """A model that knows nothing of this project: a table, in-batch logits minus log p."""

    def __init__(self, estimator):
        super().__init__()
        self.hashing = tf.keras.layers.Hashing(num_bins=200)
        self.table = tf.keras.layers.Embedding(200, 4)
        self.estimator = estimator

    def call(self, ids):
        vectors = self.table(self.hashing(ids))
        return tf.matmul(vectors, vectors, transpose_b=True) - tf.math.log(self.estimator(ids))

    def train_step(self, ids):
        self.estimator.update(ids)
        with tf.GradientTape() as tape:
            labels = tf.range(tf.shape(ids)[0])
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self(ids, training=True))
            )
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


@pytest.mark.parametrize("kind", KINDS)
def test_keras_fit_counts_every_batch_once_and_trains_only_the_model(kind):
    model = Corrected(kind(500))
    model.compile(tf.keras.optimizers.Adagrad(0.1))
    rows = batches()
    data = tf.data.Dataset.from_tensor_slices(rows.ravel()).batch(rows.shape[1])
    history = model.fit(data, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.estimator.step.numpy() == len(rows)
    assert [variable.shape.rank for variable in model.trainable_variables] == [2]
    estimates = model.estimator.probabilities(tf.constant(NAMES))
    np.testing.assert_array_equal(estimates, counted_alone(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_own_loop_in_a_graph_sees_each_batch_counted_before_it_is_estimated(kind):
    estimator, by_hand = kind(500), kind(500)

    @tf.function
    def step(ids):
        estimator.update(ids)
        return estimator.probabilities(ids)

    for batch in batches():
        by_hand.update(tf.constant(batch))
        expected = by_hand.probabilities(tf.constant(batch))
        np.testing.assert_allclose(step(tf.constant(batch)), expected, rtol=1e-6)
