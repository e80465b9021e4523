"""Every estimator comes back with a checkpoint, and with the Keras model it is inside of."""

import numpy as np
import pytest

from twotower_tf import AdaptiveFrequencyEstimator, StreamingFrequencyEstimator

import tensorflow as tf  # isort: skip


KINDS = [StreamingFrequencyEstimator, AdaptiveFrequencyEstimator]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_restores_the_sketch_and_goes_on(tmp_path, kind):
    batches = np.random.default_rng(0).zipf(1.5, (40, 10)) % 60
    # Half-way other items become the frequent ones.
    batches[20:] = 59 - batches[20:]
    whole, before, after = (kind(buckets=30, hashes=2, alpha=0.1) for _ in range(3))
    for batch in batches:
        whole.update(tf.constant(batch))
    for batch in batches[:25]:
        before.update(tf.constant(batch))
    path = tf.train.Checkpoint(sketch=before).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(sketch=after).restore(path).assert_consumed()
    for batch in batches[25:]:
        after.update(tf.constant(batch))
    for restored, expected in zip(after.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(restored, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_inside_a_keras_model_and_loaded_again(tmp_path, kind):
    ids = tf.constant([["a"], ["b"], ["never seen"]])
    estimator = kind(buckets=500, hashes=2, alpha=0.2, seed=9)
    inputs = tf.keras.Input([1], dtype=tf.string)
    model = tf.keras.Model(inputs, estimator(inputs))
    for batch in (["a"], ["a", "b"], ["a"]):
        estimator.update(tf.constant(batch))
    expected = estimator.probabilities(ids).numpy()
    np.testing.assert_array_equal(model(ids, training=True), expected)
    assert estimator.step.numpy() == 3  # The model's call has counted nothing.

    model.save(tmp_path / "model", save_format="tf")
    custom = {kind.__name__: kind}
    loaded = tf.keras.models.load_model(tmp_path / "model", custom_objects=custom)
    np.testing.assert_array_equal(loaded(ids), expected)
    assert loaded.layers[-1].get_config() == estimator.get_config()
