"""A mean of a history's items in which each place from the end has a learnt weight."""

import tensorflow as tf

from twotower_tf.models.history.item_sequence import ItemSequence


class Recency(tf.keras.layers.Layer):
    """sum_k exp(a_k) v_k / sum_k exp(a_k), k = 0 the newest item; empty: zeros.

    All a_k start at 0, the mean. Items further back than there are weights share the last one.

    Args:
        length: How many places have a weight of their own.

    >>> import twotower_tf
    >>> items = ItemSequence(tf.eye(2), tf.constant([0, 1]), tf.constant([0, 2], tf.int64))
    >>> Recency(length=5)(items).numpy().tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, length: int, name: str | None = None):
        super().__init__(name=name)
        self._length = length
        self.log_weights = self.add_weight(name="log_weights", shape=(length,), initializer="zeros")

    @classmethod
    def from_section(cls, section, dim: int, seed: int, name: str) -> "Recency":
        """Builds the encoder.

        Args:
            section: Of the encoder's kind.
            dim: d, the length of an item's vector.
            seed: Of initial values.
            name: Of the layer.
        """
        return cls(section.length, name)

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Encodes each history as float32 [batch, d]; zeros where one is empty."""
        back = tf.minimum(items.from_the_end(), self._length - 1)
        return items.weighted_mean(tf.exp(tf.gather(self.log_weights, back)))
