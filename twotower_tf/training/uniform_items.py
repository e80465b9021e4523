"""Adds to batches items that are drawn uniformly from the day's catalogue."""

import tensorflow as tf

from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.models.inference import CatalogueRows


def with_uniform_items(
    batches: tf.data.Dataset,
    catalogue: Catalogue,
    count: int,
    seed: int,
    first_step: int = 0,
    key: str = "uniform_negatives",
) -> tf.data.Dataset:
    """Gives every batch items of its own, as `TwoTowerModel` takes them.

    Which items depends on the seed and the number of the step only: training that goes on from a
    checkpoint draws what it would have drawn without the break. Drawn with replacement, so that
    an item is among them with probability 1 - (1 - 1/N)^count.

    The draws take the times of the batch's examples, in turn: so an item is as old when it is
    drawn as it would be if it were acted on.

    Args:
        batches: Batches of examples, dictionaries; ``timestamp`` (int64 [batch], Unix seconds) is
            among their keys.
        catalogue: The N items to draw from.
        count: N', the draws for every batch.
        seed: Of the draws.
        first_step: The number of the first batch: the steps trained before.
        key: What they are called in the batch.

    Returns:
        The batches, as many as before, in the same order.

    Raises:
        ValueError: If the catalogue is empty, or `count` is not positive.

    >>> import numpy as np
    >>> batches = tf.data.Dataset.from_tensors({"timestamp": tf.constant([0], tf.int64)}).repeat(2)
    >>> ids = np.array(["a", "b", "c"], object)
    >>> catalogue = Catalogue(ids, {"item": ids})
    >>> for batch in with_uniform_items(batches, catalogue, count=4, seed=1):
    ...     print(batch["uniform_negatives"]["candidate"]["item"].shape)
    (4,)
    (4,)
    """
    size = len(catalogue)
    if size == 0:
        raise ValueError("the catalogue holds no items to draw from")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count!r}")
    rows = CatalogueRows(catalogue)

    def add(step: tf.Tensor, batch: dict) -> dict:
        drawn = tf.random.stateless_uniform(
            [count], seed=tf.stack([tf.constant(seed, tf.int64), step]), maxval=size, dtype=tf.int64
        )
        times = batch["timestamp"]
        times = tf.gather(times, tf.range(count) % tf.size(times))
        items = {
            "item_id": tf.gather(rows.item_ids, drawn),
            "candidate": rows.at(drawn, times),
            "catalogue_size": tf.constant(size, tf.int64),
        }
        return {**batch, key: items}

    numbered = batches.enumerate(start=first_step)
    return numbered.map(add, num_parallel_calls=2, deterministic=True).prefetch(2)
