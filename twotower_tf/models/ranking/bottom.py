"""What lies below a ranking model's heads: from the features to what each head sees."""

from collections.abc import Sequence

import tensorflow as tf

from twotower_tf.models.ranking.split_dense import SplitDense


class Bottom(tf.keras.layers.Layer):
    """Base of the bottoms."""

    @classmethod
    def from_section(
        cls, section, layers: Sequence[int], heads: int, seed: int, name: str
    ) -> "Bottom":
        """Builds the bottom that a section of the configuration describes.

        Args:
            section: Of the bottom's kind.
            layers: ``ranking.layers``, the widths of the ReLU layers.
            heads: How many there are.
            seed: Of the initial weights.
            name: Of the layer.
        """
        raise NotImplementedError

    def call(self, query: tf.Tensor, candidates: tf.Tensor) -> list[tf.Tensor]:
        """Returns for each head float32 [B, C, width] of queries [B, n], candidates [B, C, m]."""
        raise NotImplementedError


class Stack(tf.keras.layers.Layer):
    """ReLU layers, the first of them on query and candidates apart (``SplitDense``).

    Args:
        widths: Of the layers; none: query and candidates side by side, as they are.
        seed: Of the initial weights.
    """

    def __init__(self, widths: Sequence[int], seed: int, name: str | None = None):
        super().__init__(name=name)
        self._first = SplitDense(widths[0], seed, name="dense_0") if widths else None
        self._others = [
            tf.keras.layers.Dense(
                width,
                activation="relu",
                kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed + 10 + number),
                name=f"dense_{number}",
            )
            for number, width in enumerate(widths[1:], 1)
        ]

    def call(self, query: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Returns float32 [B, C, width]; see ``Bottom.call``."""
        if self._first is None:
            shape = [*tf.unstack(tf.shape(candidates)[:2]), query.shape[-1]]
            each = tf.broadcast_to(query[:, tf.newaxis], shape)
            return tf.concat([each, candidates], axis=-1)
        x = tf.nn.relu(self._first((query, candidates)))
        for layer in self._others:
            x = layer(x)
        return x
