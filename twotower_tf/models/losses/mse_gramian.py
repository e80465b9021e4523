"""Squared error on the observed pairs, and gravity between all pairs by Gramian estimation."""

from typing import Any

import tensorflow as tf

from twotower_tf.graph.replicas import sum_over_replicas
from twotower_tf.models.losses.batch_loss import BatchLoss, EmbeddedBatch, mean_over_examples


class MseGramian(tf.Module, BatchLoss):
    """Regression of <u, v> to the reward, all other pairs drawn towards 0.

    (1/B) sum_i (<u_i, v_i> - r_i)^2 + gravity <G_u, G_v>

    with the Gramians G_u = mean of u u^T and G_v = mean of v v^T over all examples. Their inner
    product is the mean of <u_i, v_j>^2 over *all* pairs of a query i and an item j, so that
    no negatives are sampled. While training, each is estimated by a moving average over the
    batches, M <- (1 - a) M + a (1/B) sum_i u_i u_i^T, with a = max(rate, 1 / n) in the n-th batch
    (the first ones are averaged plainly: nothing of the initial zeros stays). The gradient of the
    gravity is that of

        (1/B) sum_i (u_i^T M_v u_i + v_i^T M_u v_i),

    the other side's estimate frozen. The reward is the target here, not a weight: an example of
    reward 0 is drawn to 0.

    The estimates are no trainable weights, but are saved with the model and its checkpoints.

    Source: Krichene et al., "Efficient training on very large corpora via Gramian estimation",
    ICLR 2019, SOGram; a baseline of Yi et al., RecSys 2019.

    Attributes:
        batches: int64 scalar variable, n, the batches averaged so far.
        query_gramian: M_u, float32 variable [d, d].
        candidate_gramian: M_v, float32 variable [d, d].

    >>> import twotower_tf
    >>> loss = MseGramian(dimension=2, gravity=1.0, rate=0.1)
    >>> value = loss(
    ...     query_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     candidate_embeddings=tf.constant([[1.0, 0.0], [0.0, 1.0]]),
    ...     positives=tf.constant([0, 1]),
    ...     rewards=tf.constant([1.0, 0.5]),
    ...     training=True,
    ... )
    >>> print(f"{value.numpy():.4f}")
    0.6250
    """

    def __init__(self, dimension: int, gravity: float, rate: float):
        """Starts without an estimate.

        Args:
            dimension: d, the length of the embeddings.
            gravity: lambda >= 0, the weight of the mean over all pairs.
            rate: In (0, 1], the weight of the newest batch in the moving averages.

        Raises:
            ValueError: If an argument is out of its range.
        """
        super().__init__(name="mse_gramian")
        if dimension < 1:
            raise ValueError(f"dimension must be at least 1, got {dimension!r}")
        if not 0.0 <= gravity < float("inf"):
            raise ValueError(f"gravity must be finite and at least 0, got {gravity!r}")
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"rate must be in (0, 1], got {rate!r}")
        self.gravity, self.rate = float(gravity), float(rate)

        def variable(value: tf.Tensor, name: str) -> tf.Variable:
            # Under data parallelism all replicas compute the same new value from the whole batch.
            aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
            return tf.Variable(value, trainable=False, name=name, aggregation=aggregation)

        self.batches = variable(tf.constant(0, tf.int64), "batches")
        self.query_gramian = variable(tf.zeros([dimension, dimension]), "query_gramian")
        self.candidate_gramian = variable(tf.zeros([dimension, dimension]), "candidate_gramian")

    @classmethod
    def from_section(cls, section: Any, dimension: int) -> "MseGramian":
        """See `BatchLoss.from_section`."""
        return cls(dimension, section.gravity, section.rate)

    def of(self, batch: EmbeddedBatch) -> tf.Tensor:
        """See `BatchLoss.of`."""
        query_embeddings, examples = batch.query_embeddings, batch.whole.examples
        own = tf.gather(batch.candidate_embeddings, batch.positives)
        if batch.training:
            self._average_in(query_embeddings, own, examples)
        dtype = query_embeddings.dtype
        query_gramian = tf.cast(self.query_gramian.read_value(), dtype)
        candidate_gramian = tf.cast(self.candidate_gramian.read_value(), dtype)
        # The gradient comes from pull, the value from the estimates.
        pull = _quadratic(query_embeddings, candidate_gramian) + _quadratic(own, query_gramian)
        all_pairs = tf.reduce_sum(query_gramian * candidate_gramian)
        gravity = all_pairs + pull - tf.stop_gradient(pull)
        errors = tf.reduce_sum(query_embeddings * own, axis=1) - tf.cast(batch.rewards, dtype)
        losses = tf.square(errors) + self.gravity * gravity
        return mean_over_examples(losses, tf.ones_like(losses), examples)

    def _average_in(self, u: tf.Tensor, v: tf.Tensor, examples: tf.Tensor) -> None:
        """Takes the Gramians of the whole batch into the moving averages; an empty one is none."""
        batches = self.batches.assign_add(tf.cast(examples > 0, tf.int64))
        newest = tf.maximum(self.rate, 1.0 / tf.cast(tf.maximum(batches, 1), tf.float32))
        newest *= tf.cast(examples > 0, tf.float32)
        for average, rows in ((self.query_gramian, u), (self.candidate_gramian, v)):
            rows = tf.cast(tf.stop_gradient(rows), tf.float32)
            total = sum_over_replicas(tf.matmul(rows, rows, transpose_a=True))
            gramian = tf.math.divide_no_nan(total, tf.cast(examples, tf.float32))
            average.assign((1.0 - newest) * average + newest * gramian)


def _quadratic(rows: tf.Tensor, gramian: tf.Tensor) -> tf.Tensor:
    """x^T M x of every row x [n, d]: [n]."""
    return tf.reduce_sum(rows * tf.matmul(rows, gramian), axis=1)
