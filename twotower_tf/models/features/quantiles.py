"""Where a number lies among those that were seen: its cumulative distribution."""

import tensorflow as tf

# From the least to the greatest, in steps of a hundredth.
QUANTILES = 101


def cumulative(quantiles: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Returns which share of what was seen lies below numbers, linear between quantiles, in [0, 1].

    Covington et al. 2016, section 4.1.

    Args:
        quantiles: float32 [..., QUANTILES], ascending: of each kind of number its own.
        x: float32 [..., n], of the same kinds.
    """
    kinds = quantiles.shape.rank - 1
    right = tf.searchsorted(quantiles, x, side="right")
    upper = tf.clip_by_value(right, 1, QUANTILES - 1)
    low = tf.gather(quantiles, upper - 1, batch_dims=kinds)
    high = tf.gather(quantiles, upper, batch_dims=kinds)
    within = tf.clip_by_value(tf.math.divide_no_nan(x - low, high - low), 0.0, 1.0)
    share = (tf.cast(upper - 1, tf.float32) + within) / (QUANTILES - 1)
    # At and past the last quantile the steps above may be empty (many equal values).
    return tf.where(right >= QUANTILES, 1.0, share)
