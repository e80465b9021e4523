"""Recall, NDCG, MRR and coverage of a ranking, and recall by the popularity of the item."""

from collections.abc import Sequence

import numpy as np

from twotower_tf.indexing.ranking import Ranking

DECILES = 10


def summarise(
    ranking: Ranking, positives: np.ndarray, item_counts: np.ndarray, at: Sequence[int]
) -> dict:
    """Sums a ranking up in numbers that can be written as JSON.

    Every query has one relevant item, so that the ideal DCG is 1 and NDCG@K (Järvelin and
    Kekäläinen 2002) is 1 / log2(1 + rank) where rank <= K and 0 elsewhere. An item that is not in
    the catalogue was never found: it counts as 0 everywhere, and belongs to no decile.

    Args:
        ranking: Of Q queries, with at least ``max(at)`` items (or all N) on top.
        positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
        item_counts: [N] int, how often each item of the catalogue occurs in the recent training
            examples.
        at: The cut-offs K, each 1 or more.

    Returns:
        ``recall``, ``ndcg`` and ``coverage`` (the share of the catalogue that is in the top K of
        at least one query), each by K as text; ``mrr``, the mean of 1 / rank, not cut; and
        ``recall_by_decile``, ten groups of the catalogue from the most popular to the least, with
        their number of ``items``, of ``held_out`` examples and their ``recall`` by K. Whatever
        has no query to be measured on is None.

    Raises:
        ValueError: If the arrays do not fit each other, or the top is too short for a K.
    """
    ranks = np.asarray(ranking.ranks)
    positives = np.asarray(positives)
    item_counts = np.asarray(item_counts)
    _check(ranking, positives, len(item_counts), at)
    in_catalogue = ranks > 0
    reciprocal = np.zeros(len(ranks))
    np.divide(1.0, ranks, out=reciprocal, where=in_catalogue)
    gains = np.zeros(len(ranks))
    gains[in_catalogue] = 1.0 / np.log2(1.0 + ranks[in_catalogue])
    return {
        "recall": recalls(ranks, at),
        "ndcg": {str(k): _mean(np.where(ranks <= k, gains, 0.0)) for k in at},
        "mrr": _mean(reciprocal),
        "coverage": {str(k): _coverage(ranking.top[:, :k], len(item_counts)) for k in at},
        "recall_by_decile": _recall_by_group(
            ranks,
            positives,
            _deciles(item_counts, np.arange(len(item_counts))),
            len(item_counts),
            at,
        ),
    }


def _check(ranking: Ranking, positives: np.ndarray, items: int, at: Sequence[int]) -> None:
    if not ranking.ranks.shape == positives.shape == ranking.top.shape[:1]:
        raise ValueError(
            f"ranks {ranking.ranks.shape}, top {ranking.top.shape} and positives "
            f"{positives.shape} must be of the same queries"
        )
    if positives.size and positives.max() >= items:
        raise ValueError(
            f"item_counts must have a count for each item of the catalogue, got {items}, "
            f"but a positive is at {positives.max()}"
        )
    if min(at) < 1 or ranking.top.shape[1] < min(max(at), items):
        raise ValueError(
            f"'at' must be 1 or more and at most {ranking.top.shape[1]}, the length of the "
            f"ranking's top, got {list(at)}"
        )


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def recalls(ranks: np.ndarray, at: Sequence[int]) -> dict[str, float | None]:
    """Returns by K, as text, the share of ranks [Q] from 1 to K; None where Q is 0."""
    return {str(k): _mean((ranks > 0) & (ranks <= k)) for k in at}


def _coverage(top: np.ndarray, items: int) -> float | None:
    return len(np.unique(top[top >= 0])) / items if top.size else None


def recall_by_popularity(
    ranks: np.ndarray, positives: np.ndarray, trained: np.ndarray, at: Sequence[int]
) -> list[dict]:
    """Returns recall by how often the relevant item was in training examples.

    Args:
        ranks: int64 [Q], 1 is best, 0: never found.
        positives: int64 [Q], the relevant items' positions in the catalogue, -1: not in it, and in
            no group.
        trained: int64 [N], how often each item of the catalogue was in training examples so far.
        at: The cut-offs K.

    Returns:
        Eleven groups: the items that were in some, in ten groups of the same size from the most
        frequent to the least, and those that were in none. Each with its number of ``items`` and
        of ``held_out`` examples, ``recall`` by K as text (None where there is no example), and
        ``examples``, the fewest and the most that one of its items was in; None without items.
    """
    groups = _deciles(trained, np.flatnonzero(trained > 0))
    groups.append(np.flatnonzero(trained == 0))
    found = _recall_by_group(ranks, positives, groups, len(trained), at)
    for group, measured in zip(groups, found, strict=True):
        of_group = trained[group]
        ends = [int(of_group.min()), int(of_group.max())] if len(group) else None
        measured["examples"] = ends
    return found


def _deciles(counts: np.ndarray, items: np.ndarray) -> list[np.ndarray]:
    """Returns some items, ascending, in ten groups, from the highest count to the lowest."""
    by_popularity = items[np.argsort(-counts[items].astype(np.int64), kind="stable")]
    return np.array_split(by_popularity, DECILES)


def _recall_by_group(
    ranks: np.ndarray,
    positives: np.ndarray,
    groups: Sequence[np.ndarray],
    items: int,
    at: Sequence[int],
) -> list[dict]:
    group_of_item = np.zeros(items, np.int64)
    for number, group in enumerate(groups):
        group_of_item[group] = number
    found = positives >= 0
    group_of_query = np.full(len(positives), -1)
    group_of_query[found] = group_of_item[positives[found]]
    result = []
    for number, group in enumerate(groups):
        of_group = ranks[group_of_query == number]
        result.append(
            {
                "items": len(group),
                "held_out": len(of_group),
                "recall": recalls(of_group, at) if len(of_group) else None,
            }
        )
    return result
