"""Dropout that depends on the seed and the training step only."""

import tensorflow as tf

from twotower_tf.graph.untracked import Untracked


class Dropout(tf.keras.layers.Layer):
    """Sets a share of the values to 0 while training, and scales the others up to keep the mean.

    Which ones depends on the seed and the number of the step alone, not on what was drawn before:
    training that goes on from a checkpoint drops what it would have dropped without the break.

    Args:
        rate: The share, in [0, 1).
        seed: Of this layer.

    Attributes:
        step: int64 scalar variable, the number of the training step; whoever trains the layer
            sets it once. Without one every call draws the same.
    """

    def __init__(self, rate: float, seed: int, name: str | None = None):
        super().__init__(name=name)
        self._rate, self._seed = rate, seed
        self._step = Untracked(None)

    def follow(self, step: tf.Variable) -> None:
        """Gives the layer the number of the step, which belongs to the optimiser."""
        self._step = Untracked(step)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns x, or x with values dropped."""
        if not training or not self._rate:
            return x
        step = self._step.value
        number = tf.zeros([], tf.int64) if step is None else tf.cast(step, tf.int64)
        seed = tf.stack([tf.constant(self._seed, tf.int64), number])
        return tf.nn.experimental.stateless_dropout(x, self._rate, seed)
