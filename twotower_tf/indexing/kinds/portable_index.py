"""The portable index: partitions and quantised vectors, searched with TensorFlow's own operations.

It loads wherever TensorFlow does: stock TensorFlow Serving, Triton, the Java and C interfaces.
"""

import math

import numpy as np
import tensorflow as tf

from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex, Extent
from twotower_tf.indexing.kinds.balanced_partitions import balanced_partitions
from twotower_tf.indexing.kinds.query_blocks import Retriever, in_blocks
from twotower_tf.indexing.kinds.residuals import Residuals

_SEED = 17
# A retrieval gathers the partitions of so many queries at a time: they have to stay in the cache.
_GATHERED_AT_A_TIME = 1 << 20
# All centres are scored for so many queries at a time: one product for many is several for one.
_CENTRES_AT_A_TIME = 1 << 24
# A partition's items score so many standard deviations above its centre, at their best.
_DEVIATIONS = 2.0
# What a query has in the dimension of empty places.
_AT_EMPTY_PLACES = -1000.0
# The work of scoring a centre or an item's quantised vector, in that of an exact score, which
# fetches its vector from anywhere in memory.
_CENTRE, _QUANTISED = 0.15, 0.06


class PortableIndex(ApproximateIndex):
    """An inverted file of balanced partitions whose items are scored three times over.

    - Every partition by its centre's score plus twice the standard deviation of its items' scores
      around that: of two partitions as near, the wider one holds the better items.
    - The items of the best partitions by the centre's score plus that of their residual, which is
      kept in fewer dimensions of 8 bits each, see ``Residuals``.
    - The best of those by their float32 vectors; these are the scores that are given back.

    All partitions have the same number of places, so that few large kernels do the work: one
    gather of rows, one product. Places that are not filled score less than any item.

    Args:
        embeddings: float32 [N, d], N >= 1.
        at: The number of results the extent is for, see ``ApproximateIndex``.
    """

    def __init__(self, embeddings: np.ndarray, at: int):
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        size = _partition_size(len(embeddings))
        parts = balanced_partitions(embeddings, size, _SEED)
        filled = np.count_nonzero(parts.members >= 0, axis=1).astype(np.int32)
        super().__init__("portable_index", filled, at)
        residuals = Residuals.of(embeddings, parts)
        self._size = parts.members.shape[1]
        self._code_dims = 1 + residuals.basis.shape[1]

        def variable(name: str, value: np.ndarray) -> tf.Variable:
            return tf.Variable(value, trainable=False, name=name)

        # Variables, not constants: a graph may not be larger than 2 GB.
        self._embeddings = variable("embeddings", embeddings)
        self._centres = variable("centres", parts.centres)
        self._spread = variable("spread", _DEVIATIONS * residuals.spread)
        self._basis = variable("basis", residuals.basis)
        # One dimension more, in which no item has a part, but the places without one have.
        empty = np.where(parts.members < 0, 127, 0).astype(np.int8)
        codes = np.concatenate([residuals.codes, empty[:, None, :]], axis=1)
        self._codes = variable("codes", codes)
        self._members = variable("members", parts.members)

    def retriever(self) -> Retriever:
        """See ``Index.retriever``."""
        return self._retrieve

    def _retrieve(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        k = tf.minimum(k, self.items)
        searched, reordered = self._extent_for(k)
        reordered = tf.minimum(reordered, searched * self._size)

        def retrieve_block(queries):
            near = tf.matmul(queries, self._centres, transpose_b=True)
            _, partitions = tf.math.top_k(near + self._spread, searched)
            near = tf.gather(near, partitions, batch_dims=1)

            def look_into(queries, partitions, near):
                positions = self._candidates(queries, partitions, near, reordered)
                vectors = tf.gather(self._embeddings, tf.maximum(positions, 0))
                exact = tf.linalg.matvec(vectors, queries)
                scores, best = tf.math.top_k(tf.where(positions < 0, -math.inf, exact), k)
                return scores, tf.gather(positions, best, batch_dims=1)

            gathered = searched * self._size * self._code_dims
            fit_the_cache = tf.maximum(1, _GATHERED_AT_A_TIME // gathered)
            return in_blocks(look_into, [queries, partitions, near], fit_the_cache)

        return in_blocks(retrieve_block, [queries], max(1, _CENTRES_AT_A_TIME // self.partitions))

    def scores_of(self, queries: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """See ``Index.scores_of``."""
        return tf.linalg.matvec(tf.gather(self._embeddings, positions), queries)

    def cost(self, extent: Extent) -> float:
        """See ``ApproximateIndex.cost``."""
        gathered = extent.partitions * self._size
        return self.partitions * _CENTRE + gathered * _QUANTISED + extent.reordered

    def _candidates(
        self, queries: tf.Tensor, partitions: tf.Tensor, near: tf.Tensor, count: tf.Tensor
    ) -> tf.Tensor:
        """Returns the positions [B, count] of the best items by quantised scores; -1: none.

        Args:
            queries: float32 [B, d].
            partitions: int32 [B, p], where to look.
            near: float32 [B, p], the scores of their centres.
            count: int32 scalar.
        """
        codes = tf.cast(tf.gather(self._codes, partitions), tf.float32)
        projected = tf.matmul(queries, self._basis)
        projected = tf.pad(projected, [[0, 0], [0, 1]], constant_values=_AT_EMPTY_PLACES)
        scores = tf.matmul(projected[:, None, None, :], codes)[:, :, 0, :] + near[:, :, None]
        flat = tf.reshape(scores, [tf.shape(queries)[0], tf.shape(partitions)[1] * self._size])
        _, best = tf.math.top_k(flat, count, sorted=False)
        rows = tf.gather(partitions, best // self._size, batch_dims=1)
        return tf.gather_nd(self._members, tf.stack([rows, best % self._size], axis=-1))


def _partition_size(items: int) -> int:
    """Returns the power of 2 nearest to sqrt(N) / 4, which balances centres and items scored."""
    return max(16, 2 ** round(math.log2(math.sqrt(items) / 4)))
