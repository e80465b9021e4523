"""Lists in a batch: from padded rows to ragged ones, with few operations."""

import tensorflow as tf


def as_ragged(values: tf.Tensor | tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns a list feature as ragged strings; trailing ``""`` of padded rows are dropped.

    As ``tf.RaggedTensor.from_tensor`` does, with half the operations: each costs a microsecond of
    every request.
    """
    if isinstance(values, tf.RaggedTensor):
        return values
    places = tf.range(1, tf.shape(values, tf.int64)[1] + 1)
    last = tf.reduce_max(tf.where(values != "", places, 0), axis=1, keepdims=True)
    lengths = tf.maximum(last, 0)  # Without columns it is the least number there is.
    kept = tf.gather_nd(values, tf.where(places <= lengths))
    return tf.RaggedTensor.from_row_lengths(kept, lengths[:, 0], validate=False)


def as_long_as(
    lists: tf.RaggedTensor, numbers: tf.Tensor | tf.RaggedTensor, name: str
) -> tf.RaggedTensor:
    """Returns numbers, padded or ragged, as lists of the lengths of others.

    Args:
        lists: [B, (L)].
        numbers: [B, L] or [B, (L)].
        name: What they are called in the message.

    Raises:
        InvalidArgumentError: When run, if a row has fewer numbers than its list, or a ragged one
            another number of them.
    """
    lengths = lists.row_lengths()
    message = f"{name} must have as many values as the list it weighs"
    if isinstance(numbers, tf.RaggedTensor):
        fits = tf.reduce_all(numbers.row_lengths() == lengths)
        with tf.control_dependencies([demand(fits, message)]):
            return numbers.with_flat_values(tf.identity(numbers.flat_values))
    fits = tf.reduce_all(tf.shape(numbers, tf.int64)[1] >= lengths)
    with tf.control_dependencies([demand(fits, message)]):
        # A weight of 0 is no padding.
        return tf.RaggedTensor.from_tensor(tf.identity(numbers), lengths=lengths)


def demand(condition: tf.Tensor, *message) -> tf.Operation:
    """Returns an operation that fails with a message unless a condition, a scalar, holds.

    Unlike those of ``tf.debugging``, it is no branch of the graph with all that this costs.
    """
    data = [tf.convert_to_tensor(part) for part in message]
    return tf.raw_ops.Assert(condition=condition, data=data, summarize=100)
