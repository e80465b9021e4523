"""The sampling-bias-corrected softmax as published, a candidate for every example."""

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import WholeBatch
from twotower_tf.models.losses.in_batch import (
    InBatchSoftmax,
    log_correction,
    weighted_softmax_loss_by_example,
)


class CorrectedSoftmaxByExample(InBatchSoftmax):
    """Corrected in-batch softmax in which every example is a candidate, duplicates counted.

    -(1/B) sum_i r_i log (exp(s_c(x_i, y_i)) / sum_j exp(s_c(x_i, y_j))),  s_c = s - log p,

    where j runs over all B examples. It equals the loss over the B x B logits, computed from the
    [B, D] ones of the distinct items. An item that occurs c times weighs c / p, which is biased
    for popular items, where p nears 1 however large c is: prefer `CorrectedSoftmax`, unless the
    published form is what you want to reproduce.

    Source: Yi et al., RecSys 2019, equations 4 and 5.

    >>> import twotower_tf
    >>> loss = CorrectedSoftmaxByExample(temperature=0.5)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1, 1]),
    ...     rewards=tf.constant([1.0, 1.0, 0.5]),
    ...     probabilities=tf.constant([0.9, 0.1]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.8178
    """

    needs_probabilities = True

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
        return weighted_softmax_loss_by_example(
            self.scaled(query_embeddings),
            candidate_embeddings,
            log_correction(probabilities),
            positives,
            rewards,
            whole,
        )
