"""Hashed embedding tables: any id has a row, and equal ids have the same one everywhere."""

from collections.abc import Sequence

import tensorflow as tf

from twotower_tf.frequency.hashing import fingerprint, hash_to_buckets

# Tables, features and the sketch hash the same fingerprints; different seeds keep an id's
# collisions in one from being its collisions in the other.
_TABLE_HASH_SEED = 0x7AB1E


def row_of(ids: tf.Tensor, buckets: int) -> tf.Tensor:
    """The row of each id in a table without a vocabulary: int64 in [0, buckets), their shape."""
    return hash_to_buckets(fingerprint(ids), buckets, seed=_TABLE_HASH_SEED)


class EmbeddingTable(tf.keras.layers.Layer):
    """A table of embeddings for string ids, without the need of a vocabulary.

    An id's 64-bit fingerprint is hashed into one of ``buckets`` rows, so that unknown ids never
    fail (Yi et al. 2019, section 5.1: new ids go to hash buckets). Ids of the vocabulary, if one
    is given, have a row each before those.

    Args:
        buckets: Number of rows that ids outside the vocabulary share.
        dim: Length of an embedding.
        vocabulary: Ids with a row of their own, each once.
        seed: Of the initial values.

    Raises:
        ValueError: For sizes below 1, or an id that is twice in the vocabulary.

    >>> table = EmbeddingTable(buckets=1000, dim=4)
    >>> table(tf.constant(["a", "b", "a"])).shape
    TensorShape([3, 4])
    """

    def __init__(
        self,
        buckets: int,
        dim: int,
        vocabulary: Sequence[str] = (),
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if buckets < 1 or dim < 1:
            raise ValueError(f"buckets and dim must be at least 1, got {buckets} and {dim}")
        if len(set(vocabulary)) != len(vocabulary):
            raise ValueError(f"the vocabulary of table {name} holds an id twice")
        self.buckets = buckets
        self.dim = dim
        self._listed = len(vocabulary)
        self._positions = None
        if vocabulary:
            self._positions = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(list(vocabulary)), tf.range(len(vocabulary), dtype=tf.int64)
                ),
                default_value=-1,
            )
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self._listed + buckets, dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=dim**-0.5, seed=seed),
        )

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the row of each id: int64, the shape of ``ids`` (strings)."""
        hashed = row_of(ids, self.buckets)
        if self._positions is None:
            return hashed
        listed = self._positions.lookup(ids)
        return tf.where(listed >= 0, listed, self._listed + hashed)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings of ids: [..., dim] float32."""
        rows, positions = self._distinct_rows(ids)
        return tf.gather(rows, positions)

    def combine(
        self, bags: tf.RaggedTensor, combiner: str, weights: tf.RaggedTensor | None = None
    ) -> tf.Tensor:
        """Returns one vector per bag of ids: the mean, sum or sqrtn of their embeddings.

        Args:
            bags: String ids, [batch, (ids)]; an empty bag gives zeros.
            combiner: ``sum``: sum of w e; ``mean``: that over sum of w; ``sqrtn``: over the root
                of the sum of w^2 (w = 1 without weights).
            weights: float32 of the shape of ``bags``, or None.

        Returns:
            float32 [batch, dim].
        """
        rows, positions = self._distinct_rows(bags.flat_values)
        segments, bag_count = bags.value_rowids(), bags.nrows()
        if weights is None:
            reduce = {
                "mean": tf.sparse.segment_mean,
                "sum": tf.sparse.segment_sum,
                "sqrtn": tf.sparse.segment_sqrt_n,
            }[combiner]
            return reduce(rows, positions, segments, num_segments=bag_count)
        flat = weights.flat_values
        total = tf.math.unsorted_segment_sum(
            tf.gather(rows, positions) * flat[:, tf.newaxis], segments, bag_count
        )
        if combiner == "sum":
            return total
        scale = flat if combiner == "mean" else tf.square(flat)
        norm = tf.math.unsorted_segment_sum(scale, segments, bag_count)
        if combiner == "sqrtn":
            norm = tf.sqrt(norm)
        return tf.math.divide_no_nan(total, norm[:, tf.newaxis])

    def _distinct_rows(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Each row is fetched, and gets a gradient, once: popular ids fill most of a batch.
        distinct, positions = tf.unique(tf.reshape(self.rows(ids), [-1]))
        return tf.gather(self.embeddings, distinct), tf.reshape(positions, tf.shape(ids))
