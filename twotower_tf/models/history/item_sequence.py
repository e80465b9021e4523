"""Items in the order in which users acted on them: each distinct one's vector, and its places."""

from typing import NamedTuple

import tensorflow as tf


class ItemSequence(NamedTuple):
    """The histories of a batch, oldest item first.

    A batch's histories hold the same popular items many times: each is encoded once.

    Attributes:
        vectors: float32 [D, d], of the distinct items.
        places: int [values], in [0, D), the item at each place, history after history.
        row_splits: int64 [batch + 1], where each history begins and ends in ``places``.
        days: float32 [values], how long before the example's event the item at each place was
            acted on; None where nobody asked (``times`` of a history encoder).
        types: text [values], what the event was; None where nobody asked (``types``).
        dwell: float32 [values], how long it lasted, in the log's unit; None where nobody asked
            (``dwell``).
    """

    vectors: tf.Tensor
    places: tf.Tensor
    row_splits: tf.Tensor
    days: tf.Tensor | None = None
    types: tf.Tensor | None = None
    dwell: tf.Tensor | None = None

    @property
    def batch(self) -> tf.Tensor:
        """The number of histories, an int64 scalar."""
        return tf.size(self.row_splits, tf.int64) - 1

    def lengths(self) -> tf.Tensor:
        """How many items each history has: int64 [batch]."""
        return self.row_splits[1:] - self.row_splits[:-1]

    def histories(self) -> tf.Tensor:
        """The number of the history that each place is in: int64 [values], ascending."""
        return tf.repeat(tf.range(self.batch), self.lengths())

    def from_the_end(self) -> tf.Tensor:
        """Each place counted from its history's end: int64 [values], 0 for the newest item."""
        ends = tf.repeat(self.row_splits[1:], self.lengths())
        return ends - 1 - tf.range(tf.size(self.places, tf.int64))

    def weighted_mean(self, weights: tf.Tensor) -> tf.Tensor:
        """The mean of each history's items by positive weights: [values] to [batch, d].

        An empty history gives zeros.
        """
        histories = self.histories()
        total = tf.math.segment_sum(
            tf.gather(self.vectors, self.places) * weights[:, tf.newaxis], histories
        )
        norm = tf.math.segment_sum(weights, histories)
        mean = tf.math.divide_no_nan(total, norm[:, tf.newaxis])
        # Segments end with the last history that has an item.
        missing = self.batch - tf.shape(mean, tf.int64)[0]
        return tf.pad(mean, [[0, missing], [0, 0]])

    def padded_days(self, length: int) -> tf.Tensor:
        """The days of what ``padded`` returns: float32 [batch, L], 0 where there is no item."""
        return self.padded_values(self.days[:, tf.newaxis], length)[..., 0]

    def padded_values(self, values: tf.Tensor, length: int) -> tf.Tensor:
        """Others than the items' vectors at the places that ``padded`` returns.

        Args:
            values: float32 [values, n], of each place.
            length: L.

        Returns:
            float32 [batch, L, n], zeros where there is no item.
        """
        others = self._replace(vectors=values, places=tf.range(tf.shape(values)[0]))
        return others.padded(length)[0]

    def padded(self, length: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The newest items as a rectangle, the newest last.

        Args:
            length: L, how many; shorter histories are padded in front.

        Returns:
            float32 [batch, L, d], zeros where there is no item; and bool [batch, L], where one is.
        """
        back = tf.range(length - 1, -1, -1, dtype=tf.int64)
        is_there = back < self.lengths()[:, tf.newaxis]
        # A row of zeros behind the items' is what empty places hold.
        behind = tf.shape(self.vectors, tf.int64)[0]
        where = tf.maximum(self.row_splits[1:, tf.newaxis] - 1 - back, 0)
        places = tf.concat([tf.cast(self.places, tf.int64), [behind]], axis=0)
        rows = tf.where(is_there, tf.gather(places, where), behind)
        return tf.gather(tf.pad(self.vectors, [[0, 1], [0, 0]]), rows), is_there
