"""The pairwise hinge loss on the cosine."""

from typing import Any

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import (
    BatchLoss,
    WholeBatch,
    mean_over_examples,
    own_column,
)


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
    def from_config(cls, settings: Any, dimension: int) -> "PairwiseHinge":
        """Builds the loss with the margin of its section."""
        return cls(settings.margin)

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
        items = tf.shape(candidate_embeddings)[0]
        # TensorFlow 2.16 may abort on a product without columns: an empty batch is given one.
        missing = tf.cast(tf.equal(items, 0), tf.int32)
        candidates = tf.pad(candidate_embeddings, [[0, missing], [0, 0]])
        cosines = tf.matmul(query_embeddings, candidates, transpose_b=True)
        own = own_column(positives)
        own_cosines = tf.gather_nd(cosines, own)
        # The own item is put infinitely below, where it violates nothing and has no gradient.
        below = tf.fill(tf.shape(own_cosines), tf.constant(float("-inf"), cosines.dtype))
        others = tf.tensor_scatter_nd_add(cosines, own, below)
        violations = tf.nn.relu(others + (self.margin - own_cosines)[:, tf.newaxis])
        pairs = tf.cast(tf.maximum(items - 1, 1), cosines.dtype)
        losses = tf.reduce_sum(violations, axis=1) / pairs
        return mean_over_examples(losses, rewards, None if whole is None else whole.examples)
