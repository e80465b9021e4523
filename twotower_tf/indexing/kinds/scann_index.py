"""The approximate index: ScaNN (Guo et al., ICML 2020), saved inside a SavedModel."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from scann.scann_ops.py import scann_ops

from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex, Extent
from twotower_tf.indexing.kinds.principal_dimensions import PrincipalDimensions
from twotower_tf.indexing.kinds.query_blocks import Retriever

# The vectors' principal dimensions are learned from about so many.
_SAMPLE = 100_000
# Dimensions that hold this share of what vectors differ in get a code each.
_WELL_CODED = 0.99
# From so many queries on ScaNN's own threads share them. Fewer are done sooner without: a server
# has other requests for the other processors.
_SEARCHED_IN_PARALLEL = 256
# The work of scoring a centre or a code of an item, in that of an exact score.
_CENTRE, _CODE = 0.1, 0.0005


class ScannIndex(ApproximateIndex):
    """ScaNN: a k-means tree, quantised scores within its leaves, exact scores for the best.

    The parameters come from the catalogue. About sqrt(N) leaves of sqrt(N) items balance the cost
    of choosing leaves and of searching one. Vectors are rotated into their principal dimensions,
    which changes no score. ScaNN's 4-bit codes, usually one for two dimensions, are then spent on
    those that tell items apart: one for each of the first, one for all of the rest. That halves
    the time of a retrieval with the same recall (docs/index.md).

    Args:
        embeddings: float32 [N, d], N >= 16.
        at: The number of results the extent is for, see ``ApproximateIndex``.
    """

    def __init__(self, embeddings: np.ndarray, at: int):
        sample = embeddings[:: -(-len(embeddings) // _SAMPLE)]
        principal = PrincipalDimensions.of(sample - sample.mean(axis=0))
        blocks = _blocks(principal)
        rotation = principal.basis.astype(np.float32)
        leaves = max(1, round(math.sqrt(len(embeddings))))
        config = scann_config(len(embeddings), leaves, blocks, min(at, len(embeddings)))
        state = _trained(embeddings, rotation, config)
        leaf_of_item = state.datapoint_to_token.numpy()
        super().__init__("scann_index", np.bincount(leaf_of_item, minlength=leaves), at)
        self._codes = len(blocks)
        self._state = state
        self._rotation = tf.Variable(rotation, trainable=False, name="rotation")

    def retriever(self) -> Retriever:
        """See ``Index.retriever``."""
        handle = scann_ops.searcher_from_module(self._state).searcher_handle

        def retrieve(queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            k = tf.minimum(k, self.items)
            leaves, reordered = self._extent_for(k)
            batch = tf.shape(queries)[0]
            in_parallel = batch >= _SEARCHED_IN_PARALLEL
            rotated = tf.matmul(queries, self._rotation)
            found = scann_ops.scann_search_batched(
                handle, rotated, k, reordered, leaves, in_parallel
            )
            return tf.reshape(found.distances, [batch, k]), tf.reshape(found.indices, [batch, k])

        return retrieve

    def scores_of(self, queries: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """See ``Index.scores_of``: by the vectors that ScaNN reorders by, which are exact."""
        rotated = tf.matmul(queries, self._rotation)
        # Read, not gathered from the variable: TensorFlow then copies it whenever it is read whole,
        # as ScaNN's operation does for each request.
        vectors = tf.gather(tf.convert_to_tensor(self._state.dataset), positions)
        return tf.linalg.matvec(vectors, rotated)

    def cost(self, extent: Extent) -> float:
        """See ``ApproximateIndex.cost``."""
        in_leaves = extent.partitions * self.items / self.partitions
        return self.partitions * _CENTRE + in_leaves * self._codes * _CODE + extent.reordered


def _blocks(principal: PrincipalDimensions) -> list[int]:
    """Returns how many of the principal dimensions share a code, code after code."""
    dim = len(principal.squares)
    alone = principal.needed(_WELL_CODED)
    if alone > dim // 2:
        # They differ in too many for a code each.
        return [2] * (dim // 2) + [1] * (dim % 2)
    return [1] * alone + [dim - alone]


def _trained(embeddings: np.ndarray, rotation: np.ndarray, config: str) -> scann_ops.ScannState:
    """Returns what ScaNN makes of embeddings, rotated, as variables."""
    # The rotated ones, a copy, are gone when ScaNN has made its own of them.
    searcher = scann_ops.create_searcher(embeddings @ rotation, config)
    state = searcher.serialize_to_module()
    for part in state.variables:
        # The parts that this kind of searcher has not are scalars, never set to anything.
        if part.read_value().shape.rank == 0:
            part.assign(tf.zeros([], part.dtype))
    # TensorFlow would keep it, a second copy of the index, for the rest of the process.
    tf.raw_ops.DestroyResourceOp(resource=searcher.searcher_handle, ignore_lookup_error=False)
    return state


# Guo et al. 2020, section 4: threshold T of the anisotropic loss for vectors of length 1.
_ANISOTROPIC_THRESHOLD = 0.2
_TREE_SAMPLE, _CODE_SAMPLE = 250_000, 100_000
_TREE_ITERATIONS, _CODE_ITERATIONS = 12, 10
# ScaNN's own 50, which counts items of the sample, tears many small leaves up: with 632 leaves of
# 100,000 items it costs a tenth of the recall.
_SMALLEST_LEAF = 5
# ScaNN adds the 8-bit scores of at most so many blocks up without an overflow of 16 bits.
_MOST_BLOCKS_AT_ONCE = 256


def scann_config(items: int, leaves: int, blocks: Sequence[int], at: int) -> str:
    """Returns a ``research_scann.ScannConfig`` as text: a tree, 4-bit codes, exact reordering.

    Leaves are initialised by k-means++, whose seed is fixed, and not at random, whose seed is not:
    the same embeddings give the same index.

    Args:
        items: N; a retrieval may reorder them all.
        leaves: How many leaves the tree has; a retrieval may look into them all.
        blocks: How many dimensions share a code, block after block, d in all.
        at: How many results a retrieval gives that does not say.
    """
    sized = "\n".join(
        f"variable_blocks {{ num_blocks: 1 num_dims_per_block: {size} }}" for size in blocks
    )
    return f"""
        num_neighbors: {at}
        distance_measure {{ distance_measure: "DotProductDistance" }}
        partitioning {{
          num_children: {leaves}
          min_cluster_size: {_SMALLEST_LEAF}
          max_clustering_iterations: {_TREE_ITERATIONS}
          single_machine_center_initialization: DEFAULT_KMEANS_PLUS_PLUS
          expected_sample_size: {_TREE_SAMPLE}
          partitioning_distance {{ distance_measure: "SquaredL2Distance" }}
          query_tokenization_distance_override {{ distance_measure: "DotProductDistance" }}
          query_spilling {{ spilling_type: FIXED_NUMBER_OF_CENTERS max_spill_centers: {leaves} }}
          partitioning_type: GENERIC
          query_tokenization_type: FLOAT
        }}
        hash {{
          asymmetric_hash {{
            lookup_type: INT8_LUT16
            num_clusters_per_block: 16
            use_residual_quantization: true
            use_global_topn: {str(len(blocks) <= _MOST_BLOCKS_AT_ONCE).lower()}
            quantization_distance {{ distance_measure: "SquaredL2Distance" }}
            noise_shaping_threshold: {_ANISOTROPIC_THRESHOLD}
            expected_sample_size: {_CODE_SAMPLE}
            max_clustering_iterations: {_CODE_ITERATIONS}
            projection {{
              input_dim: {sum(blocks)}
              projection_type: VARIABLE_CHUNK
              {sized}
            }}
          }}
        }}
        exact_reordering {{ approx_num_neighbors: {items} }}
    """
