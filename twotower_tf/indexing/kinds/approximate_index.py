"""What the approximate indexes share: how far a retrieval looks, and what looking so far costs."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from twotower_tf.config.index import IndexSection

# How the steps of a ladder grow: what is chosen costs at most so much more than the best between.
_PARTITION_STEP = 1.15
_REORDER_STEP = 1.3
# Without queries to choose by, a retrieval looks into this share of the partitions, or as many as
# hold this many times the results wanted, and scores this many times the results exactly.
_DEFAULT_SHARE = 0.05
_DEFAULT_ITEMS_PER_RESULT = 10
_DEFAULT_REORDERED_PER_RESULT = 4


@dataclasses.dataclass(frozen=True)
class Extent:
    """How far a retrieval looks.

    Attributes:
        partitions: Partitions looked into for a query, those whose centres suit it best.
        reordered: Items scored exactly for a query, those with the best quantised scores.
    """

    partitions: int
    reordered: int


class ApproximateIndex(tf.Module):
    """An index of partitions with quantised vectors, the best of which are scored exactly.

    A retrieval looks into at least as many partitions as hold k items, whichever they are, so that
    there are always min(k, N) results.

    Args:
        name: Of the module.
        sizes: [P], the number of items in each partition, N in all.
        at: The number of results the extent is for. Fewer results take as much, so that a smaller
            k gives the head of what a larger one gives. More take as many more exact scores, and
            more partitions by the square root of that: the next best items are where the best are.
    """

    def __init__(self, name: str, sizes: np.ndarray, at: int):
        super().__init__(name=name)
        self.items = items = int(sizes.sum())
        self.partitions = partitions = len(sizes)
        self.at = min(at, items)
        self._held_by_smallest = tf.Variable(
            np.cumsum(np.sort(sizes), dtype=np.int32), trainable=False, name="held_by_smallest"
        )
        share = max(_DEFAULT_SHARE, _DEFAULT_ITEMS_PER_RESULT * self.at / items)
        # Variables: else another extent would trace a retrieval, and so load the index, again.
        self._searched = tf.Variable(0, trainable=False, name="partitions_searched")
        self._reordered = tf.Variable(0, trainable=False, name="reordered")
        guess = math.ceil(share * partitions), _DEFAULT_REORDERED_PER_RESULT * self.at
        self.look(Extent(min(partitions, guess[0]), min(items, guess[1])))

    @classmethod
    def from_section(cls, section: IndexSection, embeddings: np.ndarray) -> "ApproximateIndex":
        """Makes the index of embeddings, float32 [N, d], for ``recall_at`` results."""
        return cls(embeddings, section.recall_at)

    @property
    def extent(self) -> Extent:
        """How far retrievals of up to ``at`` results look."""
        return Extent(int(self._searched.numpy()), int(self._reordered.numpy()))

    def look(self, extent: Extent) -> None:
        """Sets the extent, at any time; within a ``tf.function`` its numbers may be tensors."""
        self._searched.assign(extent.partitions)
        self._reordered.assign(extent.reordered)

    def ladders(self) -> tuple[list[int], list[int]]:
        """Returns the numbers of partitions, and of exact scores, to choose among, ascending.

        The last ones are all partitions and all items, which together are exact.
        """
        return (
            _ladder(self.fewest_partitions(self.at), self.partitions, _PARTITION_STEP),
            _ladder(self.at, self.items, _REORDER_STEP),
        )

    def fewest_partitions(self, k: int) -> int:
        """Returns how many partitions a retrieval of k results, k <= N, always looks into.

        The smallest partitions hold k items together if they are so many.
        """
        return 1 + int(np.searchsorted(self._held_by_smallest.numpy(), k))

    def cost(self, extent: Extent) -> float:
        """Returns the work of a retrieval, in the work of an exact score; counted, not timed."""
        raise NotImplementedError

    def _extent_for(self, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the partitions and the exact scores for k <= N results, int32."""
        crowding = tf.maximum(tf.cast(k, tf.float32) / self.at, 1.0)
        # Exact scores are rounded up to at least k: float32 alone may fall short of it.
        searched = tf.math.ceil(tf.cast(self._searched, tf.float32) * tf.sqrt(crowding))
        reordered = tf.math.ceil(tf.cast(self._reordered, tf.float32) * crowding)
        fewest = 1 + tf.searchsorted(self._held_by_smallest, [k])[0]
        return (
            tf.clip_by_value(tf.cast(searched, tf.int32), fewest, self.partitions),
            tf.clip_by_value(tf.cast(reordered, tf.int32), k, self.items),
        )


def _ladder(first: int, last: int, step: float) -> list[int]:
    rungs = [first]
    while rungs[-1] < last:
        rungs.append(min(last, max(rungs[-1] + 1, round(rungs[-1] * step))))
    return rungs
