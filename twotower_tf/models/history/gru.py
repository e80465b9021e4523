"""A gated recurrent unit over a history's items, in their order."""

import tensorflow as tf

from twotower_tf.models.history import gaps
from twotower_tf.models.history.item_sequence import ItemSequence
from twotower_tf.models.history.traits import Traits


class Gru(tf.keras.layers.Layer):
    """The last state of a GRU (Cho et al. 2014) that reads the items, oldest first; empty: zeros.

    With ``times`` a learnt vector for how long ago it was is added to each item's, and one for
    what the event was with ``traits``.

    Args:
        dim: d, of the items and of the state.
        length: The most items read, the newest.
        times: Whether it knows how long ago each item was acted on (``gaps``).
        traits: The vectors of events by what they were, if any.
        seed: Of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        length: int,
        times: bool = False,
        traits: Traits | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._length, self._times, self._traits = length, times, traits
        if times:
            self._ages = self.add_weight(
                name="ages", shape=(gaps.BUCKETS, dim), initializer="zeros"
            )
        self._unit = tf.keras.layers.GRU(
            dim,
            kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed),
            recurrent_initializer=tf.keras.initializers.Orthogonal(seed=seed + 1),
            name="unit",
        )

    @classmethod
    def from_section(cls, section, dim: int, seed: int, name: str) -> "Gru":
        """Builds the encoder; see `recency.Recency.from_section`."""
        traits = Traits.from_section(section, (dim,))
        return cls(dim, section.length, section.times, traits, seed, name)

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Encodes each history as float32 [batch, d]; zeros where one is empty."""
        vectors, is_there = items.padded(self._length)
        if self._times:
            vectors += tf.gather(self._ages, gaps.bucket(items.padded_days(self._length)))
        if self._traits is not None:
            vectors += items.padded_values(self._traits(items), self._length)
        return self._unit(vectors, mask=is_there)
