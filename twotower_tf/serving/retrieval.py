"""From query vectors to item ids: the index, fresh items, removed items, excluded ids."""

from typing import NamedTuple

import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint
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
    queries: tf.Tensor,
    k: tf.Tensor,
    exclude_ids: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Finds the best items that are neither removed nor excluded.

    As many items are fetched from the index as are wanted, and as are excluded at most in a row;
    should one row still be short of items, twice as many, and so on up to the whole index.

    Args:
        index: Over the N items.
        item_ids: string [N].
        fresh: Items beside the index, removed ones.
        queries: float32 [B, d].
        k: int32 scalar, 1 or more.
        exclude_ids: string [B, L], padded with ``""``.

    Returns:
        ``item_ids`` and ``scores``, [B, k'], best first; k' <= k is the most that a row has. A row
        with fewer ends in ``""`` with the score -2.
    """
    ask_index = index.retriever()
    request = _Request(queries, k, exclude_ids, _longest(exclude_ids))

    def take_the_best():
        scores, positions = ask_index(queries, k)
        return tf.gather(item_ids, positions), scores

    # Most requests to a release that was never refreshed need no more than the index's answer.
    has_fresh = tf.shape(fresh.embeddings)[0] > 0
    ids, scores = tf.cond(
        (request.most_excluded > 0) | (fresh.removed_count > 0) | has_fresh,
        lambda: _fetch_until_enough(ask_index, item_ids, fresh, request),
        take_the_best,
    )
    return {"item_ids": ids, "scores": scores}


class _Request(NamedTuple):
    """What is asked; ``most_excluded`` is the length of the longest row of ``exclude_ids``."""

    queries: tf.Tensor
    k: tf.Tensor
    exclude_ids: tf.Tensor
    most_excluded: tf.Tensor


def _fetch_until_enough(ask_index, item_ids, fresh, request) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best ids and scores that may come, [B, k'] both."""
    items = item_ids.shape[0]

    def fetch(fetched, *_):
        scores, positions = ask_index(request.queries, fetched)
        ids, scores, enough = _choose(item_ids, fresh, request, scores, positions)
        return tf.minimum(2 * fetched, items), enough | (fetched >= items), ids, scores

    rows = [tf.shape(request.queries)[0], 0]
    first = tf.minimum(request.k, items) + request.most_excluded
    first = tf.minimum(first + _slack(fresh, first), items)
    _, _, ids, scores = tf.while_loop(
        lambda fetched, done, *_: ~done,
        fetch,
        (first, False, tf.zeros(rows, tf.string), tf.zeros(rows)),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([]),
            tf.TensorShape([None, None]),
            tf.TensorShape([None, None]),
        ),
    )
    return ids, scores


def _choose(item_ids, fresh, request, scores, positions) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the best ids and scores of what the index gave and the fresh items.

    Besides, whether the index gave enough: min(k, N) items that may come, to every query.
    """
    items = item_ids.shape[0]
    excluded = tf.sort(fingerprint(request.exclude_ids), axis=1)
    forbidden = tf.gather(fresh.removed, positions) | _is_among(
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
    is_item, is_fresh = scores > NO_ITEM, positions >= items
    ids = tf.where(
        is_fresh,
        tf.gather(fresh.item_ids, tf.where(is_fresh, positions - items + 1, 0)),
        tf.gather(item_ids, tf.where(is_fresh, 0, positions)),
    )
    width = _width(is_item, tf.minimum(request.k, _live(fresh)))
    return tf.where(is_item, ids, "")[:, :width], scores[:, :width], enough


def _retrieve_fresh(fresh, request, excluded):
    """Returns the scores of the best fresh items, and their rows in ``fresh.embeddings``."""
    scores = tf.matmul(request.queries, fresh.embeddings, transpose_b=True)
    there_are = tf.shape(scores)[1]
    # k may be the largest number there is: nothing is added to it.
    most = tf.minimum(request.k, there_are) + request.most_excluded
    scores, rows = tf.math.top_k(scores, tf.minimum(most, there_are))
    ids = tf.gather(fresh.item_ids, rows + 1)
    return tf.where(_is_among(excluded, fingerprint(ids)), NO_ITEM, scores), rows


def _is_among(ascending: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Says of each value [B, n] whether it is in its row of ``ascending`` [B, L]: bool [B, n]."""
    # tf.searchsorted does the same, but loses the number of rows where L is 0.
    left = tf.raw_ops.LowerBound(sorted_inputs=ascending, values=values)
    return tf.raw_ops.UpperBound(sorted_inputs=ascending, values=values) > left


def _longest(exclude_ids: tf.Tensor) -> tf.Tensor:
    """Returns the length of the longest row, padding not counted: int32, 0 without rows."""
    lengths = tf.reduce_sum(tf.cast(exclude_ids != "", tf.int32), axis=1)
    return tf.reduce_max(tf.concat([[0], lengths], 0))


def _slack(fresh: FreshItems, fetched: tf.Tensor) -> tf.Tensor:
    """Returns how many removed items are likely at most among so many results."""
    share = tf.cast(fresh.removed_count, tf.float32) / fresh.removed.shape[0]
    expected = share * tf.cast(fetched, tf.float32)
    return tf.cast(tf.math.ceil(expected + _DEVIATIONS * tf.sqrt(expected)), tf.int32)


def _live(fresh: FreshItems) -> tf.Tensor:
    """Returns how many items there are, int32."""
    return fresh.removed.shape[0] - fresh.removed_count + tf.shape(fresh.embeddings)[0]


def _width(is_item: tf.Tensor, without_rows: tf.Tensor) -> tf.Tensor:
    """Returns how many columns hold an item; ``without_rows`` if there is no row."""
    counts = tf.reduce_sum(tf.cast(is_item, tf.int32), axis=1)
    widest = tf.reduce_max(tf.concat([[0], counts], 0))
    return tf.where(tf.shape(is_item)[0] > 0, widest, without_rows)
