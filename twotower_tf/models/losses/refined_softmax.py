"""The sampling-bias-corrected softmax in which the positive is certain, not sampled."""

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import EmbeddedBatch
from twotower_tf.models.losses.in_batch import InBatchSoftmax


class RefinedSoftmax(InBatchSoftmax):
    """Corrected in-batch softmax over distinct items that corrects the negatives only.

    -(1/B) sum_i r_i sg(1 - P_i) log (exp(s_ii) / sum_{j != i} w_j exp(s_ij))

    where s_ii is the logit of example i's own item, j runs over the other distinct items of the
    batch, sg stops the gradient, and P_i = exp(s_ii) / (exp(s_ii) + sum_{j != i} w_j exp(s_ij))
    estimates the full softmax's P(y_i | x_i).

    *Why.* The gradient of the full softmax's loss is -(1 - P(y_i | x_i)) times
    [grad s_ii - sum_{j != i} P(j | x_i, j != i) grad s_ij]. Only the sum is estimated from sampled
    items, so only they need importance weights, over the items other than the positive; the
    positive is a candidate with probability 1. `CorrectedSoftmax` gives it the weight 1 / p all
    the same: a rare item's P is overestimated, and the example is hardly trained on.

    *The weights.* The estimator gives p_j, the probability that item j is in a batch of B
    examples, of which each has it with probability q_j: p_j = 1 - (1 - q_j)^B. Given example i,
    its own column is certain, and another item j is a candidate if one of the *other* B - 1
    examples has it. They are drawn independently of example i, so that, whatever y_i != j is,

        pi_j = P(j in batch | example i) = 1 - (1 - q_j)^(B-1) = 1 - (1 - p_j)^((B-1) / B),

    and w_j = 1 / pi_j makes the sum over the negatives the Horvitz-Thompson estimate of the sum
    over all the catalogue but y_i: unbiased. Other copies of y_i among the B - 1 are no
    negatives. (Given also how many there are, c, the remaining B - 1 - c examples are drawn with
    the positive left out, with probabilities q_j / (1 - q_i). That conditional weight is unbiased
    too, averages to the same, and would cost a [B, D] matrix of weights instead of a vector.)

    *The gradient* is that of the cross entropy -log P_i: (1 - P_i) times the softmax over the
    negatives alone is the negatives' share of the softmax over all. So it is computed in one fused
    operation and vanishes as P_i nears 1. The value is not the cross entropy: it may be negative,
    and nears 0 as P_i nears 1 from below. Watch recall rather than this loss.

    Source: Khrylchenko et al., "Correcting the LogQ correction", RecSys 2025, arXiv:2507.09331;
    the inclusion probabilities of distinct items are our own.

    >>> import twotower_tf
    >>> loss = RefinedSoftmax(temperature=0.5)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1, 1]),
    ...     rewards=tf.constant([1.0, 1.0, 0.5]),
    ...     probabilities=tf.constant([0.9, 0.1]),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.4051
    """

    needs_probabilities = True

    def of(self, batch: EmbeddedBatch) -> tf.Tensor:
        """See `BatchLoss.of`."""
        queries = self.scaled(batch.query_embeddings)
        examples = batch.whole.examples
        inclusion = probability_among_others(tf.cast(batch.probabilities, queries.dtype), examples)
        log_weights = -tf.math.log(tf.stop_gradient(inclusion))
        certain = tf.zeros_like(batch.positives, queries.dtype)
        total, cross_entropy, shares = self.softmax(batch, queries, log_weights, certain)
        # log(P / (1 - P)) is the logarithm of the ratio of the published form. Where P rounds to
        # 1 the product is 0, its limit, instead of 0 times infinity.
        others = -tf.math.expm1(-cross_entropy)
        published = tf.math.multiply_no_nan(cross_entropy + tf.math.log(others), others)
        change = published - cross_entropy
        negatives = batch.query_negatives
        if negatives is not None and negatives.explicit is not None:
            # What is published is of positives: an explicit negative's -log(1 - P) stays.
            change = tf.where(negatives.explicit > 0, tf.zeros_like(change), change)
        return total + tf.reduce_sum(shares * change)


def probability_among_others(probabilities: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    """The probability that an item is among the B - 1 examples other than a given one.

    1 - (1 - p)^((B-1) / B), the second factor being the share of B independent draws.

    Args:
        probabilities: [D] floating point in (0, 1], p, of being among B examples.
        examples: int scalar, B.

    Returns:
        [D] of the same type, in (0, 1]; p itself for B = 1, when there are no others.
    """
    count = tf.cast(tf.maximum(examples, 1), probabilities.dtype)
    share = tf.maximum(count - 1.0, 1.0) / count
    return -tf.math.expm1(share * tf.math.log1p(-probabilities))
