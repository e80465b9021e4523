"""Retrieval by several nominators: what each proposes on one scale, every item once.

The score is the cosine of query and item plus the bonus that the blend gives what nominators say
of the item (``indexing.nominators``). It is a cosine, in [-1, 1], of all that the index alone
proposed; of the others it may be above 1, and is never below -1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from twotower_tf.examples.schema import RawFeature
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.membership import is_among
from twotower_tf.indexing.kinds.indexes import Index
from twotower_tf.indexing.nominators.blend import Blend
from twotower_tf.indexing.nominators.item_finder import ItemFinder, find
from twotower_tf.indexing.nominators.nominator import (
    Nominator,
    features_of,
    inputs_of,
    nominated_by,
)
from twotower_tf.indexing.nominators.nominator import Request as NominatorRequest
from twotower_tf.indexing.ranking import LEAST_SCORE
from twotower_tf.serving.fresh_items import FreshItems, where_now
from twotower_tf.serving.retrieval import (
    NO_ITEM,
    Request,
    ids_at,
    live_items,
    nearest,
    width,
)


class Proposed(NamedTuple):
    """Items beside those of the index, each once in a row.

    Attributes:
        positions: int32 [B, M], as ``retrieval.nearest`` gives them; -1: none.
        scores: float32 [B, M].
        in_order: int32 [B, M], all positions ever in the row, ascending, to look up.
    """

    positions: tf.Tensor
    scores: tf.Tensor
    in_order: tf.Tensor


class Blending(tf.Module):
    """What a release needs to ask nominators beside its index.

    Args:
        nominators: Those beside the index, at least one; they have learnt what they go by, of
            the same items.
        blend: The weights of what they say.
        index: Over the N items.
        item_ids: [N] objects (str), in the index's order.
        embeddings: float32 [N, d], their vectors.

    Attributes:
        inputs: What a request brings for the nominators.
    """

    def __init__(
        self,
        nominators: Sequence[Nominator],
        blend: Blend,
        index: Index,
        item_ids: np.ndarray,
        embeddings: np.ndarray,
    ):
        super().__init__(name="blending")
        self.nominators = tuple(nominators)
        self.inputs: tuple[RawFeature, ...] = tuple(inputs_of(nominators))
        bonuses = blend.bonuses(features_of(nominators))
        self._bonuses = tf.Variable(bonuses, trainable=False, name="bonuses")
        self._finder = ItemFinder(item_ids)
        self._index = index
        if not hasattr(index, "scores_of"):
            self._embeddings = tf.Variable(embeddings, trainable=False, name="embeddings")

    def retrieve(
        self,
        item_ids: tf.Variable,
        fresh: FreshItems,
        request: Request,
        inputs: NominatorRequest,
    ) -> dict[str, tf.Tensor]:
        """Finds the best items that are neither removed nor excluded, whoever proposes them.

        Args:
            item_ids: string [N].
            fresh: Items beside the index, removed ones.
            request: What is asked.
            inputs: What the request brings for the nominators, and the features of the query, by
                name, [B, (L)].

        Returns:
            As ``retrieval.retrieve`` does.
        """
        proposed = self._proposed(item_ids, fresh, request, inputs)
        there_are = live_items(fresh)
        k = tf.minimum(request.k, there_are)
        # Of the index's best some are among the proposed, and may have fallen behind.
        most = tf.reduce_max(tf.reduce_sum(tf.cast(proposed.positions >= 0, tf.int32), 1))
        deeper = request._replace(k=k + tf.clip_by_value(most, 0, k))
        scores, positions = nearest(self._index, item_ids, fresh, deeper)
        scores = tf.where(is_among(proposed.in_order, positions), NO_ITEM, scores)
        scores = tf.concat([proposed.scores, tf.where(positions < 0, NO_ITEM, scores)], 1)
        positions = tf.concat([proposed.positions, positions], 1)
        scores, columns = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        is_item = scores > NO_ITEM
        positions = tf.where(is_item, tf.gather(positions, columns, batch_dims=1), -1)
        kept = width(is_item, k)
        return {
            "item_ids": ids_at(item_ids, fresh, positions[:, :kept]),
            "scores": scores[:, :kept],
        }

    def _proposed(
        self,
        item_ids: tf.Variable,
        fresh: FreshItems,
        request: Request,
        inputs: NominatorRequest,
    ) -> Proposed:
        """Asks the nominators; returns what they propose that may come."""

        def place(ids: tf.Tensor) -> tf.Tensor:
            return self.place(fresh, ids)

        nominated = nominated_by(self.nominators, inputs, place)
        positions = where_now(fresh, item_ids, nominated.positions)
        positions, bonuses, in_order = added_up(positions, self.bonuses(nominated.features))
        excluded = tf.sort(where_now(fresh, item_ids, place(request.exclude_ids)), axis=1)
        positions = tf.where(is_among(excluded, positions), -1, positions)
        scores = self.cosines(fresh, request.queries, positions) + bonuses
        scores = tf.where(positions < 0, NO_ITEM, tf.maximum(scores, LEAST_SCORE))
        return Proposed(positions, scores, in_order)

    def place(self, fresh: FreshItems, ids: tf.Tensor) -> tf.Tensor:
        """Returns where items were when the index was built, or are beside it: int32 [B, L].

        It is -1 for what is nowhere. Nominators go by where items were, so that they know one that
        changed; ``where_now`` says where it is.

        Args:
            fresh: Items beside the index.
            ids: string [B, L].
        """
        wanted = fingerprint(ids)
        indexed = self._finder(wanted)
        at = find(fresh.fingerprints, fresh.places, wanted)
        beside = tf.where(at >= 0, fresh.removed.shape[0] + at, -1)
        return tf.where(indexed >= 0, indexed, beside)

    def cosines(self, fresh: FreshItems, queries: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Returns those of queries, float32 [B, d], and items at positions: float32 [B, L]."""
        items = fresh.removed.shape[0]
        is_fresh = positions >= items
        indexed = self._scores_of(queries, tf.where(is_fresh, 0, tf.maximum(positions, 0)))

        def with_fresh():
            rows = tf.where(is_fresh, positions - items, 0)
            own = tf.linalg.matvec(tf.gather(fresh.embeddings, rows), queries)
            return tf.where(is_fresh, own, indexed)

        return tf.cond(tf.shape(fresh.embeddings)[0] > 0, with_fresh, lambda: indexed)

    def bonuses(self, features: tf.Tensor) -> tf.Tensor:
        """Returns what nominators' features, float32 [B, L, F], add to cosines: float32 [B, L]."""
        return tf.linalg.matvec(features, self._bonuses)

    def _scores_of(self, queries: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        if hasattr(self._index, "scores_of"):
            return self._index.scores_of(queries, positions)
        return tf.linalg.matvec(tf.gather(self._embeddings, positions), queries)


def added_up(positions: tf.Tensor, bonuses: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Adds up what an item has in all its places in a row, [B, M].

    Returns:
        Positions, -1 in all places but an item's first; bonuses; and all positions, ascending.
    """
    order = tf.argsort(positions, axis=1, stable=True)
    in_order = tf.gather(positions, order, batch_dims=1)
    bonuses = tf.gather(bonuses, order, batch_dims=1)
    # A row's first is not the last of the row before: that begins with a column of its own.
    before = tf.pad(in_order, [[0, 0], [1, 0]], constant_values=-2)[:, :-1]
    is_first = in_order != before
    item = tf.cumsum(tf.reshape(tf.cast(is_first, tf.int32), [-1])) - 1
    total = tf.math.unsorted_segment_sum(tf.reshape(bonuses, [-1]), item, tf.size(item))
    bonuses = tf.reshape(tf.gather(total, item), tf.shape(positions))
    return tf.where(is_first, in_order, -1), bonuses, in_order
