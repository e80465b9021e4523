"""What all losses are: a function of a batch's embeddings, whole or in parts."""

from typing import Any, NamedTuple

import tensorflow as tf

from twotower_tf.models.losses.query_negatives import QueryNegatives
from twotower_tf.models.losses.temperature import LearnedTemperature


class WholeBatch(NamedTuple):
    """The batch that the examples given to a loss are a part of, under data parallelism.

    Attributes:
        examples: int32 scalar, B, the examples of the whole batch.
        first_example: int32 scalar, the place in it of the first example given.
        counts: int32 [D], how many of its examples have each candidate as their item; 0 for a
            candidate drawn from the catalogue that is nobody's item.
    """

    examples: tf.Tensor
    first_example: tf.Tensor
    counts: tf.Tensor

    @classmethod
    def of(cls, positives: tf.Tensor, candidates: tf.Tensor) -> "WholeBatch":
        """The whole batch when all of its examples are given.

        Args:
            positives: int [B], the candidate that is each example's item.
            candidates: [D, ...], of which only the number counts.
        """
        ones = tf.ones_like(positives, tf.int32)
        counts = tf.math.unsorted_segment_sum(ones, positives, tf.shape(candidates)[0])
        return cls(tf.size(positives), tf.constant(0), counts)


class EmbeddedBatch(NamedTuple):
    """What a loss is computed from: a batch's embeddings, or those of a part of one.

    Attributes:
        query_embeddings: [n, d], u, of the examples given: n = B unless `whole` is larger.
        candidate_embeddings: [D, d], v, each distinct item once: those of the whole batch.
        positives: int [n] in [0, D), the index of each example's item.
        rewards: [n], r >= 0.
        probabilities: [D] in (0, 1], of being a candidate; None if the loss does not need them.
        whole: The batch the examples are of.
        training: Whether a step is being made, from which a loss with a state learns.
        query_negatives: Negatives of single queries; None if there are none.
    """

    query_embeddings: tf.Tensor
    candidate_embeddings: tf.Tensor
    positives: tf.Tensor
    rewards: tf.Tensor
    probabilities: tf.Tensor | None
    whole: WholeBatch
    training: bool
    query_negatives: QueryNegatives | None = None


class BatchLoss:
    """Base of the losses: all are built, called and differentiated alike.

    A loss is the mean over the B examples of a batch of what each contributes. Given a part of
    the examples, and the `whole` they are of, it returns that part of the mean: the parts of all
    replicas add up to the loss of the whole batch, values and gradients.

    A subclass defines `from_section` and `of`, and says what it needs.

    Attributes:
        needs_probabilities: Whether the loss uses `probabilities`.
        needs_negatives: Whether the candidates of each batch must include uniform draws from the
            catalogue (``negatives.uniform`` says how many).
        takes_query_negatives: Whether the loss uses ``query_negatives``.
        temperature: What divides the inner products, as it is now; None if nothing does.
        learned_temperature: What it is learnt by, a part of the model; None if it is fixed.
    """

    needs_probabilities: bool = False
    needs_negatives: bool = False
    takes_query_negatives: bool = False
    temperature: float | None = None
    learned_temperature: LearnedTemperature | None = None

    @classmethod
    def from_section(cls, section: Any, dimension: int) -> "BatchLoss":
        """Builds the loss that a section of the configuration describes.

        Args:
            section: Of the loss's own kind.
            dimension: d, the length of the embeddings.
        """
        raise NotImplementedError

    def of(self, batch: EmbeddedBatch) -> tf.Tensor:
        """The loss of a batch, or of a part of one.

        Returns:
            Scalar of the embeddings' type; 0 for an empty batch.

        Raises:
            ValueError: If the shapes do not fit.
        """
        raise NotImplementedError

    def __call__(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        positives: tf.Tensor,
        rewards: tf.Tensor,
        probabilities: tf.Tensor | None = None,
        whole: WholeBatch | None = None,
        training: bool = False,
        query_negatives: QueryNegatives | None = None,
    ) -> tf.Tensor:
        """The loss `of` an `EmbeddedBatch`; without `whole` it is all of its batch.

        Raises:
            ValueError: If the shapes do not fit, or the loss takes no `query_negatives` and there
                are some.
        """
        if query_negatives is not None and not self.takes_query_negatives:
            raise ValueError(f"{type(self).__name__} takes neither explicit nor hard negatives")
        whole = whole or WholeBatch.of(positives, candidate_embeddings)
        return self.of(
            EmbeddedBatch(
                query_embeddings,
                candidate_embeddings,
                positives,
                rewards,
                probabilities,
                whole,
                training,
                query_negatives,
            )
        )


def mean_over_examples(
    losses: tf.Tensor, rewards: tf.Tensor, examples: tf.Tensor | None = None
) -> tf.Tensor:
    """(1/B) sum_i r_i losses_i.

    Args:
        losses: [n] floating point.
        rewards: [n], the weight of each example.
        examples: int scalar, B; None: n.

    Returns:
        Scalar of the losses' type; 0 for an empty batch.

    Raises:
        ValueError: If `rewards` has not the shape of `losses`.
    """
    return tf.reduce_sum(shares_of_mean(rewards, losses, losses.dtype, examples) * losses)


def shares_of_mean(
    rewards: tf.Tensor, each: tf.Tensor, dtype: tf.DType, examples: tf.Tensor | None = None
) -> tf.Tensor:
    """r_i / B, the factor of each example's loss in the mean: [n] of the type wanted.

    Args:
        rewards: [n], the weight of each example.
        each: [n], anything with an entry per example.
        dtype: Of the result.
        examples: int scalar, B; None: n.

    Raises:
        ValueError: If `rewards` has not the shape of `each`.
    """
    rewards = tf.cast(rewards, dtype)
    if not rewards.shape.is_compatible_with(each.shape):
        # Left alone, [n, 1] times [n] would broadcast to [n, n] and train on nonsense.
        raise ValueError(f"rewards must have the shape {each.shape}, got {rewards.shape}")
    if examples is None:
        examples = tf.size(each)
    return tf.math.divide_no_nan(rewards, tf.cast(examples, dtype))


def own_column(positives: tf.Tensor) -> tf.Tensor:
    """Where in a matrix [n, D] each example's own item stands: int [n, 2], for scatters."""
    rows = tf.range(tf.size(positives), dtype=positives.dtype)
    return tf.stack([rows, positives], axis=1)
