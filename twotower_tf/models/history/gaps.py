"""Numbers, such as lengths of time, as those of buckets, each twice as long as the one before."""

import tensorflow as tf

BUCKETS = 32
_SECONDS_PER_DAY = 86400.0


def bucket(days: tf.Tensor) -> tf.Tensor:
    """Returns floor(log2(1 + seconds)) of lengths of time, int32, at most ``BUCKETS`` - 1.

    A minute and two minutes are as far apart as a year and two: the last bucket begins at 68 years.

    Args:
        days: float32, of any shape, in days; what is below 0 counts as 0.
    """
    return doublings(tf.maximum(days, 0.0) * _SECONDS_PER_DAY)


def doublings(numbers: tf.Tensor) -> tf.Tensor:
    """Returns floor(log2(1 + x)) of numbers, int32, from 0 to ``BUCKETS`` - 1.

    Args:
        numbers: float32, of any shape; what is below 0, or not finite, counts as 0.
    """
    found = tf.math.log1p(tf.maximum(numbers, 0.0)) / tf.math.log(2.0)
    found = tf.where(tf.math.is_finite(found), found, 0.0)
    return tf.minimum(tf.cast(found, tf.int32), BUCKETS - 1)
