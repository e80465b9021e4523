"""From query vectors to item ids: the index, fresh items, removed items, excluded ids."""

from typing import NamedTuple

import tensorflow as tf

from twotower_tf.graph.branches import rarely
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.membership import is_among
from twotower_tf.indexing.kinds.indexes import Index
from twotower_tf.serving.fresh_items import FreshItems

# The score where there is no item: below every cosine, and, unlike infinity, valid in JSON.
NO_ITEM = -2.0
# Removed items among the best are about binomial: so many standard deviations are fetched on top.
_DEVIATIONS = 4.0


def retrieve(
    index: Index,
    item_ids: tf.Variable,
    fresh: FreshItems,
    request: "Request",
) -> dict[str, tf.Tensor]:
    """Finds the best items that are neither removed nor excluded.

    As many items are fetched from the index as are wanted, and as are excluded at most in a row;
    should one row still be short of items, twice as many, and so on up to the whole index.

    Args:
        index: Over the N items.
        item_ids: string [N].
        fresh: Items beside the index, removed ones.
        request: What is asked.

    Returns:
        ``item_ids`` and ``scores``, [B, k'], best first; k' <= k is the most that a row has. A row
        with fewer ends in ``""`` with the score -2.
    """
    ask_index = index.retriever()

    def take_the_best():
        scores, positions = ask_index(request.queries, request.k)
        return tf.gather(item_ids, positions), scores

    # Most requests to a release that was never refreshed need no more than the index's answer.
    ids, scores = rarely(
        _is_choosy(fresh, request),
        lambda: _named(item_ids, fresh, *_fetch_until_enough(ask_index, item_ids, fresh, request)),
        take_the_best,
    )
    return {"item_ids": ids, "scores": scores}


class Request(NamedTuple):
    """What is asked.

    Attributes:
        queries: float32 [B, d].
        k: int32 scalar, 1 or more.
        exclude_ids: string [B, L], padded with ``""``.
        excludes: bool scalar, whether there is one of them.
    """

    queries: tf.Tensor
    k: tf.Tensor
    exclude_ids: tf.Tensor
    excludes: tf.Tensor

    @classmethod
    def of(cls, queries: tf.Tensor, k: tf.Tensor, exclude_ids: tf.Tensor) -> "Request":
        """Returns a request, with whether it excludes anything."""
        return cls(queries, k, exclude_ids, tf.reduce_any(exclude_ids != ""))


def nearest(
    index: Index, item_ids: tf.Variable, fresh: FreshItems, request: Request
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds what ``retrieve`` does; returns scores and positions.

    Returns:
        Scores, float32, and positions, int32, both [B, k'], best first: below N in the index, from
        there in ``fresh.embeddings``; -1 where a row has no more items.
    """
    ask_index = index.retriever()
    return rarely(
        _is_choosy(fresh, request),
        lambda: _fetch_until_enough(ask_index, item_ids, fresh, request),
        lambda: ask_index(request.queries, request.k),
    )


def ids_at(item_ids: tf.Variable, fresh: FreshItems, positions: tf.Tensor) -> tf.Tensor:
    """Returns the ids of items at positions as ``nearest`` gives them, ``""`` at -1."""
    items = item_ids.shape[0]
    is_fresh = positions >= items
    ids = tf.where(
        is_fresh,
        tf.gather(fresh.item_ids, tf.where(is_fresh, positions - items + 1, 0)),
        tf.gather(item_ids, tf.where(is_fresh, 0, tf.maximum(positions, 0))),
    )
    return tf.where(positions < 0, "", ids)


def _is_choosy(fresh: FreshItems, request: Request) -> tf.Tensor:
    # The places of fresh items end in one that is no item's.
    return request.excludes | (tf.size(fresh.places) + fresh.removed_count > 1)


def _named(item_ids, fresh, scores, positions) -> tuple[tf.Tensor, tf.Tensor]:
    return ids_at(item_ids, fresh, positions), scores


def _fetch_until_enough(ask_index, item_ids, fresh, request) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best scores and positions that may come, [B, k'] both."""
    items = item_ids.shape[0]

    def fetch(fetched, *_):
        scores, positions = ask_index(request.queries, fetched)
        scores, positions, enough = _choose(item_ids, fresh, request, scores, positions)
        return tf.minimum(2 * fetched, items), enough | (fetched >= items), scores, positions

    rows = [tf.shape(request.queries)[0], 0]
    first = tf.minimum(request.k, items) + _longest(request.exclude_ids)
    first = tf.minimum(first + _slack(fresh, first), items)
    _, _, scores, positions = tf.while_loop(
        lambda fetched, done, *_: ~done,
        fetch,
        (first, False, tf.zeros(rows), tf.zeros(rows, tf.int32)),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([]),
            tf.TensorShape([None, None]),
            tf.TensorShape([None, None]),
        ),
    )
    return scores, positions


def _choose(item_ids, fresh, request, scores, positions) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the best scores and positions of what the index gave and the fresh items.

    Besides, whether the index gave enough: min(k, N) items that may come, to every query.
    """
    items = item_ids.shape[0]
    excluded = tf.sort(fingerprint(request.exclude_ids), axis=1)
    forbidden = tf.gather(fresh.removed, positions) | is_among(
        excluded, fingerprint(tf.gather(item_ids, positions))
    )
    allowed = tf.reduce_sum(tf.cast(~forbidden, tf.int32), axis=1)
    enough = tf.reduce_all(allowed >= tf.minimum(request.k, items))
    fresh_scores, fresh_rows = _retrieve_fresh(fresh, request, excluded)
    # Of equal scores top_k takes the first: the index's own.
    scores = tf.concat([tf.where(forbidden, NO_ITEM, scores), fresh_scores], 1)
    positions = tf.concat([positions, items + fresh_rows], 1)
    scores, columns = tf.math.top_k(scores, tf.minimum(request.k, tf.shape(scores)[1]))
    positions = tf.gather(positions, columns, batch_dims=1)
    is_item = scores > NO_ITEM
    kept = width(is_item, tf.minimum(request.k, live_items(fresh)))
    return scores[:, :kept], tf.where(is_item, positions, -1)[:, :kept], enough


def _retrieve_fresh(fresh, request, excluded):
    """Returns the scores of the best fresh items, and their rows in ``fresh.embeddings``."""
    scores = tf.matmul(request.queries, fresh.embeddings, transpose_b=True)
    there_are = tf.shape(scores)[1]
    # k may be the largest number there is: nothing is added to it.
    most = tf.minimum(request.k, there_are) + _longest(request.exclude_ids)
    scores, rows = tf.math.top_k(scores, tf.minimum(most, there_are))
    ids = tf.gather(fresh.item_ids, rows + 1)
    return tf.where(is_among(excluded, fingerprint(ids)), NO_ITEM, scores), rows


def _longest(exclude_ids: tf.Tensor) -> tf.Tensor:
    """Returns the length of the longest row, padding not counted: int32, 0 without rows."""
    lengths = tf.reduce_sum(tf.cast(exclude_ids != "", tf.int32), axis=1)
    return tf.reduce_max(tf.concat([[0], lengths], 0))


def _slack(fresh: FreshItems, fetched: tf.Tensor) -> tf.Tensor:
    """Returns how many removed items are likely at most among so many results."""
    share = tf.cast(fresh.removed_count, tf.float32) / fresh.removed.shape[0]
    expected = share * tf.cast(fetched, tf.float32)
    return tf.cast(tf.math.ceil(expected + _DEVIATIONS * tf.sqrt(expected)), tf.int32)


def live_items(fresh: FreshItems) -> tf.Tensor:
    """Returns how many items there are, int32."""
    return fresh.removed.shape[0] - fresh.removed_count + tf.shape(fresh.embeddings)[0]


def width(is_item: tf.Tensor, without_rows: tf.Tensor) -> tf.Tensor:
    """Returns how many columns hold an item; ``without_rows`` if there is no row."""
    counts = tf.reduce_sum(tf.cast(is_item, tf.int32), axis=1)
    widest = tf.reduce_max(tf.concat([[0], counts], 0))
    return tf.where(tf.shape(is_item)[0] > 0, widest, without_rows)
