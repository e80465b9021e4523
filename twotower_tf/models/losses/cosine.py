"""The losses of the cosine itself, over a batch's distinct items: pointwise and pairwise."""

from typing import Any

import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.losses.batch_loss import (
    BatchLoss,
    EmbeddedBatch,
    WholeBatch,
    mean_over_examples,
    own_column,
)


class Pointwise(BatchLoss):
    """Squared distance of a positive's cosine from +1, and of n negatives' cosines from -1.

    (1/B) sum_i r_i (1 / (n+1)) [(1 - s_ii)^2 + sum_k (1 + s_i,k)^2],  s = <u, v>,

    where k runs over n distinct items of the batch other than example i's own; the towers'
    vectors have length 1, so that s is the cosine. Which ones is a hash of the example's place in
    the batch: the same batch gives the same, every item is as likely, and none comes twice unless
    there are fewer than n others. Without another item only the positive counts.

    >>> import twotower_tf
    >>> loss = Pointwise(negatives=2)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0]] * 3),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]),
    ...     positives=tf.constant([0, 1, 2]),
    ...     rewards=tf.constant([1.0, 0.0, 0.0]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.1111
    """

    def __init__(self, negatives: int):
        """Fixes the number of negatives.

        Args:
            negatives: n for every positive, 2 or 3.

        Raises:
            ValueError: If `negatives` is neither.
        """
        if negatives not in (2, 3):
            raise ValueError(f"negatives must be 2 or 3, got {negatives!r}")
        self.negatives = int(negatives)

    @classmethod
    def from_section(cls, section: Any, dimension: int) -> "Pointwise":
        """See `BatchLoss.from_section`."""
        return cls(section.negatives)

    def of(self, batch: EmbeddedBatch) -> tf.Tensor:
        """See `BatchLoss.of`."""
        query_embeddings, candidates = batch.query_embeddings, batch.candidate_embeddings
        items = tf.shape(candidates)[0]
        own = tf.gather(candidates, batch.positives)
        others = tf.gather(candidates, self._negatives_of(batch.positives, items, batch.whole))
        positive = tf.square(1.0 - tf.reduce_sum(query_embeddings * own, axis=1))
        cosines = tf.reduce_sum(query_embeddings[:, tf.newaxis] * others, axis=2)
        negative = tf.reduce_sum(tf.square(1.0 + cosines), axis=1)
        there_are_others = tf.cast(items > 1, negative.dtype)
        losses = (positive + there_are_others * negative) / (self.negatives + 1)
        return mean_over_examples(losses, batch.rewards, batch.whole.examples)

    def _negatives_of(self, positives: tf.Tensor, items: tf.Tensor, whole: WholeBatch) -> tf.Tensor:
        """Which items are each example's negatives: int64 [n, negatives] in [0, D)."""
        place = whole.first_example + tf.range(tf.size(positives))
        others = tf.cast(tf.maximum(items - 1, 1), tf.int64)
        # Steps of a share of the circle of other items never meet on the way round.
        steps = tf.range(self.negatives, dtype=tf.int64) * tf.maximum(others // self.negatives, 1)
        start = tf.math.floormod(fingerprint(place), others)
        offsets = 1 + tf.math.floormod(start[:, tf.newaxis] + steps, others)
        own = tf.cast(positives, tf.int64)[:, tf.newaxis]
        return tf.math.floormod(own + offsets, tf.cast(tf.maximum(items, 1), tf.int64))


class PairwiseHinge(BatchLoss):
    """Every positive's cosine above that of every other item of the batch by a margin.

    (1/B) sum_i r_i (1 / (D - 1)) sum_{j != i} max(0, s_ij + margin - s_ii),  s = <u, v>,

    where j runs over the D - 1 distinct items of the batch other than example i's own. The
    towers' vectors have length 1, so that s is the cosine. No more is learnt from a pair once it
    is in order by the margin.

    >>> import twotower_tf
    >>> loss = PairwiseHinge(margin=0.2)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.8, 0.6]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1]),
    ...     rewards=tf.constant([1.0, 1.0]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.2000
    """

    def __init__(self, margin: float):
        """Fixes the margin.

        Args:
            margin: In (0, 2], the range of differences between cosines.

        Raises:
            ValueError: If `margin` is out of its range.
        """
        if not 0.0 < margin <= 2.0:
            raise ValueError(f"margin must be above 0 and at most 2, got {margin!r}")
        self.margin = float(margin)

    @classmethod
    def from_section(cls, section: Any, dimension: int) -> "PairwiseHinge":
        """See `BatchLoss.from_section`."""
        return cls(section.margin)

    def of(self, batch: EmbeddedBatch) -> tf.Tensor:
        """See `BatchLoss.of`."""
        items = tf.shape(batch.candidate_embeddings)[0]
        # TensorFlow 2.16 may abort on a product without columns: an empty batch is given one.
        missing = tf.cast(tf.equal(items, 0), tf.int32)
        candidates = tf.pad(batch.candidate_embeddings, [[0, missing], [0, 0]])
        cosines = tf.matmul(batch.query_embeddings, candidates, transpose_b=True)
        own = own_column(batch.positives)
        own_cosines = tf.gather_nd(cosines, own)
        # The own item is put infinitely below, where it violates nothing and has no gradient.
        below = tf.fill(tf.shape(own_cosines), tf.constant(float("-inf"), cosines.dtype))
        others = tf.tensor_scatter_nd_add(cosines, own, below)
        violations = tf.nn.relu(others + (self.margin - own_cosines)[:, tf.newaxis])
        pairs = tf.cast(tf.maximum(items - 1, 1), cosines.dtype)
        losses = tf.reduce_sum(violations, axis=1) / pairs
        return mean_over_examples(losses, batch.rewards, batch.whole.examples)
