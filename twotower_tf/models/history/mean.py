"""The mean and the sum of a history's items."""

import tensorflow as tf

from twotower_tf.models.history.item_sequence import ItemSequence


class Mean(tf.keras.layers.Layer):
    """The mean of a history's item vectors (Covington et al. 2016, section 3.2); empty: zeros.

    >>> import twotower_tf
    >>> items = ItemSequence(tf.eye(2), tf.constant([0, 0, 1, 1]), tf.constant([0, 4, 4], tf.int64))
    >>> Mean()(items).numpy().tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """

    _combine = staticmethod(tf.sparse.segment_mean)

    @classmethod
    def from_section(cls, section, dim: int, seed: int, name: str) -> "Mean":
        """Builds the encoder; see `recency.Recency.from_section`."""
        return cls(name=name)

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Encodes each history as float32 [batch, d]; zeros where one is empty."""
        # An item of zeros in a history of its own, which is dropped: where there is nothing to
        # add up, TensorFlow 2.16 leaves the gradient of the vectors uninitialised.
        vectors = tf.pad(items.vectors, [[0, 1], [0, 0]])
        last = tf.shape(items.vectors)[:1]
        places = tf.concat([tf.cast(items.places, tf.int32), last], axis=0)
        histories = tf.concat([items.histories(), items.batch[tf.newaxis]], axis=0)
        summed = self._combine(vectors, places, histories, num_segments=items.batch + 1)
        return summed[:-1]


class Sum(Mean):
    """The sum of a history's item vectors; empty: zeros."""

    _combine = staticmethod(tf.sparse.segment_sum)
