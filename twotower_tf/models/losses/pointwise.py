"""The pointwise loss: cosines towards +1 for positives, towards -1 for negatives."""

from typing import Any

import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.losses.batch_loss import BatchLoss, WholeBatch, mean_over_examples


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
    def from_config(cls, settings: Any, dimension: int) -> "Pointwise":
        """Builds the loss with the number of negatives of its section."""
        return cls(settings.negatives)

    def __call__(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        positives: tf.Tensor,
        rewards: tf.Tensor,
        probabilities: tf.Tensor | None = None,
        whole: WholeBatch | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """The loss of a batch, or of a part of one: see `BatchLoss.__call__`."""
        whole = whole or WholeBatch.of(positives, candidate_embeddings)
        items = tf.shape(candidate_embeddings)[0]
        own = tf.gather(candidate_embeddings, positives)
        others = tf.gather(candidate_embeddings, self._negatives_of(positives, items, whole))
        positive = tf.square(1.0 - tf.reduce_sum(query_embeddings * own, axis=1))
        cosines = tf.reduce_sum(query_embeddings[:, tf.newaxis] * others, axis=2)
        negative = tf.reduce_sum(tf.square(1.0 + cosines), axis=1)
        there_are_others = tf.cast(items > 1, negative.dtype)
        losses = (positive + there_are_others * negative) / (self.negatives + 1)
        return mean_over_examples(losses, rewards, whole.examples)

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
