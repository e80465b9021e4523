"""Adds negatives to batches: items drawn uniformly from the day's catalogue."""

from collections.abc import Mapping

import tensorflow as tf


def with_uniform_negatives(
    batches: tf.data.Dataset,
    catalogue_columns: Mapping[str, tf.Tensor | tf.RaggedTensor],
    item_ids: tf.Tensor,
    count: int,
    seed: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Gives every batch its ``negatives``, as `TwoTowerModel` takes them.

    Which items depends on the seed and the number of the step only: training that goes on from a
    checkpoint draws what it would have drawn without the break. Drawn with replacement, so that
    an item is among them with probability 1 - (1 - 1/N)^count.

    Args:
        batches: Batches of examples, dictionaries.
        catalogue_columns: The candidate tower's raw features of all items by name, N rows each.
        item_ids: string [N].
        count: N', the draws for every batch.
        seed: Of the draws.
        first_step: The number of the first batch: the steps trained before.

    Returns:
        The batches, as many as before, in the same order.

    Raises:
        ValueError: If the catalogue is empty, or its columns have another number of rows than
            `item_ids`, or `count` is not positive.

    >>> import twotower_tf
    >>> batches = tf.data.Dataset.from_tensors({"item_id": tf.constant(["a"])}).repeat(2)
    >>> ids = tf.constant(["a", "b", "c"])
    >>> for batch in with_uniform_negatives(batches, {"item": ids}, ids, count=4, seed=1):
    ...     print(batch["negatives"]["candidate"]["item"].shape)
    (4,)
    (4,)
    """
    size = int(tf.size(item_ids))
    if size == 0:
        raise ValueError("the catalogue holds no items to draw negatives from")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count!r}")
    for name, column in catalogue_columns.items():
        rows = int(column.nrows() if isinstance(column, tf.RaggedTensor) else tf.shape(column)[0])
        if rows != size:
            raise ValueError(f"column {name} has {rows} rows, but there are {size} item ids")

    def add(step: tf.Tensor, batch: dict) -> dict:
        drawn = tf.random.stateless_uniform(
            [count], seed=tf.stack([tf.constant(seed, tf.int64), step]), maxval=size, dtype=tf.int64
        )
        negatives = {
            "item_id": tf.gather(item_ids, drawn),
            "candidate": {name: tf.gather(raw, drawn) for name, raw in catalogue_columns.items()},
            "catalogue_size": tf.constant(size, tf.int64),
        }
        return {**batch, "negatives": negatives}

    numbered = batches.enumerate(start=first_step)
    return numbered.map(add, num_parallel_calls=2, deterministic=True).prefetch(2)
