"""The sampling-bias-corrected softmax over a batch's items and uniform draws from the catalogue."""

import tensorflow as tf

from twotower_tf.models.losses.corrected_softmax import CorrectedSoftmax


class MixedSoftmax(CorrectedSoftmax):
    """Corrected softmax whose candidates are the batch's distinct items and uniform negatives.

    -(1/B) sum_i r_i log (exp(s_c(x_i, y_i)) / sum_j exp(s_c(x_i, y_j))),  s_c = s - log pi,

    where j runs over the distinct items that are in the batch, or among N' uniform draws from a
    catalogue of N items, or both, and pi_j = 1 - (1 - p_j) (1 - 1/N)^N' is the probability of
    either (`probability_by_either_route`), given as `probabilities`.

    Items that nobody acts on are never in-batch negatives, so nothing keeps the model from
    recommending them (selection bias), and an item that is rarely in a batch has the weight 1 / p
    of many when it is. Uniform draws reach every item, and bound the weight by about N / N'.

    Source: Yang et al., "Mixed negative sampling for learning two-tower neural networks in
    recommendations", WWW 2020, section 4, with each distinct item taken once.

    >>> import twotower_tf
    >>> loss = MixedSoftmax(temperature=0.5)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0]),
    ...     rewards=tf.constant([1.0]),
    ...     probabilities=probability_by_either_route(
    ...         tf.constant([0.9, 0.01]), draws=50, catalogue_size=100
    ...     ),
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.2754
    """

    needs_negatives = True


def probability_by_either_route(
    probabilities: tf.Tensor, draws: tf.Tensor | int, catalogue_size: tf.Tensor | int
) -> tf.Tensor:
    """The probability that an item is in the batch, or among the uniform draws, or both.

    1 - (1 - p) (1 - 1/N)^N'

    Args:
        probabilities: [D] floating point in (0, 1], p, of being in the batch.
        draws: int scalar, N' >= 0, with replacement.
        catalogue_size: int scalar, N >= 1, the items drawn from.

    Returns:
        [D] of the same type, in (0, 1].
    """
    draws = tf.cast(draws, probabilities.dtype)
    share = 1.0 / tf.cast(catalogue_size, probabilities.dtype)
    # Logarithms near 0, not powers near 1, which float32 would round to 1 for large catalogues.
    not_drawn = tf.math.multiply_no_nan(tf.math.log1p(-share), draws)
    return -tf.math.expm1(tf.math.log1p(-probabilities) + not_drawn)
