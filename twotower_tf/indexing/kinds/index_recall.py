"""How near to exact search an index is, on the vectors of real queries."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex, Extent
from twotower_tf.indexing.kinds.cheapest_extent import cheapest_extent
from twotower_tf.indexing.kinds.indexes import Index
from twotower_tf.indexing.ranking import rank_exactly

# Scores held at a time, and the difference up to which scores count as equal.
_SCORES_AT_A_TIME = 1 << 26
_TOLERANCE = 1e-5
_QUERIES_AT_A_TIME = 256


class IndexRecall:
    """Recall@k of indexes against exact search, which is done once.

    An item counts as found if its score reaches the k-th highest one, so that it doesn't matter
    which of several items with the same score an index gives.

    Args:
        query_embeddings: float32 [Q, d], Q >= 1.
        item_embeddings: float32 [N, d].
        at: k; N if that is less.
    """

    def __init__(self, query_embeddings: np.ndarray, item_embeddings: np.ndarray, at: int):
        self._queries = np.asarray(query_embeddings, np.float32)
        self._items = np.asarray(item_embeddings, np.float32)
        self._at = min(at, len(self._items))
        self._batch_size = max(1, _SCORES_AT_A_TIME // len(self._items))
        top = rank_exactly(
            self._queries,
            self._items,
            np.full(len(self._queries), -1),
            self._at,
            self._batch_size,
        ).top
        self._bounds = np.sum(self._queries * self._items[top[:, -1]], axis=1) - _TOLERANCE

    def of(self, index: Index) -> float:
        """Returns the mean over the queries of the share of the exact top k that was found."""
        return self._of(_retrieving(index, self._items.shape[1]))

    def reach(self, index: Index, wanted: float) -> float:
        """Gives the index the cheapest extent with the wanted recall; returns its recall.

        The recall of an index without an extent is just measured. See ``cheapest_extent``.
        """
        retrieve = _retrieving(index, self._items.shape[1])
        if not isinstance(index, ApproximateIndex):
            return self._of(retrieve)

        def recall_of(extent: Extent) -> float:
            index.look(extent)
            return self._of(retrieve)

        extent, recall = cheapest_extent(index, recall_of, wanted)
        index.look(extent)
        return recall

    def _of(self, retrieve: Callable) -> float:
        found = 0
        for start in range(0, len(self._queries), _QUERIES_AT_A_TIME):
            rows = slice(start, start + _QUERIES_AT_A_TIME)
            _, positions = retrieve(tf.constant(self._queries[rows]), tf.constant(self._at))
            for query, row, bound in zip(
                self._queries[rows], positions.numpy(), self._bounds[rows], strict=True
            ):
                # The index's own scores are not believed, nor is an item counted twice.
                found += int(np.sum(self._items[np.unique(row)] @ query >= bound))
        return found / (len(self._queries) * self._at)


def _retrieving(index: Index, dim: int) -> Callable:
    # Outside of a function, each retrieval would load the whole index anew.
    function = tf.function(lambda queries, k: index.retriever()(queries, k), autograph=False)
    return function.get_concrete_function(
        tf.TensorSpec([None, dim], tf.float32), tf.TensorSpec([], tf.int32)
    )
