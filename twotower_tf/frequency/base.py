"""What every frequency estimator shares: its arguments, its step, how a model uses it."""

import numbers
from typing import Any

import tensorflow as tf

from twotower_tf.frequency import tables

_MAX_STEP = 2**31 - 1  # What the int32 in which the tables keep a step can hold.


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


class FrequencyEstimator(tf.keras.layers.Layer):
    """Estimates, from the stream itself, the probability that an item is in a batch.

    `update` counts a batch as the next step, `probabilities` answers. As a Keras layer it maps
    ids to `probabilities`, without counting them. The variables are no trainable weights, but
    are saved with the model and its checkpoints.

    Attributes:
        step: int64 scalar variable, the number of `update` calls so far.
    """

    def __init__(
        self,
        buckets: int,
        hashes: int = 1,
        alpha: float = 0.01,
        initial_gap: float = 100.0,
        seed: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ):
        """Creates an empty sketch of `hashes` times `buckets` buckets of 8 bytes.

        Args:
            buckets: H, the buckets of each hash function.
            hashes: m, the number of hash functions, each with its own `buckets` buckets.
            alpha: The weight of the newest gap in a long average, in (0, 1].
            initial_gap: The gap, in steps, assumed of an item never seen; at least 1.
            seed: Chooses the hash functions.
            name: Of the layer.
            **kwargs: Further arguments of `tf.keras.layers.Layer`.

        Raises:
            ValueError: If an argument is out of its range.
        """
        _check_count("buckets", buckets)
        _check_count("hashes", hashes)
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha must be in (0, 1], got {alpha!r}")
        if not 1.0 <= initial_gap < float("inf"):
            raise ValueError(f"initial_gap must be finite and at least 1 step, got {initial_gap!r}")
        super().__init__(name=name, **kwargs)
        self.buckets = int(buckets)
        self.hashes = int(hashes)
        self.alpha = float(alpha)
        self.initial_gap = float(initial_gap)
        self.seed = int(seed)
        self.step = tables.variable(lambda: tf.constant(0, tf.int64), [], tf.int64, "step")
        self._create_tables()

    @classmethod
    def from_section(cls, section: Any, seed: int) -> "FrequencyEstimator":
        """Builds the estimator that a section of the configuration describes.

        Args:
            section: Of the estimator's own kind.
            seed: Chooses the hash functions.
        """
        return cls(
            buckets=section.buckets,
            hashes=section.hashes,
            alpha=section.alpha,
            initial_gap=section.initial_gap,
            seed=seed,
        )

    def _create_tables(self) -> None:
        """Creates the tables, all buckets empty."""
        raise NotImplementedError

    def update(self, ids: tf.Tensor) -> None:
        """Counts one batch as the next step; an item counts once, however often it is in `ids`.

        Run by replicas, each with its share of a batch, it counts the whole batch as one step.

        Args:
            ids: Strings or integers, any shape. May be empty: the step passes all the same.

        Raises:
            ValueError: If `ids` are neither strings nor integers.
            tf.errors.InvalidArgumentError: At step 2^31, where the tables' int32 ends: at one
                step a second that takes 68 years.
        """
        raise NotImplementedError

    def probabilities(self, ids: tf.Tensor) -> tf.Tensor:
        """The estimated probability, per batch, that an item is in it.

        Args:
            ids: Strings or integers, any shape.

        Returns:
            float32 in (0, 1], the shape of `ids`.

        Raises:
            ValueError: If `ids` are neither strings nor integers.
        """
        raise NotImplementedError

    def touched_share(self) -> tf.Tensor:
        """The share of buckets in use: float32 scalar in [0, 1].

        Close to 1 the sketch is too small. Reads the whole table: for a summary now and then,
        not for every step.
        """
        raise NotImplementedError

    def mean_gap(self) -> tf.Tensor:
        """The mean gap, in steps, over the buckets in use: float32 scalar, 0 if there are none.

        Reads the whole table, as `touched_share` does.
        """
        raise NotImplementedError

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """The same as `probabilities`: using the layer in a model never counts the ids."""
        return self.probabilities(ids)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, from which Keras builds the layer again."""
        return super().get_config() | {
            "buckets": self.buckets,
            "hashes": self.hashes,
            "alpha": self.alpha,
            "initial_gap": self.initial_gap,
            "seed": self.seed,
        }

    def _next_step(self) -> tf.Tensor:
        """Counts a step, and returns it as the int32 scalar that the tables keep."""
        step = self.step.assign_add(1)
        countable = tf.debugging.assert_less_equal(
            step,
            tf.constant(_MAX_STEP, tf.int64),
            message="the sketch cannot count past step 2^31 - 1",
        )
        # Without the dependency a graph may have written a wrapped gap before it fails.
        with tf.control_dependencies([countable]):
            return tf.cast(step, tf.int32)
