"""What a model must beat where repeats are normal: the user's own items, most acted on first."""

from collections.abc import Sequence

import numpy as np

from twotower_tf.evaluation.past_items import rows_of
from twotower_tf.examples.schema import OWN
from twotower_tf.indexing.ranking import Ranking, Removed


def rank_own_items(
    own: Sequence[dict],
    positives: np.ndarray,
    catalogue: Sequence[str],
    k: int,
    removed: Removed | None = None,
) -> Ranking:
    """Ranks the users' own items by count, then by how recently they were acted on.

    That is the order in which examples have them. Own items that the catalogue lacks are passed
    over, and after the last one comes nothing: other items are not found.

    Args:
        own: Of each batch of queries the users' own items, ragged (``schema.own_features``).
        positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
        catalogue: The N item ids, each once.
        k: How many items of the top to return.
        removed: What is taken out of the rankings, if anything is.

    Returns:
        The ranks [Q], 0 where the relevant item is not the user's own, and the top [Q, min(k, N)].
    """
    positions = {item_id.encode(): row for row, item_id in enumerate(catalogue)}
    ranks = np.zeros(len(positives), np.int64)
    top = np.full((len(positives), min(k, len(catalogue))), -1, np.int64)
    ids_key = OWN[0]
    lists = (ids for batch in own for ids in rows_of(batch[ids_key]))
    gone = set() if removed is None else {*zip(removed.queries, removed.items, strict=True)}
    for query, (ids, positive) in enumerate(zip(lists, positives.tolist(), strict=True)):
        known = [positions[item_id] for item_id in ids if item_id in positions]
        known = [item for item in known if (query, item) not in gone]
        top[query, : len(known)] = known[: top.shape[1]]
        if positive in known:
            ranks[query] = 1 + known.index(positive)
    return Ranking(ranks, top)
