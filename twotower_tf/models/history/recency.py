"""A mean of a history's items in which each place from the end, and each age, has a weight."""

import tensorflow as tf

from twotower_tf.models.history import gaps
from twotower_tf.models.history.item_sequence import ItemSequence
from twotower_tf.models.history.traits import Traits


class Recency(tf.keras.layers.Layer):
    """sum_k w_k v_k / sum_k w_k with w_k = exp(a_k + b_g + c), k = 0 the newest item; empty: zeros.

    g is the bucket of how long ago the item was acted on (``gaps``); without ``times`` b is 0. c is
    what the event's type and dwell say (``Traits``). All weights start at 0, the mean. Items
    further back than there are weights share the last one.

    Args:
        length: How many places have a weight of their own.
        times: Whether each length of time has one too.
        traits: The log-weights of events by what they were, if any.

    >>> import twotower_tf
    >>> items = ItemSequence(tf.eye(2), tf.constant([0, 1]), tf.constant([0, 2], tf.int64))
    >>> Recency(length=5)(items).numpy().tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self,
        length: int,
        times: bool = False,
        traits: Traits | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._length, self._times, self._traits = length, times, traits
        self.log_weights = self.add_weight(name="log_weights", shape=(length,), initializer="zeros")
        if times:
            self.log_weights_by_age = self.add_weight(
                name="log_weights_by_age", shape=(gaps.BUCKETS,), initializer="zeros"
            )

    @classmethod
    def from_section(cls, section, dim: int, seed: int, name: str) -> "Recency":
        """Builds the encoder.

        Args:
            section: Of the encoder's kind.
            dim: d, the length of an item's vector.
            seed: Of initial values.
            name: Of the layer.
        """
        return cls(section.length, section.times, Traits.from_section(section), name)

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Encodes each history as float32 [batch, d]; zeros where one is empty."""
        return items.weighted_mean(tf.exp(self.scores(items)))

    def scores(self, items: ItemSequence) -> tf.Tensor:
        """The logarithm of the weight at each place: float32 [values]."""
        back = tf.minimum(items.from_the_end(), self._length - 1)
        scores = tf.gather(self.log_weights, back)
        if self._times:
            scores += tf.gather(self.log_weights_by_age, gaps.bucket(items.days))
        return scores if self._traits is None else scores + self._traits(items)
