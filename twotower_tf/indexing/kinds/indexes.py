"""What an index is, the exact one, and which kind a catalogue gets."""

from typing import Protocol

import numpy as np
import tensorflow as tf

from twotower_tf.config.index import IndexSection
from twotower_tf.config.registries import INDEX_KINDS
from twotower_tf.indexing.kinds.query_blocks import Retriever, in_blocks

# Bounds the memory of brute force at 256 MB, whatever the number of queries.
_SCORES_AT_A_TIME = 1 << 26


class Index(Protocol):
    """Answers "the top k items for this query vector"; a ``tf.Module`` inside the SavedModel."""

    def retriever(self) -> Retriever:
        """Returns the function that finds the items with the highest inner products, best first.

        Vectors have length 1, so that the inner product is the cosine. It takes

        - queries: float32 [B, d]; B may be 0
        - k: int32 scalar, 1 or more, which may differ from call to call

        and returns scores, float32, and positions in the catalogue, int32, both [B, min(k, N)]: no
        result is ever missing, however few partitions an approximate index looks into.

        A graph should have one retriever, called as often as it likes: what operations hold, like
        ScaNN's copy of the index, they hold once for each retriever.
        """

    def scores_of(self, queries: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Returns the inner products of queries and items, float32 [B, L].

        An index need not have it: then what nominates items beside it brings their vectors along,
        a second copy.

        Args:
            queries: float32 [B, d].
            positions: int32 [B, L], in the catalogue.
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

    @classmethod
    def from_section(cls, section: IndexSection, embeddings: np.ndarray) -> "BruteForceIndex":
        """Makes the index of embeddings; nothing is configured."""
        return cls(embeddings)

    def retriever(self) -> Retriever:
        """See ``Index.retriever``."""
        items = int(self._embeddings.shape[0])
        block = max(1, _SCORES_AT_A_TIME // items)

        def retrieve(queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            k = tf.minimum(k, items)

            def score_all(queries):
                return tf.math.top_k(tf.matmul(queries, self._embeddings, transpose_b=True), k)

            return in_blocks(score_all, [queries], block)

        return retrieve

    def scores_of(self, queries: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """See ``Index.scores_of``."""
        # Read, not gathered from the variable: TensorFlow then copies it whenever it is read whole.
        vectors = tf.gather(tf.convert_to_tensor(self._embeddings), positions)
        return tf.linalg.matvec(vectors, queries)


def chosen_section(index: IndexSection, items: int) -> IndexSection:
    """Returns the section of the index that a catalogue of so many items gets, of any kind.

    Fewer items than a kind can learn from get the exact index whatever the configuration says:
    nothing is lost by it.
    """
    section = _as_kind(index, index.chosen_for(items))
    return section if items >= section.fewest_items else _as_kind(index, "brute_force")


def chosen_index(section: IndexSection, embeddings: np.ndarray) -> Index:
    """Makes the index that a section of ``kind: auto`` chooses for embeddings, float32 [N, d]."""
    return INDEX_KINDS.make(chosen_section(section, len(embeddings)), embeddings)


def _as_kind(index: IndexSection, kind: str) -> IndexSection:
    """Returns a section of another kind that says the same of what all kinds are told."""
    if kind == index.kind:
        return index
    told = {key: getattr(index, key) for key in IndexSection.model_fields}
    return INDEX_KINDS.parse({**told, "kind": kind})
