"""Hashed embedding tables: any id has a row, and equal ids have the same one everywhere."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint, hash_to_buckets

# Tables, features and the sketch hash the same fingerprints; different seeds keep an id's
# collisions in one from being its collisions in the other.
_TABLE_HASH_SEED = 0x7AB1E
# No string has this fingerprint, and it is sorted behind all.
_NOT_AN_ID = np.int64(2**63 - 1)
# The row of an id that has none: its embedding is zero, and stays so.
_NO_ROW = np.int64(-1)
# The axis of ``UniqueV2`` that makes it what ``tf.unique`` is.
_ALL = np.zeros(0, np.int32)


def row_of(ids: tf.Tensor, buckets: int) -> tf.Tensor:
    """The row of each id in a table without a vocabulary: int64 in [0, buckets), their shape."""
    return hash_to_buckets(fingerprint(ids), buckets, seed=_TABLE_HASH_SEED)


class EmbeddingTable(tf.keras.layers.Layer):
    """A table of embeddings for string ids, without the need of a vocabulary.

    An id's 64-bit fingerprint is hashed into one of ``buckets`` rows, so that unknown ids never
    fail (Yi et al. 2019, section 5.1: new ids go to hash buckets). Ids of the vocabulary, if it
    has one, have a row each before those. Without buckets all others have the embedding zero
    (Covington et al. 2016, section 4.1: "out-of-vocabulary values are simply mapped to the zero
    embedding"), which in a mean counts as one.

    The vocabulary is kept as the sorted fingerprints of its ids, in a variable: so checkpoints
    and SavedModels have it, and it may be set after the table was made.

    Args:
        buckets: Number of rows that ids outside the vocabulary share; 0: they have none.
        dim: Length of an embedding.
        vocabulary: Ids with a row of their own, each once; or how many rows to keep for ids that
            ``set_vocabulary`` will give.
        seed: Of the initial values.

    Raises:
        ValueError: For sizes that leave no row or no number in one, or an id that is twice in the
            vocabulary.

    >>> table = EmbeddingTable(buckets=1000, dim=4)
    >>> table(tf.constant(["a", "b", "a"])).shape
    TensorShape([3, 4])
    """

    def __init__(
        self,
        buckets: int,
        dim: int,
        vocabulary: Sequence[str] | int = (),
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        is_set = not isinstance(vocabulary, int)
        self._capacity = len(vocabulary) if is_set else vocabulary
        if buckets < (0 if self._capacity else 1) or dim < 1:
            raise ValueError(
                "buckets and dim must be at least 1, buckets 0 with a vocabulary, "
                f"got {buckets} and {dim}"
            )
        self.buckets = buckets
        self.dim = dim
        self._listed = None
        if self._capacity:
            self._listed = self.add_weight(
                name="vocabulary",
                shape=(self._capacity,),
                dtype=tf.int64,
                initializer=tf.keras.initializers.Constant(_NOT_AN_ID),
                trainable=False,
            )
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self._capacity + buckets, dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=dim**-0.5, seed=seed),
        )
        # By rows it is used without being called, which Keras takes for not being ready.
        self.built = True
        if is_set:
            self.set_vocabulary(vocabulary)

    def set_vocabulary(self, ids: Sequence[str]) -> None:
        """Gives ids a row each, in place of those that had one.

        Raises:
            ValueError: For an id that is there twice, or more ids than rows were kept for.
        """
        if len(set(ids)) != len(ids):
            raise ValueError(f"the vocabulary of table {self.name} holds an id twice")
        if len(ids) > self._capacity:
            raise ValueError(
                f"table {self.name} keeps rows for {self._capacity} ids, got {len(ids)}"
            )
        if self._listed is not None:
            listed = np.full(self._capacity, _NOT_AN_ID)
            listed[: len(ids)] = np.sort(fingerprint(tf.constant(list(ids), tf.string)))
            self._listed.assign(listed)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the row of each id: int64, the shape of ``ids`` (strings); -1: it has none."""
        return self.rows_of(fingerprint(ids))

    def rows_of(self, prints: tf.Tensor) -> tf.Tensor:
        """Returns the row of each id by its fingerprint: int64, the shape of ``prints``."""
        if self.buckets:
            others = self._capacity + hash_to_buckets(prints, self.buckets, seed=_TABLE_HASH_SEED)
        else:
            others = tf.fill(tf.shape(prints), _NO_ROW)
        if self._listed is None:
            return others
        listed = self._listed.read_value()
        place = tf.searchsorted(listed, tf.reshape(prints, [-1]), out_type=tf.int64)
        place = tf.reshape(tf.minimum(place, self._capacity - 1), tf.shape(prints))
        return tf.where(tf.gather(listed, place) == prints, place, others)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings of ids: [..., dim] float32."""
        return self.gather(self.rows(ids))

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings of rows, int64 [...]: [..., dim] float32."""
        distinct, positions = self._distinct(rows)
        return tf.gather(distinct, positions)

    def bags(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns the row of each id of lists: int64, the shape of ``ids``."""
        return ids.with_flat_values(self.rows(ids.flat_values))

    def combine(
        self, bags: tf.RaggedTensor, combiner: str, weights: tf.RaggedTensor | None = None
    ) -> tf.Tensor:
        """Returns one vector per bag of rows: the mean, sum or sqrtn of their embeddings.

        Args:
            bags: int64 rows (``bags``), [batch, (ids)]; an empty bag gives zeros.
            combiner: ``sum``: sum of w e; ``mean``: that over sum of w; ``sqrtn``: over the root
                of the sum of w^2 (w = 1 without weights).
            weights: float32 of the shape of ``bags``, or None.

        Returns:
            float32 [batch, dim].
        """
        rows, positions = self._distinct(bags.flat_values)
        segments, bag_count = _bag_of_each(bags), bags.nrows()
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

    def _distinct(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Each row is fetched, and gets a gradient, once: popular ids fill most of a batch.
        # Not ``tf.unique``: of that, a gather and a segment mean Grappler makes a mean over the
        # whole table, which each request would copy for it.
        distinct, positions = tf.raw_ops.UniqueV2(x=tf.reshape(rows, [-1]), axis=_ALL)
        positions = tf.reshape(positions, tf.shape(rows))
        if self.buckets:
            return tf.gather(self.embeddings, distinct), positions
        vectors = tf.gather(self.embeddings, tf.maximum(distinct, 0))
        return tf.where(distinct[:, tf.newaxis] >= 0, vectors, tf.zeros_like(vectors)), positions


def _bag_of_each(bags: tf.RaggedTensor) -> tf.Tensor:
    """Returns the number of the bag that each value is in, int64 [values].

    ``value_rowids`` takes forty operations for it, and each costs a microsecond of every request.
    """
    # As many bags as end at a value or before it lie before it. The last end, and all equal ones,
    # are behind the last value.
    ends = tf.raw_ops.DenseBincount(
        input=bags.row_splits[1:],
        size=tf.size(bags.flat_values, bags.row_splits.dtype),
        weights=tf.zeros([0], tf.int64),
    )
    return tf.cumsum(ends)
