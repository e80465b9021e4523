"""What a release knows beside its index: items that came since, and items that went."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint
from twotower_tf.indexing.nominators.item_finder import by_fingerprint, find


class FreshItems(tf.Module):
    """The items added to and taken from an index after it was built.

    Their number is not fixed in the graph, so that ``refresh`` need only write these variables.

    Args:
        items: N, the number of items in the index.
        dim: d, the length of a vector.
        rows: Variables that hold the features of fresh items for ranking, if it is done.

    Attributes:
        item_ids: string [1 + F]; the first is ``""``, so that there is always one to gather.
        embeddings: float32 [F, d].
        removed: bool [N], by position in the index.
        removed_count: int32 scalar: how many of them are true.
        rows: As given.
        fingerprints, places: int64 and int32 [F + 1], to find fresh items by (``item_finder``).
    """

    def __init__(self, items: int, dim: int, rows: Sequence[tf.Variable] = ()):
        super().__init__(name="fresh")
        self.rows = list(rows)
        self.item_ids = tf.Variable(
            np.array([""], object), dtype=tf.string, shape=[None], trainable=False, name="item_ids"
        )
        self.embeddings = tf.Variable(
            tf.zeros([0, dim]), shape=[None, dim], trainable=False, name="embeddings"
        )
        self.removed = tf.Variable(tf.zeros([items], tf.bool), trainable=False, name="removed")
        self.removed_count = tf.Variable(0, trainable=False, name="removed_count")
        nothing = by_fingerprint(np.array([], object))
        self.fingerprints, self.places = (
            tf.Variable(value, shape=[None], trainable=False, name=name)
            for name, value in zip(("fingerprints", "places"), nothing, strict=True)
        )


def where_now(fresh: FreshItems, item_ids: tf.Variable, positions: tf.Tensor) -> tf.Tensor:
    """Returns where items are now, int32 [B, L]; -1: nowhere.

    Args:
        fresh: What came and what went.
        item_ids: string [N], the items of the index.
        positions: int32 [B, L], where they were when the index was built, or N and their place
            among the fresh ones; -1: nowhere.
    """
    items = fresh.removed.shape[0]

    def looked_up() -> tf.Tensor:
        indexed = tf.where(positions < items, tf.maximum(positions, 0), 0)
        gone = (positions >= 0) & (positions < items) & tf.gather(fresh.removed, indexed)
        # One that changed is among the fresh ones.
        ids = tf.where(gone, tf.gather(item_ids, indexed), "")
        at = find(fresh.fingerprints, fresh.places, fingerprint(ids))
        return tf.where(gone, tf.where(at >= 0, items + at, -1), positions)

    return tf.cond(fresh.removed_count > 0, looked_up, lambda: positions)


def fresh_values(
    item_ids: np.ndarray,
    embeddings: np.ndarray,
    removed: np.ndarray,
    rows: Sequence[np.ndarray] = (),
) -> dict[str, np.ndarray]:
    """Returns the values of ``FreshItems``'s variables by their names.

    Args:
        item_ids: [F] objects (str).
        embeddings: float32 [F, d].
        removed: bool [N].
        rows: Of ``FreshItems.rows``, if there are any.
    """
    fingerprints, places = by_fingerprint(item_ids)
    return {
        "item_ids": np.concatenate([np.array([""], object), item_ids]),
        "embeddings": np.asarray(embeddings, np.float32),
        "removed": np.asarray(removed, bool),
        "removed_count": np.asarray(removed.sum(), np.int32),
        "fingerprints": fingerprints,
        "places": places,
        **{f"rows/{number}": values for number, values in enumerate(rows)},
    }
