"""What is ranked for a request: items of all nominators, each with its share, every item once.

Each nominator, in the order in which the configuration declares them, gives the best of what it
proposes, as many as its share allows; of an item that several propose the first one is the source.
What is left, the index fills with what is next best to it. The scores are those of retrieval, on
its one scale (``blending``), whoever proposed the item.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from twotower_tf.config.nominators import INDEX, NominatorSection
from twotower_tf.graph.membership import is_among
from twotower_tf.indexing.kinds.indexes import Index
from twotower_tf.indexing.nominators.nominator import Request as NominatorRequest
from twotower_tf.indexing.nominators.nominator import proposed_by, side_by_side
from twotower_tf.indexing.ranking import LEAST_SCORE
from twotower_tf.serving.blending import Blending, added_up
from twotower_tf.serving.fresh_items import FreshItems, where_now
from twotower_tf.serving.retrieval import (
    NO_ITEM,
    Request,
    live_items,
    nearest,
)

_NOWHERE = np.int64(tf.int64.max)
_COLUMN_BITS = np.int64(32)
_COLUMN = np.int64(2**32 - 1)
_BEHIND_ALL = tf.int32.max


class Candidates(NamedTuple):
    """Items to rank, C of each query at most, each once in a row; in no order of merit.

    Attributes:
        positions: int32 [B, C], as ``retrieval.nearest`` gives them; -1: none.
        scores: float32 [B, C], the retrieval scores; -2 where there is no item.
        sources: int32 [B, C], who proposed it: places in ``CandidateStage.sources``.
    """

    positions: tf.Tensor
    scores: tf.Tensor
    sources: tf.Tensor


class _Slots(NamedTuple):
    """What one nominator proposes, best first, where it has not been merged yet, [B, L] each.

    Attributes:
        positions: int32; -1: nothing.
        scores: float32, before bonuses.
        sources: int32.
    """

    positions: tf.Tensor
    scores: tf.Tensor
    sources: tf.Tensor


def quotas(sections: Sequence[NominatorSection], candidates: int) -> list[int]:
    """Returns how many items each nominator may give: its share, rounded down; the index the rest.

    Args:
        sections: The index is one of them.
        candidates: All together.
    """
    total = sum(section.share for section in sections)
    of_each = [int(candidates * section.share / total) for section in sections]
    index = [section.kind for section in sections].index(INDEX)
    of_each[index] += candidates - sum(of_each)
    return of_each


class CandidateStage(tf.Module):
    """Proposes what is ranked.

    Args:
        sections: Of all nominators, in the declared order, the index among them.
        candidates: How many items at most.
        index: Over the N items.
        blending: Of the nominators beside the index, if there are any.

    Attributes:
        sources: The nominators' names, in the declared order.
    """

    def __init__(
        self,
        sections: Sequence[NominatorSection],
        candidates: int,
        index: Index,
        blending: Blending | None,
    ):
        super().__init__(name="candidate_stage")
        self.sources = tuple(section.kind for section in sections)
        self._at = self.sources.index(INDEX)
        self._quotas = tuple(quotas(sections, candidates))
        self._candidates = candidates
        self._index = index
        self._blending = blending

    def __call__(
        self,
        item_ids: tf.Variable,
        fresh: FreshItems,
        request: Request,
        inputs: NominatorRequest,
    ) -> Candidates:
        """Proposes items that are neither removed nor excluded.

        Args:
            item_ids: string [N].
            fresh: Items beside the index, removed ones.
            request: What is asked; its ``k`` is not looked at.
            inputs: What the request brings for the nominators, and the features of the query, by
                name, [B, (L)].
        """
        wanted = tf.minimum(self._candidates, live_items(fresh))
        # Without any item the index is asked for one, as it must be, and has none to give.
        asked = request._replace(k=tf.maximum(wanted, 1))
        scores, positions = nearest(self._index, item_ids, fresh, asked)
        of_index = _Slots(positions, scores, tf.fill(tf.shape(positions), self._at))
        if self._blending is None:
            return Candidates(positions, tf.where(positions < 0, NO_ITEM, scores), of_index.sources)
        parts, bonuses = self._beside(self._blending, item_ids, fresh, request, inputs)
        first = self._quotas[self._at]
        parts.insert(self._at, _Slots(*(values[:, :first] for values in of_index)))
        parts.append(_Slots(*(values[:, first:] for values in of_index)))
        merged = _merged(parts, wanted)
        scores = tf.maximum(merged.scores + bonuses.of_items(merged.positions), LEAST_SCORE)
        return Candidates(
            merged.positions,
            tf.where(merged.positions < 0, NO_ITEM, scores),
            merged.sources,
        )

    def _beside(
        self,
        blending: Blending,
        item_ids: tf.Variable,
        fresh: FreshItems,
        request: Request,
        inputs: NominatorRequest,
    ) -> tuple[list[_Slots], "_Bonuses"]:
        """Asks the nominators beside the index; returns what each may give, and all bonuses."""

        def place(ids: tf.Tensor) -> tf.Tensor:
            return blending.place(fresh, ids)

        def current(positions: tf.Tensor) -> tf.Tensor:
            return where_now(fresh, item_ids, positions)

        proposed = proposed_by(blending.nominators, inputs, place)
        nominated = [one._replace(positions=current(one.positions)) for one in proposed]
        together = side_by_side(blending.nominators, nominated)
        bonuses = _Bonuses.of(together.positions, blending.bonuses(together.features))
        excluded = tf.sort(current(place(request.exclude_ids)), axis=1)
        others = [number for number in range(len(self.sources)) if number != self._at]
        slots = []
        for number, part in zip(others, nominated, strict=True):
            allowed = tf.where(is_among(excluded, part.positions), -1, part.positions)
            best = _first(allowed, self._quotas[number])
            scores = blending.cosines(fresh, request.queries, best)
            slots.append(_Slots(best, scores, tf.fill(tf.shape(best), number)))
        return slots, bonuses


class _Bonuses(NamedTuple):
    """What nominators say of items, to look up; a row ends in one that is nobody's.

    Attributes:
        positions: int32 [B, M + 1], ascending, those of an item side by side.
        totals: float32 [B, M + 1].
    """

    positions: tf.Tensor
    totals: tf.Tensor

    @classmethod
    def of(cls, positions: tf.Tensor, bonuses: tf.Tensor) -> "_Bonuses":
        _, totals, in_order = added_up(positions, bonuses)
        end = [[0, 0], [0, 1]]
        return cls(tf.pad(in_order, end, constant_values=_BEHIND_ALL), tf.pad(totals, end))

    def of_items(self, positions: tf.Tensor) -> tf.Tensor:
        """Returns those of items, 0 of what nobody but the index proposed: float32 [B, C]."""
        at = tf.raw_ops.LowerBound(sorted_inputs=self.positions, values=positions)
        found = tf.gather(self.positions, at, batch_dims=1) == positions
        return tf.where(found, tf.gather(self.totals, at, batch_dims=1), 0.0)


def _first(positions: tf.Tensor, most: int) -> tf.Tensor:
    """Keeps the first so many items of each row, -1 in place of the others."""
    number = tf.cumsum(tf.cast(positions >= 0, tf.int32), axis=1)
    return tf.where(number <= most, positions, -1)


def _merged(parts: Sequence[_Slots], wanted: tf.Tensor) -> _Slots:
    """Returns the first ``wanted`` distinct items of parts one behind the other, [B, C].

    Of an item that is there several times the first place counts.
    """
    every = _Slots(*(tf.concat(values, 1) for values in zip(*parts, strict=True)))
    width = tf.shape(every.positions)[1]
    # One sort by item and, of the same item, by column.
    keys = tf.bitwise.left_shift(tf.cast(every.positions, tf.int64), _COLUMN_BITS)
    keys += tf.range(tf.cast(width, tf.int64))
    keys = tf.sort(tf.where(every.positions < 0, _NOWHERE, keys), axis=1)
    items = tf.bitwise.right_shift(keys, _COLUMN_BITS)
    before = tf.pad(items, [[0, 0], [1, 0]], constant_values=-1)[:, :-1]
    is_first = (items != before) & (keys != _NOWHERE)
    columns = tf.cast(tf.bitwise.bitwise_and(keys, _COLUMN), tf.int32)
    first = tf.where(is_first, columns, width)
    kept = -tf.math.top_k(-first, tf.minimum(wanted, width)).values
    # What is behind the last column is no item.
    end = [[0, 0], [0, 1]]
    return _Slots(
        *(
            tf.gather(tf.pad(values, end, constant_values=none), kept, batch_dims=1)
            for values, none in zip(every, (-1, NO_ITEM, 0), strict=True)
        )
    )
