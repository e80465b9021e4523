"""The sampling-bias-corrected softmax over the distinct items of a batch."""

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import WholeBatch
from twotower_tf.models.losses.in_batch import (
    InBatchSoftmax,
    log_correction,
    weighted_softmax_loss,
)


class CorrectedSoftmax(InBatchSoftmax):
    """Corrected in-batch softmax in which every distinct item counts once. The default loss.

    -(1/B) sum_i r_i log (exp(s_c(x_i, y_i)) / sum_j exp(s_c(x_i, y_j))),  s_c = s - log p,

    where j runs over the D distinct items of the batch. As p_j is the probability that item j
    is in the batch at all, weighting it 1 / p_j makes the sum the Horvitz-Thompson estimate of
    the softmax's denominator over the whole catalogue: unbiased. Positives and negatives are
    corrected alike; no gradient flows to p.

    Source: Yi et al., RecSys 2019, equations 4 and 5, with each distinct item taken once; see
    `CorrectedSoftmaxByExample` for the equations to the letter.

    >>> import twotower_tf
    >>> loss = CorrectedSoftmax(temperature=0.5)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1, 1]),
    ...     rewards=tf.constant([1.0, 1.0, 0.5]),
    ...     probabilities=tf.constant([0.9, 0.1]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.3704
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
        examples = None if whole is None else whole.examples
        return weighted_softmax_loss(
            self.scaled(query_embeddings),
            candidate_embeddings,
            log_correction(probabilities),
            positives,
            rewards,
            examples,
        )
