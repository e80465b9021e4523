"""The softmax losses over a batch's own items: one class, told apart by the weight of each term.

A batch of B examples holds D <= B distinct items. Each is embedded once and has one column of
logits, whatever number of examples it is the positive of.
"""

from typing import Any, ClassVar, Literal

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import (
    BatchLoss,
    EmbeddedBatch,
    mean_over_examples,
    shares_of_mean,
)
from twotower_tf.models.losses.blockwise import softmax_losses
from twotower_tf.models.losses.query_negatives import QueryNegatives
from twotower_tf.models.losses.temperature import LearnedTemperature


class InBatchSoftmax(BatchLoss):
    """-(1/B) sum_i r_i log (w_i exp(s_ii) / sum_j w_j exp(s_ij)),  s = <u, v> / temperature.

    What differs from loss to loss is which candidates j there are and what they weigh:

    - 1 / p_j if the loss ``needs_probabilities``, which corrects for the sampling; else 1. No
      gradient flows to p.
    - ``copies`` says how an item counts that c examples have: ``"once"``; ``"each"``, c times, of
      which an example's positive is its own one; ``"others"``, c times, but an example's own item
      once (its other copies, "accidental hits", are no negatives).

    The last two equal losses over B x B logits, and are computed from the [B, D] ones.

    Negatives of single queries come to all of them alike (`QueryNegatives`).

    Attributes:
        copies: See above.
    """

    takes_query_negatives = True
    copies: ClassVar[Literal["once", "each", "others"]] = "once"

    def __init__(self, temperature: float | LearnedTemperature):
        """Takes the temperature.

        Args:
            temperature: tau > 0, which divides the inner products.

        Raises:
            ValueError: If `temperature` is not a finite number above 0.
        """
        if isinstance(temperature, LearnedTemperature):
            self.learned_temperature = temperature
        elif not 0.0 < temperature < float("inf"):
            raise ValueError(f"temperature must be finite and above 0, got {temperature!r}")
        self._temperature = temperature

    @classmethod
    def from_section(cls, section: Any, dimension: int) -> "InBatchSoftmax":
        """See `BatchLoss.from_section`."""
        return cls(temperature_of(section))

    @property
    def temperature(self) -> float:
        """See `BatchLoss`."""
        return float(self._temperature)

    def of(self, batch: EmbeddedBatch) -> tf.Tensor:
        """See `BatchLoss.of`."""
        queries = self.scaled(batch.query_embeddings)
        weights = self._log_weights(batch)
        own_weights = None
        if self.copies != "once":
            weights = tf.cast(weights, queries.dtype)
            if self.copies == "others":
                own_weights = tf.gather(weights, batch.positives)
            log_counts = tf.math.log(tf.cast(batch.whole.counts, queries.dtype))
            weights = weights + log_counts
        loss, _, _ = self.softmax(batch, queries, weights, own_weights)
        if self.copies == "each":
            # Only the example's own column is its positive, not all c of its item: a constant
            # which changes the value, not the gradient.
            own_counts = tf.gather(log_counts, batch.positives)
            loss += mean_over_examples(own_counts, batch.rewards, batch.whole.examples)
        return loss

    def softmax(
        self,
        batch: EmbeddedBatch,
        queries: tf.Tensor,
        log_weights: tf.Tensor,
        own_log_weights: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The softmax over the batch's candidates and each query's own negatives.

        Args:
            batch: The batch.
            queries: [n, d], from `scaled`.
            log_weights: [D], of the candidates.
            own_log_weights: [n], of each example's own item, if it is another one.

        Returns:
            As `softmax_losses`, with the share of each example in the sum, [n].
        """
        candidates, examples = batch.candidate_embeddings, batch.whole.examples
        negatives = batch.query_negatives or QueryNegatives()
        shares = shares_of_mean(batch.rewards, batch.positives, queries.dtype, examples)
        is_explicit = None
        if negatives.explicit is not None:
            is_explicit = negatives.explicit > 0
            if own_log_weights is None:
                own_log_weights = tf.gather(log_weights, batch.positives)
            own_log_weights = tf.where(is_explicit, tf.zeros_like(shares), own_log_weights)
            # Where there is no other item, nothing says that it should not be this one.
            others = tf.cast(tf.shape(candidates)[0] > 1, shares.dtype)
            explicit = shares_of_mean(negatives.explicit, batch.positives, shares.dtype, examples)
            shares = tf.where(is_explicit, others * explicit, shares)
        total, losses = softmax_losses(
            queries,
            candidates,
            log_weights,
            batch.positives,
            shares,
            own_log_weights,
            negatives.hard_logits(queries),
            is_explicit,
        )
        return total, losses, shares

    def scaled(self, query_embeddings: tf.Tensor) -> tf.Tensor:
        """u / temperature, [n, d]: their inner products with candidates are the logits."""
        if self.learned_temperature is None:
            return query_embeddings / self.temperature
        return query_embeddings / tf.cast(self.learned_temperature(), query_embeddings.dtype)

    def _log_weights(self, batch: EmbeddedBatch) -> tf.Tensor:
        """The logarithm of what one copy of each item weighs: [D], a constant."""
        if not self.needs_probabilities:
            return tf.zeros_like(batch.candidate_embeddings[:, 0])
        return -tf.math.log(tf.stop_gradient(batch.probabilities))


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


class CorrectedSoftmaxByExample(InBatchSoftmax):
    """Corrected in-batch softmax in which every example is a candidate, duplicates counted.

    -(1/B) sum_i r_i log (exp(s_c(x_i, y_i)) / sum_j exp(s_c(x_i, y_j))),  s_c = s - log p,

    where j runs over all B examples. An item that occurs c times weighs c / p, which is biased
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
    copies = "each"


class CorrectedSoftmaxByExampleMasked(InBatchSoftmax):
    """Corrected in-batch softmax over all examples, an example's other copies of its item masked.

    -(1/B) sum_i r_i log (exp(s_c(x_i, y_i)) / (exp(s_c(x_i, y_i)) + sum_j exp(s_c(x_i, y_j)))),

    with s_c = s - log p, where j runs over the examples whose item is not y_i: the same item in
    another column (an "accidental hit") is no negative. Negatives are counted as often as they
    occur, with the bias that `CorrectedSoftmaxByExample` tells of.

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
    copies = "others"


class PlainSoftmax(InBatchSoftmax):
    """The usual in-batch softmax: every example is a candidate, nothing is corrected.

    -(1/B) sum_i r_i log (exp(s(x_i, y_i)) / sum_j exp(s(x_i, y_j))),

    where j runs over all B examples, so that an item that occurs c times counts c times. Popular
    items are negatives more often than others and are pushed down for it: the baseline against
    which Yi et al., RecSys 2019, measure the correction.

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

    copies = "each"


class MixedSoftmax(InBatchSoftmax):
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

    needs_probabilities = True
    needs_negatives = True


def temperature_of(section: Any) -> float | LearnedTemperature:
    """What the section of a softmax loss says of its temperature."""
    given = section.temperature
    if isinstance(given, float):
        return given
    return LearnedTemperature(given.start, given.least, given.most)


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
