"""The in-batch softmax without correction."""

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import WholeBatch
from twotower_tf.models.losses.in_batch import InBatchSoftmax, weighted_softmax_loss_by_example


class PlainSoftmax(InBatchSoftmax):
    """The usual in-batch softmax: every example is a candidate, nothing is corrected.

    -(1/B) sum_i r_i log (exp(s(x_i, y_i)) / sum_j exp(s(x_i, y_j))),

    where j runs over all B examples, so that an item that occurs c times counts c times. Popular
    items are negatives more often than others and are pushed down for it: the baseline against
    which Yi et al., RecSys 2019, measure the correction. It equals the loss over the
    B x B logits, computed from the [B, D] ones of the distinct items.

    >>> import twotower_tf
    >>> loss = PlainSoftmax(temperature=0.5)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1, 1]),
    ...     rewards=tf.constant([1.0, 1.0, 0.5]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.7060
    """

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
        no_correction = tf.zeros_like(candidate_embeddings[:, 0])
        return weighted_softmax_loss_by_example(
            self.scaled(query_embeddings),
            candidate_embeddings,
            no_correction,
            positives,
            rewards,
            whole,
        )
