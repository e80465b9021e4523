"""Which values are among others, row by row, inside the TensorFlow graph."""

import tensorflow as tf


def is_among(ascending: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Says of each value [B, n] whether it is in its row of ``ascending`` [B, L]: bool [B, n]."""
    # tf.searchsorted does the same, but loses the number of rows where L is 0.
    left = tf.raw_ops.LowerBound(sorted_inputs=ascending, values=values)
    return tf.raw_ops.UpperBound(sorted_inputs=ascending, values=values) > left
