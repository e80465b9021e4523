"""The sampling-bias-corrected softmax as published, without accidental hits."""

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import WholeBatch
from twotower_tf.models.losses.in_batch import (
    InBatchSoftmax,
    log_correction,
    weighted_softmax_loss,
)


class CorrectedSoftmaxByExampleMasked(InBatchSoftmax):
    """Corrected in-batch softmax over all examples, an example's other copies of its item masked.

    -(1/B) sum_i r_i log (exp(s_c(x_i, y_i)) / (exp(s_c(x_i, y_i)) + sum_j exp(s_c(x_i, y_j)))),

    with s_c = s - log p, where j runs over the examples whose item is not y_i: the same item in
    another column (an "accidental hit") is no negative. It equals the loss over the masked B x B
    logits, computed from the [B, D] ones of the distinct items. Negatives are counted as often
    as they occur, with the bias that `CorrectedSoftmaxByExample` tells of.

    Source: Yi et al., RecSys 2019, equations 4 and 5; the masking as in `tfrs.tasks.Retrieval`
    with `remove_accidental_hits`.

    >>> import twotower_tf
    >>> loss = CorrectedSoftmaxByExampleMasked(temperature=0.5)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1, 1]),
    ...     rewards=tf.constant([1.0, 1.0, 0.5]),
    ...     probabilities=tf.constant([0.9, 0.1]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.5163
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
        whole = whole or WholeBatch.of(positives, candidate_embeddings)
        queries = self.scaled(query_embeddings)
        correction = tf.cast(log_correction(probabilities), queries.dtype)
        log_counts = tf.math.log(tf.cast(whole.counts, queries.dtype))
        return weighted_softmax_loss(
            queries,
            candidate_embeddings,
            correction + log_counts,
            positives,
            rewards,
            whole.examples,
            own_log_weights=tf.gather(correction, positives),
        )
