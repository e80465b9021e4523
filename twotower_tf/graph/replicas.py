"""What replicas that train together (``tf.distribute``) tell each other in a step.

Outside of a replica, and with one replica only, nothing is to be told: each function then returns
what it was given, and adds no operation.
"""

import tensorflow as tf


def replica_count() -> int:
    """How many replicas run this step together; 1 outside of ``Strategy.run``."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gather_from_replicas(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, those of replica 0 first, on every replica.

    Gradients flow back: the gradient of a replica's rows is the sum of what all replicas have for
    them, so that losses which add up over the replicas are differentiated as their sum.

    Args:
        rows: [n, ...], float32, float64, int32 or int64; n may differ between replicas and be 0.

    Returns:
        [sum of n, ...] of the same type.
    """
    if replica_count() == 1:
        return rows
    return _with_dense_gradient(tf.distribute.get_replica_context().all_gather(rows, axis=0))


@tf.custom_gradient
def _with_dense_gradient(rows: tf.Tensor):
    # Picking some of the rows makes a sparse gradient, which all_gather cannot send back.
    return tf.identity(rows), tf.convert_to_tensor


def sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """The sum of a tensor over the replicas, on every replica; shapes must agree."""
    if replica_count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def rows_before(count: tf.Tensor) -> tf.Tensor:
    """How many of the gathered rows are of the replicas before this one.

    Args:
        count: int32 scalar, the rows of this replica.

    Returns:
        int32 scalar; 0 on the first replica.
    """
    if replica_count() == 1:
        return tf.zeros_like(count)
    own = tf.distribute.get_replica_context().replica_id_in_sync_group
    counts = gather_from_replicas(tf.reshape(count, [1]))
    return tf.reduce_sum(counts[: tf.cast(own, tf.int32)])
