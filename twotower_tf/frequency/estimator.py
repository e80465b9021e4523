"""The streaming frequency estimator of Yi et al., RecSys 2019."""

import tensorflow as tf

from twotower_tf.frequency import tables
from twotower_tf.frequency.base import FrequencyEstimator
from twotower_tf.graph.hashing import fingerprint, hash_to_buckets
from twotower_tf.graph.replicas import gather_from_replicas


class StreamingFrequencyEstimator(FrequencyEstimator):
    """Estimates, from the stream itself, the probability that an item is in a batch.

    The sketch keeps for every hash bucket the step in which it was last seen, A, and a moving
    average of the gap, in steps, between two sightings, B. An item seen in step t updates its
    bucket b in each of the m hash functions:

        B[b] <- (1 - alpha) B[b] + alpha (t - A[b]),    then    A[b] <- t

    and the estimate is p = 1 / max_k B_k[h_k(item)]: items that share a bucket can only shorten
    its gap, so the largest of the m gaps is the one least disturbed by collisions. It follows
    items whose frequency changes within about 1/alpha sightings, and no vocabulary is needed.

    An item counts once per batch, and so does a bucket: a second update in the same step would
    average in a gap of 0. Memory is 8 bytes per bucket and hash function; a step touches only
    the buckets of its batch.

    Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
    recommendations", RecSys 2019, algorithms 2 (one hash function) and 3 (several).

    As a Keras layer it maps ids to `probabilities`, without counting them; `update` counts.
    The variables are no trainable weights, but are saved with the model and its checkpoints.

    Attributes:
        step: int64 scalar variable, the number of `update` calls so far.
        last_step: A, int32 variable [hashes * buckets], 0 where a bucket was never seen; hash
            function k owns the buckets from k * buckets on.
        gap: B, float32 variable [hashes * buckets], in steps.

    >>> import twotower_tf
    >>> estimator = StreamingFrequencyEstimator(buckets=1000, alpha=0.1)
    >>> for _ in range(100):
    ...     estimator.update(tf.constant(["in every batch", "in every batch"]))
    >>> estimator.probabilities(tf.constant(["in every batch", "never seen"])).numpy().round(2)
    array([1.  , 0.01], dtype=float32)
    """

    def _create_tables(self) -> None:
        size = self.hashes * self.buckets
        self.last_step = tables.create(size, 0, tf.int32, "last_step")
        self.gap = tables.create(size, self.initial_gap, tf.float32, "gap")

    def update(self, ids: tf.Tensor) -> None:
        """Counts one batch as the next step; an item counts once, however often it is in `ids`.

        Run by replicas, each with its share of a batch, it counts the whole batch as one step.

        Args:
            ids: Strings or integers, any shape. May be empty: the step passes all the same.

        Raises:
            ValueError: If `ids` are neither strings nor integers.
            tf.errors.InvalidArgumentError: At step 2^31, where A's int32 ends: at one step a
                second that takes 68 years.
        """
        seen = self._slots(gather_from_replicas(tf.reshape(fingerprint(ids), [-1])))
        # Each bucket once: ids that repeat and ids that collide are one sighting, and the scatters
        # below write no place twice. (Their values would agree, as all gaps are read first; the
        # tables are visited about half as often.)
        seen, _ = tf.unique(tf.reshape(seen, [-1]), out_idx=tf.int64)
        step = self._next_step()
        last = tables.gather(self.last_step, seen)
        # Subtracted as integers: float32 cannot tell neighbouring steps apart past 2^24. Less than
        # one step, or one that is past, is what a worker finds that was overtaken by another.
        newest_gap = tf.cast(tf.maximum(step - last, 1), tf.float32)
        gap = (1.0 - self.alpha) * tables.gather(self.gap, seen) + self.alpha * newest_gap
        tables.scatter(self.gap, seen, gap)
        tables.scatter(self.last_step, seen, tf.maximum(last, step))

    def probabilities(self, ids: tf.Tensor) -> tf.Tensor:
        """The estimated probability, per batch, that an item is in it: 1 / max_k B_k[h_k(id)].

        Args:
            ids: Strings or integers, any shape.

        Returns:
            float32 in (0, 1], the shape of `ids`; 1 / initial_gap for buckets never seen.

        Raises:
            ValueError: If `ids` are neither strings nor integers.
        """
        gap = tf.reduce_max(tables.gather(self.gap, self._slots(fingerprint(ids))), axis=0)
        # No gap is below one step, but rounding may put their average a trifle below.
        return 1.0 / tf.maximum(gap, 1.0)

    def touched_share(self) -> tf.Tensor:
        """The share of buckets seen at least once: float32 scalar in [0, 1].

        Close to 1 the sketch is too small, and collisions overestimate. Reads the whole table:
        for a summary now and then, not for every step.
        """
        return tf.reduce_mean(tf.cast(self.last_step > 0, tf.float32))

    def mean_gap(self) -> tf.Tensor:
        """The mean gap, in steps, over the buckets seen at least once: float32 scalar.

        0 before any was seen. Reads the whole table, as `touched_share` does.
        """
        touched = tf.cast(self.last_step > 0, tf.float32)
        return tf.math.divide_no_nan(tf.reduce_sum(self.gap * touched), tf.reduce_sum(touched))

    def _slots(self, fingerprints: tf.Tensor) -> tf.Tensor:
        """Where the m hash functions put each id: int64 [hashes, ...] into A and B."""
        # Seeds of two estimators with as many hash functions have none in common.
        first_seed = self.seed * self.hashes
        return tf.stack(
            [
                k * self.buckets + hash_to_buckets(fingerprints, self.buckets, first_seed + k)
                for k in range(self.hashes)
            ]
        )
