"""What a day's batches hold, counted while they pass to the model: their items, their weight."""

import weakref
from collections import Counter

import numpy as np
import tensorflow as tf


class BatchCounts:
    """Counts the batches that items are in: an item counts once in a batch, however often there.

    That is what the frequency estimator estimates of the same batches.

    Attributes:
        weight: The sum of the examples' rewards.

    >>> counts = BatchCounts()
    >>> counts.add(np.array([b"a", b"a", b"b"]), np.array([1.0, 0.0, 0.5]))
    >>> counts.add(np.array([b"a"]), np.array([0.25]))
    >>> counts.probabilities()
    {'a': 1.0, 'b': 0.5}
    >>> counts.weight, counts.items_per_batch
    (1.75, 1.5)
    """

    def __init__(self):
        self.weight = 0.0
        self._batches = 0
        self._of_item: Counter[bytes] = Counter()

    def add(self, item_ids: np.ndarray, rewards: np.ndarray) -> None:
        """Counts a batch.

        Args:
            item_ids: The item of each example, bytes [batch].
            rewards: Its reward, [batch].
        """
        self._batches += 1
        self.weight += float(np.sum(rewards, dtype=np.float64))
        self._of_item.update(dict.fromkeys(item_ids.tolist()).keys())

    def counting(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches of examples, each counted as it passes.

        Hold on to these counts while they pass.
        """

        # TensorFlow never lets go of the function it is given, nor of what that holds on to: a
        # process that trains for months would keep the counts of every day.
        counts = weakref.ref(self)

        def add(item_ids: np.ndarray, rewards: np.ndarray) -> None:
            counts().add(item_ids, rewards)

        def count(batch: dict) -> dict:
            # Has a side effect, so that TensorFlow neither leaves it out nor calls it twice.
            tf.numpy_function(add, [batch["item_id"], batch["reward"]], [])
            return batch

        # One after the other: the first batch an item was in gives it its place.
        counted = batches.map(tf.autograph.experimental.do_not_convert(count))
        return counted.prefetch(2)

    @property
    def items_per_batch(self) -> float | None:
        """How many distinct items a batch has on average, None without a batch."""
        return self._of_item.total() / self._batches if self._batches else None

    def probabilities(self) -> dict[str, float]:
        """Returns the share of the batches that each item is in, in the order they first came."""
        return {item.decode(): count / self._batches for item, count in self._of_item.items()}
