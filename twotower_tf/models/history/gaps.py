"""Lengths of time as numbers of buckets, each twice as long as the one before."""

import tensorflow as tf

BUCKETS = 32
_SECONDS_PER_DAY = 86400.0


def bucket(days: tf.Tensor) -> tf.Tensor:
    """Returns floor(log2(1 + seconds)) of lengths of time, int32, at most ``BUCKETS`` - 1.

    A minute and two minutes are as far apart as a year and two: the last bucket begins at 68 years.

    Args:
        days: float32, of any shape, in days; what is below 0 counts as 0.
    """
    seconds = tf.maximum(days, 0.0) * _SECONDS_PER_DAY
    doublings = tf.math.log1p(seconds) / tf.math.log(2.0)
    return tf.minimum(tf.cast(doublings, tf.int32), BUCKETS - 1)
