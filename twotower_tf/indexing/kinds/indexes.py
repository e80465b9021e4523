"""What an index is, the exact one, and which kind a catalogue gets."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from twotower_tf.config.index import Index as IndexConfig
from twotower_tf.indexing.kinds.portable_index import PortableIndex
from twotower_tf.indexing.kinds.query_blocks import Search, in_blocks

# ScaNN learns 16 code words per block of dimensions and crashes the process with fewer items; with
# fewer than these, `portable` has not enough partitions to leave any out.
_FEWEST = {"brute_force": 0, "scann": 16, "portable": 256}
# Bounds the memory of brute force at 256 MB, whatever the number of queries.
_SCORES_AT_A_TIME = 1 << 26


class Index(Protocol):
    """Answers "the top k items for this query vector"; a ``tf.Module`` inside the SavedModel."""

    def searcher(self) -> Search:
        """Returns the function that finds the items with the highest inner products, best first.

        Vectors have length 1, so that the inner product is the cosine. It takes

        - queries: float32 [B, d]; B may be 0
        - k: int32 scalar, 1 or more, which may differ from call to call

        and returns scores, float32, and positions in the catalogue, int32, both [B, min(k, N)]: no
        result is ever missing, however few partitions an approximate index looks into.

        A graph should have one searcher, called as often as it likes: what operations hold, like
        ScaNN's copy of the index, they hold once for each searcher.
        """


class BruteForceIndex(tf.Module):
    """The exact index: every item is scored. Of equal scores the lower position comes first.

    Args:
        embeddings: float32 [N, d], N >= 1.
    """

    def __init__(self, embeddings: np.ndarray):
        super().__init__(name="brute_force_index")
        # A variable, not a constant: a graph may not be larger than 2 GB.
        self._embeddings = tf.Variable(embeddings, trainable=False, name="embeddings")

    def searcher(self) -> Search:
        """See ``Index.searcher``."""
        items = int(self._embeddings.shape[0])
        block = max(1, _SCORES_AT_A_TIME // items)

        def search(queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            k = tf.minimum(k, items)

            def score_all(queries):
                return tf.math.top_k(tf.matmul(queries, self._embeddings, transpose_b=True), k)

            return in_blocks(score_all, [queries], block)

        return search


def _scann(embeddings: np.ndarray, config: IndexConfig) -> Index:
    # Only those who build one need the package.
    from twotower_tf.indexing.kinds.scann_index import ScannIndex

    return ScannIndex(embeddings, config.recall_at)


# How to build each kind from embeddings, float32 [N, d].
INDEX_KINDS: dict[str, Callable[[np.ndarray, IndexConfig], Index]] = {
    "brute_force": lambda embeddings, _: BruteForceIndex(embeddings),
    "scann": _scann,
    "portable": lambda embeddings, config: PortableIndex(embeddings, config.recall_at),
}


def choose_kind(index: IndexConfig, items: int) -> str:
    """Returns the kind of index for a catalogue of so many items.

    ``auto`` is brute force below ``brute_force_below`` items, where it is as fast and exact, and
    ScaNN, the fastest, from there. Fewer items than a kind can learn from get brute force whatever
    the configuration says: nothing is lost by it.
    """
    kind = index.kind
    if kind == "auto":
        kind = "brute_force" if items < index.brute_force_below else "scann"
    return kind if items >= _FEWEST[kind] else "brute_force"
