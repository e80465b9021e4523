"""What past events themselves were, as learnt numbers: of their types, of how long they lasted."""

from collections.abc import Sequence

import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.history import gaps
from twotower_tf.models.history.item_sequence import ItemSequence


class Traits(tf.keras.layers.Layer):
    """t_e + d_g of each past event, e its type, g the bucket of its dwell (``gaps``).

    All start at 0, so that an encoder starts as the one that knows neither.

    Args:
        types: Each has its own t; all others, ``""`` among them, share one. Empty: t is 0.
        dwell: Whether there is a d; else it is 0.
        shape: Of t and d: () for numbers, (d,) for vectors.

    >>> import twotower_tf
    >>> items = ItemSequence(tf.eye(2), tf.constant([0, 1]), tf.constant([0, 2], tf.int64))
    >>> items = items._replace(dwell=tf.constant([0.0, 7.5]))
    >>> traits = Traits(dwell=True)
    >>> traits.by_dwell.assign(tf.range(32.0))[:1].numpy().tolist()
    [0.0]
    >>> traits(items).numpy().tolist()
    [0.0, 3.0]
    """

    def __init__(
        self,
        types: Sequence[str] = (),
        dwell: bool = False,
        shape: tuple[int, ...] = (),
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._types, self._dwell, self._shape = tuple(types), dwell, tuple(shape)
        if types:
            self.by_type = self.add_weight(
                name="by_type", shape=(1 + len(types), *shape), initializer="zeros"
            )
        if dwell:
            self.by_dwell = self.add_weight(
                name="by_dwell", shape=(gaps.BUCKETS, *shape), initializer="zeros"
            )

    @classmethod
    def from_section(cls, section, shape: tuple[int, ...] = ()) -> "Traits | None":
        """Returns what a history encoder's section asks for, None if it asks for nothing."""
        if not section.types and not section.dwell:
            return None
        return cls(section.types, section.dwell, shape, name="traits")

    def call(self, items: ItemSequence) -> tf.Tensor:
        """Returns float32 [values, *shape]."""
        found = []
        if self._types:
            found.append(tf.gather(self.by_type, self._rows(items.types)))
        if self._dwell:
            found.append(tf.gather(self.by_dwell, gaps.doublings(items.dwell)))
        return tf.add_n(found)

    def _rows(self, types: tf.Tensor) -> tf.Tensor:
        """Returns the row of each event's type, int32: 0 for those not listed."""
        listed = fingerprint(tf.constant(self._types))
        is_it = tf.cast(fingerprint(types)[:, tf.newaxis] == listed, tf.int32)
        return tf.reduce_sum(is_it * tf.range(1, 1 + len(self._types)), axis=1)
