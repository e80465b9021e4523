"""What the softmax losses over a batch's own items share.

A batch of B examples holds D <= B distinct items. Each is embedded once and has one column of
logits, whatever number of examples it is the positive of.
"""

from typing import Any

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import (
    BatchLoss,
    WholeBatch,
    mean_over_examples,
    shares_of_mean,
)
from twotower_tf.models.losses.blockwise import softmax_losses


def distinct_items(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The distinct items of a batch, in the order of their first occurrence.

    Gather the candidate features at `first` and run the candidate tower on those D rows only;
    the row of example i's item is then `positives[i]`.

    Args:
        ids: [B], the item id of every example; strings or integers.

    Returns:
        positives: int32 [B], the index of every example's item among the distinct ones.
        first: int32 [D], the position in the batch at which each distinct item first occurs.

    Raises:
        ValueError: If `ids` are not a vector.

    >>> import twotower_tf
    >>> positives, first = distinct_items(tf.constant(["b", "a", "b", "c"]))
    >>> positives.numpy().tolist(), first.numpy().tolist()
    ([0, 1, 0, 2], [0, 1, 3])
    """
    ids = tf.convert_to_tensor(ids)
    if ids.shape.rank != 1:
        raise ValueError(f"ids must be a vector, one id an example, got shape {ids.shape}")
    distinct, positives = tf.unique(ids)
    positions = tf.range(tf.size(ids))
    return positives, tf.math.unsorted_segment_min(positions, positives, tf.size(distinct))


def weighted_softmax_loss(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    log_weights: tf.Tensor,
    positives: tf.Tensor,
    rewards: tf.Tensor,
    examples: tf.Tensor | None = None,
    own_log_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Reward-weighted mean of `blockwise.softmax_losses`.

    -(1/B) sum_i r_i log softmax_i(<queries, candidates> + log_weights)[positive_i]

    An example of reward 0 adds exactly 0 to the loss and to every gradient, but counts in B.

    Args:
        queries: [n, d] floating point, divided by the temperature.
        candidates: [D, d].
        log_weights: [D], the logarithm of each item's weight in the softmax, a constant.
        positives: int [n] in [0, D), the item of each example.
        rewards: [n], the weight of each example in the loss, a constant.
        examples: int scalar, B; None: n.
        own_log_weights: [n], in place of `log_weights` for each example's own item.

    Returns:
        Scalar of the queries' type; 0 for an empty batch.

    Raises:
        ValueError: If the shapes do not fit.
    """
    shares = shares_of_mean(rewards, positives, queries.dtype, examples)
    return softmax_losses(queries, candidates, log_weights, positives, shares, own_log_weights)[0]


def weighted_softmax_loss_by_example(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    log_weights: tf.Tensor,
    positives: tf.Tensor,
    rewards: tf.Tensor,
    whole: WholeBatch | None = None,
) -> tf.Tensor:
    """`weighted_softmax_loss` with a candidate for every example instead of every distinct item.

    An item that occurs c times in the batch is c candidates of equal logits, of which an example's
    positive is its own one:

    -(1/B) sum_i r_i log (exp(z_i,positive_i) / sum_j c_j exp(z_ij)),    z = logits + log_weights

    which equals the loss over the B x B matrix in which item j has c_j columns.

    Args:
        queries: [n, d] floating point, divided by the temperature.
        candidates: [D, d].
        log_weights: [D], the logarithm of the weight of one occurrence of each item.
        positives: int [n] in [0, D), the item of each example.
        rewards: [n], the weight of each example in the loss.
        whole: The batch the examples are of; None: they are all of it.

    Returns:
        Scalar of the queries' type; 0 for an empty batch.

    Raises:
        ValueError: If the shapes do not fit.
    """
    whole = whole or WholeBatch.of(positives, log_weights)
    log_counts = tf.math.log(tf.cast(whole.counts, queries.dtype))
    weights = tf.cast(log_weights, queries.dtype) + log_counts
    loss = weighted_softmax_loss(queries, candidates, weights, positives, rewards, whole.examples)
    # Only the example's own column is its positive, not all c of its item: a constant which
    # changes the value, not the gradient.
    own = mean_over_examples(tf.gather(log_counts, positives), rewards, whole.examples)
    return loss + own


class InBatchSoftmax(BatchLoss):
    """Base of the losses whose logits are s(x, y) = <u(x), v(y)> / temperature.

    Attributes:
        temperature: tau.
    """

    def __init__(self, temperature: float):
        """Fixes the temperature.

        Args:
            temperature: tau > 0, which divides the inner products.

        Raises:
            ValueError: If `temperature` is not a finite number above 0.
        """
        if not 0.0 < temperature < float("inf"):
            raise ValueError(f"temperature must be finite and above 0, got {temperature!r}")
        self.temperature = float(temperature)

    @classmethod
    def from_config(cls, settings: Any, dimension: int) -> "InBatchSoftmax":
        """Builds the loss with the temperature of its section."""
        return cls(settings.temperature)

    def scaled(self, query_embeddings: tf.Tensor) -> tf.Tensor:
        """u / temperature, [n, d]: their inner products with candidates are the logits."""
        return query_embeddings / self.temperature


def log_correction(probabilities: tf.Tensor) -> tf.Tensor:
    """-log p, the correction for the sampling of in-batch items, through which nothing is trained.

    Args:
        probabilities: [D] in (0, 1], the probability that each item is in the batch.

    Returns:
        [D] of the same type.
    """
    return -tf.math.log(tf.stop_gradient(probabilities))
