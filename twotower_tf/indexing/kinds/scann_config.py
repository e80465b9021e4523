"""What ScaNN is told, in its own words: its builder has none for blocks of different sizes."""

from collections.abc import Sequence

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
        items: N; a search may reorder them all.
        leaves: How many leaves the tree has; a search may look into them all.
        blocks: How many dimensions share a code, block after block, d in all.
        at: How many results a search gives that does not say.
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
