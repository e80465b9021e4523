"""The approximate index: ScaNN (Guo et al., ICML 2020), saved inside a SavedModel."""

import math

import numpy as np
import tensorflow as tf
from scann.scann_ops.py import scann_ops

from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex, Extent
from twotower_tf.indexing.kinds.query_blocks import Search

# Guo et al. 2020, section 4: threshold T of the anisotropic loss for vectors of length 1.
_ANISOTROPIC_THRESHOLD = 0.2
_DIMENSIONS_PER_BLOCK = 2
_TRAINING_SAMPLE = 250_000
# ScaNN's own 50, which counts items of the sample, tears many small leaves up: with 632 leaves of
# 100,000 items it costs a tenth of the recall.
_SMALLEST_LEAF = 5
# From so many queries on ScaNN's own threads share them. Fewer are done sooner without: a server
# has other requests for the other processors.
_SEARCHED_IN_PARALLEL = 256
# The work of scoring a centre or an item's quantised vector, in that of an exact score.
_CENTRE, _QUANTISED = 0.2, 0.02


class ScannIndex(ApproximateIndex):
    """ScaNN: a k-means tree, quantised scores within its leaves, exact scores for the best.

    The parameters come from the catalogue's size: about sqrt(N) leaves of sqrt(N) items balance
    the cost of choosing leaves and of searching one. Leaves are initialised by k-means++, whose
    seed is fixed, and not at ScaNN's default random, whose seed is not: the same embeddings give
    the same index.

    Args:
        embeddings: float32 [N, d], N >= 16.
        at: The number of results the extent is for, see ``ApproximateIndex``.
    """

    def __init__(self, embeddings: np.ndarray, at: int):
        leaves = max(1, round(math.sqrt(len(embeddings))))
        state = _trained(np.ascontiguousarray(embeddings, np.float32), leaves, at)
        leaf_of_item = state.datapoint_to_token.numpy()
        super().__init__("scann_index", np.bincount(leaf_of_item, minlength=leaves), at)
        self._state = state

    def searcher(self) -> Search:
        """See ``Index.searcher``."""
        handle = scann_ops.searcher_from_module(self._state).searcher_handle

        def search(queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            k = tf.minimum(k, self.items)
            leaves, reordered = self._extent_for(k)
            batch = tf.shape(queries)[0]
            in_parallel = batch >= _SEARCHED_IN_PARALLEL
            found = scann_ops.scann_search_batched(
                handle, queries, k, reordered, leaves, in_parallel
            )
            return tf.reshape(found.distances, [batch, k]), tf.reshape(found.indices, [batch, k])

        return search

    def cost(self, extent: Extent) -> float:
        """See ``ApproximateIndex.cost``."""
        in_leaves = extent.partitions * self.items / self.partitions
        return self.partitions * _CENTRE + in_leaves * _QUANTISED + extent.reordered


def _trained(embeddings: np.ndarray, leaves: int, at: int) -> scann_ops.ScannState:
    """Returns what ScaNN makes of embeddings, as variables."""
    searcher = (
        scann_ops.builder(embeddings, min(at, len(embeddings)), "dot_product")
        .tree(
            num_leaves=leaves,
            num_leaves_to_search=leaves,
            training_sample_size=_TRAINING_SAMPLE,
            min_partition_size=_SMALLEST_LEAF,
            random_init=False,
        )
        .score_ah(
            _DIMENSIONS_PER_BLOCK,
            anisotropic_quantization_threshold=_ANISOTROPIC_THRESHOLD,
        )
        .reorder(len(embeddings))
        .build()
    )
    state = searcher.serialize_to_module()
    for part in state.variables:
        # The parts that this kind of searcher has not are scalars, never set to anything.
        if not part.numpy().shape:
            part.assign(tf.zeros([], part.dtype))
    # TensorFlow would keep it, a second copy of the index, for the rest of the process.
    tf.raw_ops.DestroyResourceOp(resource=searcher.searcher_handle, ignore_lookup_error=False)
    return state
