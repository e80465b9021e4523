"""The tables of the estimators: in one piece, or sharded over parameter servers.

Under `tf.distribute.ParameterServerStrategy` with a `variable_partitioner` a variable is made of
shards, one after the other on the servers in turn. Its places keep their numbers, so that a
checkpoint written with any number of shards is read with any other.
"""

from collections.abc import Sequence

import tensorflow as tf

ShardedVariable = tf.__internal__.distribute.ShardedVariable


def create(size: int, value: float, dtype: tf.DType, name: str) -> tf.Variable:
    """A table of `size` places, all of the same value; sharded if the strategy's scope says so.

    Args:
        size: The number of places.
        value: What they all hold.
        dtype: Of the table.
        name: Of the variable.

    Returns:
        A variable of shape [size] that is not trained, or a `ShardedVariable` of such ones.
    """

    def fill(partition_shape=None, partition_offset=None):
        # Asked for shard by shard, every server fills its own: given as a tensor, the whole
        # table would be sent by the coordinator, in messages that must not exceed 2 GB.
        return tf.fill(
            [size] if partition_shape is None else partition_shape, tf.cast(value, dtype)
        )

    return variable(fill, [size], dtype, name)


def variable(value, shape: Sequence[int], dtype: tf.DType, name: str) -> tf.Variable:
    """A variable that no optimiser trains, and of which every replica has the same.

    Args:
        value: A function that returns the initial value.
        shape: Of the variable.
        dtype: Of the variable.
        name: Of the variable.

    Returns:
        The variable.
    """
    # A plain variable, not add_weight: under a mixed precision policy Keras would hand out
    # float16, which ends at 65504 steps. Every replica computes the same update, from the ids of
    # all of them.
    return tf.Variable(
        value,
        shape=shape,
        dtype=dtype,
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def gather(table: tf.Variable | ShardedVariable, places: tf.Tensor) -> tf.Tensor:
    """What a table holds at `places`; only that is read, and sent by the servers.

    Args:
        table: From `create`.
        places: int64, any shape, in [0, size).

    Returns:
        The table's type, the shape of `places`.
    """
    if isinstance(table, ShardedVariable):
        # As a list: out of a graph, TensorFlow would put the shards together and look up there.
        return tf.nn.embedding_lookup(table.variables, places)
    return tf.gather(table, places)


def scatter(table: tf.Variable | ShardedVariable, places: tf.Tensor, values: tf.Tensor) -> None:
    """Writes values into a table.

    Args:
        table: From `create`.
        places: int64 [n], in [0, size); the values at places that repeat must agree.
        values: [n], of the table's type.
    """
    # In place; assign() of a tensor_scatter would copy the table at every step.
    table.scatter_update(tf.IndexedSlices(values, places))
