"""Every estimator is saved inside a Keras model and comes back with it."""

import numpy as np
import pytest

from twotower_tf import AdaptiveFrequencyEstimator, StreamingFrequencyEstimator

import tensorflow as tf  # isort: skip


@pytest.mark.parametrize("kind", [StreamingFrequencyEstimator, AdaptiveFrequencyEstimator])
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
