"""The approximate index: ScaNN (Guo et al., ICML 2020), saved inside a SavedModel."""

import math

import numpy as np
import tensorflow as tf
from scann.scann_ops.py import scann_ops

# Guo et al. 2020, section 4: threshold T of the anisotropic loss for vectors of length 1.
_ANISOTROPIC_THRESHOLD = 0.2
_DIMENSIONS_PER_BLOCK = 2
_TRAINING_SAMPLE = 250_000
# At first a search looks into this share of the leaves, or as many as hold this many times the
# results wanted, and scores this many times the results exactly; ``widen`` doubles both.
_SHARE_OF_LEAVES = 0.05
_SEARCHED_PER_RESULT = 10
_REORDERED_PER_RESULT = 4


class ScannIndex(tf.Module):
    """ScaNN: a k-means tree, quantised scores within its leaves, exact scores for the best.

    The parameters come from the catalogue's size: about sqrt(N) leaves of sqrt(N) items balance
    the cost of choosing leaves and of searching one. Leaves are initialised by k-means++, whose
    seed is fixed, and not at ScaNN's default random, whose seed is not: the same embeddings give
    the same index.

    A search returns exactly min(k, N) items: should the searched leaves hold fewer, all leaves
    are searched.

    Args:
        embeddings: float32 [N, d], N >= 16.
        at: The number of results it is laid out for. Fewer search as much as these, so that a
            smaller k gives the head of what a larger one gives; more search more in proportion.
    """

    def __init__(self, embeddings: np.ndarray, at: int):
        super().__init__(name="scann_index")
        self._items = len(embeddings)
        self._leaves = max(1, round(math.sqrt(self._items)))
        self._at = min(at, self._items)
        # A variable, so that widening does not trace a search, and so load the index, again.
        self._effort = tf.Variable(1, trainable=False, name="effort")
        searcher = (
            scann_ops.builder(
                np.ascontiguousarray(embeddings, np.float32),
                num_neighbors=self._at,
                distance_measure="dot_product",
            )
            .tree(
                num_leaves=self._leaves,
                num_leaves_to_search=self._leaves,
                training_sample_size=_TRAINING_SAMPLE,
                random_init=False,
            )
            .score_ah(
                _DIMENSIONS_PER_BLOCK,
                anisotropic_quantization_threshold=_ANISOTROPIC_THRESHOLD,
            )
            .reorder(self._items)
            .build()
        )
        self._state = searcher.serialize_to_module()
        for part in self._state.variables:
            # The parts that this kind of searcher has not are scalars, never set to anything.
            if not part.numpy().shape:
                part.assign(tf.zeros([], part.dtype))
        # TensorFlow would keep it, a second copy of the index, for the rest of the process.
        tf.raw_ops.DestroyResourceOp(resource=searcher.searcher_handle, ignore_lookup_error=False)

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See ``Index.search``."""
        searcher = scann_ops.searcher_from_module(self._state)
        k = tf.minimum(k, self._items)
        crowding = tf.maximum(tf.cast(k, tf.float32) / self._at, 1.0)
        leaves, reordered = self._extent(crowding * tf.cast(self._effort, tf.float32))

        def search_leaves(leaves):
            found = searcher.search_batched_parallel(queries, k, reordered, leaves)
            return found.distances, found.indices

        scores, positions = search_leaves(leaves)
        # Missing results are NaN, or, where all queries miss some, columns that are not there.
        short = tf.reduce_any(tf.math.is_nan(scores)) | (tf.shape(scores)[1] < k)
        scores, positions = tf.cond(
            short,
            lambda: search_leaves(tf.constant(self._leaves)),
            lambda: (scores, positions),
        )
        shape = [tf.shape(queries)[0], k]
        return tf.reshape(scores, shape), tf.reshape(positions, shape)

    def widen(self) -> bool:
        """Doubles the leaves searched and the items scored exactly; says False if that is all."""
        leaves, reordered = self._extent(tf.cast(self._effort, tf.float32))
        if leaves == self._leaves and reordered == self._items:
            return False
        self._effort.assign(2 * self._effort)
        return True

    def _extent(self, effort: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns how many leaves are searched and how many items scored exactly, int32."""
        share = max(_SHARE_OF_LEAVES, _SEARCHED_PER_RESULT * self._at / self._items)
        leaves = tf.cast(tf.math.ceil(effort * share * self._leaves), tf.int32)
        reordered = tf.cast(tf.math.ceil(effort * _REORDERED_PER_RESULT * self._at), tf.int32)
        return tf.minimum(leaves, self._leaves), tf.minimum(reordered, self._items)
