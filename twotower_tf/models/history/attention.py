"""A mean of a history's items whose weights the items themselves decide."""

import tensorflow as tf

from twotower_tf.models.history.item_sequence import ItemSequence
from twotower_tf.models.history.recency import Recency
from twotower_tf.models.history.traits import Traits


class Attention(tf.keras.layers.Layer):
    """sum_k w_k v_k / sum_k w_k with w_k = exp(z . relu(W v_k) / h + a_k + b_g + c); empty: zeros.

    Additive attention pooling: an item's weight is of its content, by one hidden layer, and of its
    place from the end, its age and its event as in ``Recency``. z starts at 0, so that it starts as
    the mean.

    Args:
        hidden: h, the width of the hidden layer. Adagrad's first steps move each number of z by the
            whole learning rate: without the division they would settle all weights at once.
        length: How many places have a weight of their own.
        times: See ``Recency``.
        traits: See ``Recency``.
        seed: Of W's initial values.

    >>> import twotower_tf
    >>> items = ItemSequence(tf.eye(2), tf.constant([0, 1]), tf.constant([0, 2], tf.int64))
    >>> Attention(hidden=3, length=5, seed=1)(items).numpy().tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self,
        hidden: int,
        length: int,
        times: bool = False,
        traits: Traits | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._recency = Recency(length, times, traits, name="recency")
        self._hidden = tf.keras.layers.Dense(
            hidden,
            activation="relu",
            kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed),
            name="hidden",
        )
        self._score = tf.keras.layers.Dense(
            1, use_bias=False, kernel_initializer="zeros", name="score"
        )

    @classmethod
    def from_section(cls, section, dim: int, seed: int, name: str) -> "Attention":
        """Builds the encoder; see `recency.Recency.from_section`."""
        traits = Traits.from_section(section)
        return cls(section.hidden, section.length, section.times, traits, seed, name)

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Encodes each history as float32 [batch, d]; zeros where one is empty."""
        # Of the distinct items, as their vectors are.
        hidden = self._hidden(items.vectors)
        content = self._score(hidden)[:, 0] / hidden.shape[-1]
        scores = tf.gather(content, items.places) + self._recency.scores(items)
        # Bounded, so that no history's largest weight overflows, nor all of them vanish.
        return items.weighted_mean(tf.exp(tf.clip_by_value(scores, -20.0, 20.0)))
