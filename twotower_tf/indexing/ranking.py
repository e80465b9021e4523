"""Exact ranking against the full catalogue: where each held-out item stands, and the top k."""

import dataclasses

import numpy as np

# No bonus, however negative, takes a score below this, which is that of opposite vectors.
LEAST_SCORE = -1.0


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Where every query's relevant item stands in the catalogue, and which items stand on top.

    Attributes:
        ranks: [Q] int64, 1 is best; 0 where the item is not in the catalogue, or was removed
            (never found).
        top: [Q, min(k, N)] int64, positions in the catalogue, best first; -1 where a method that
            does not rank the whole catalogue, or of which items were removed, has no more.
    """

    ranks: np.ndarray
    top: np.ndarray


@dataclasses.dataclass(frozen=True)
class Bonuses:
    """What is added to the scores of some items for some queries (``indexing.nominators``).

    Attributes:
        queries: [n] int64, ascending.
        items: [n] int64, positions in the catalogue, each at most once for a query.
        amounts: [n] float32.
    """

    queries: np.ndarray
    items: np.ndarray
    amounts: np.ndarray

    def add_to(self, scores: np.ndarray, first: int) -> None:
        """Adds them to the scores [B, N] of the queries from ``first`` on."""
        bounds = np.searchsorted(self.queries, [first, first + len(scores)])
        some = slice(*bounds)
        places = self.queries[some] - first, self.items[some]
        scores[places] = np.maximum(scores[places] + self.amounts[some], LEAST_SCORE)


@dataclasses.dataclass(frozen=True)
class Removed:
    """Items that are taken out of the rankings of some queries: they are never found.

    Attributes:
        queries: int64 [n], ascending.
        items: int64 [n], positions in the catalogue, each at most once for a query.
    """

    queries: np.ndarray
    items: np.ndarray

    def of(self, some: slice) -> "Removed":
        """Returns those of a range of queries, which are numbered from 0 then."""
        part = slice(*np.searchsorted(self.queries, [some.start, some.stop]))
        return Removed(self.queries[part] - some.start, self.items[part])

    def with_others(self, others: "Removed") -> "Removed":
        """Returns these and others."""
        pairs = [np.stack([one.queries, one.items]) for one in (self, others)]
        return Removed(*np.unique(np.concatenate(pairs, axis=1), axis=1))

    def take_from(self, scores: np.ndarray, first: int) -> None:
        """Gives them the score -inf in the scores [B, N] of the queries from ``first`` on."""
        here = self.of(slice(first, first + len(scores)))
        scores[here.queries, here.items] = -np.inf


def rank_exactly(
    query_embeddings: np.ndarray,
    item_embeddings: np.ndarray,
    positives: np.ndarray,
    k: int,
    batch_size: int,
    bonuses: Bonuses | None = None,
    removed: Removed | None = None,
) -> Ranking:
    """Ranks every item of the catalogue for every query by the inner product, without sampling.

    A rank is 1 + the number of items with a higher score; of items with the same score the one
    with the lower position in the catalogue comes first. Scores are float32 as the matrix product
    gives them, which may round two items with equal embeddings apart in the last bit. At most
    ``batch_size * N`` scores are held at a time.

    Args:
        query_embeddings: [Q, d] float32.
        item_embeddings: [N, d] float32, in the catalogue's order.
        positives: [Q] int, each query's relevant item as a position in the catalogue; -1: the
            item is not in the catalogue.
        k: How many items of the top to return.
        batch_size: How many queries to score at a time.
        bonuses: What is added to some of the scores, if anything is.
        removed: What is taken out of the rankings, if anything is.

    Returns:
        The ranks and the top k.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, or a position is not one.
    """
    queries = np.asarray(query_embeddings, np.float32)
    items = np.asarray(item_embeddings, np.float32)
    positives = checked_positives(positives, len(queries), len(items))
    _check_embeddings(queries, items)
    if k < 1 or batch_size < 1:
        raise ValueError(f"k and batch_size must be 1 or more, got k={k}, batch_size={batch_size}")
    k = min(k, len(items))
    ranks = np.zeros(len(queries), np.int64)
    top = np.zeros((len(queries), k), np.int64)
    if k == 0:
        return Ranking(ranks, top)
    transposed = np.ascontiguousarray(items.T)
    buffer = np.empty((min(batch_size, len(queries)), len(items)), np.float32)
    for start in range(0, len(queries), batch_size):
        batch = slice(start, start + batch_size)
        scores = np.matmul(queries[batch], transposed, out=buffer[: len(queries[batch])])
        if bonuses is not None:
            bonuses.add_to(scores, start)
        if removed is not None:
            removed.take_from(scores, start)
        ranks[batch] = _ranks(scores, positives[batch])
        top[batch] = _top(scores, k)
    return Ranking(ranks, top)


def checked_positives(positives: np.ndarray, queries: int, items: int) -> np.ndarray:
    """Returns the positions of the relevant items as [Q] int64.

    Raises:
        ValueError: If there is not one for each query, or one is neither -1 nor in the catalogue.
    """
    positives = np.asarray(positives, np.int64)
    if positives.shape != (queries,):
        raise ValueError(
            f"positives must have one position for each of {queries} queries, "
            f"got the shape {positives.shape}"
        )
    if positives.size and (positives.min() < -1 or positives.max() >= items):
        wrong = positives[(positives < -1) | (positives >= items)][0]
        raise ValueError(f"positives must be -1 or positions below {items}, got {wrong}")
    return positives


def _check_embeddings(queries: np.ndarray, items: np.ndarray) -> None:
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise ValueError(
            "query_embeddings and item_embeddings must be [Q, d] and [N, d], "
            f"got {queries.shape} and {items.shape}"
        )
    # Nothing is greater than NaN: it would rank first, and a broken model would look perfect.
    for name, embeddings in (("query_embeddings", queries), ("item_embeddings", items)):
        if not np.isfinite(embeddings).all():
            row = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
            raise ValueError(f"{name} must be finite, but row {row} is not")


def _ranks(scores: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Returns [B] ranks of the positives within the scores [B, N]."""
    found = positives >= 0
    own = scores[np.arange(len(scores)), np.where(found, positives, 0)][:, None]
    higher = np.count_nonzero(scores > own, axis=1)
    rows, columns = np.nonzero(scores == own)
    tied_before = np.bincount(rows[columns < positives[rows]], minlength=len(scores))
    found &= own[:, 0] > -np.inf
    return np.where(found, 1 + higher + tied_before, 0)


def _top(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns [B, k] positions of the highest scores [B, N], ties by the lower position.

    It has -1 where no score but -inf is left.
    """
    rows, columns = np.nonzero(scores >= _at_most_the_kth_highest(scores, k)[:, None])
    order = np.lexsort((columns, -scores[rows, columns], rows))
    first_of_row = np.searchsorted(rows, np.arange(len(scores)))
    top = columns[order[first_of_row[:, None] + np.arange(k)]]
    return np.where(np.take_along_axis(scores, top, axis=1) > -np.inf, top, -1)


def _at_most_the_kth_highest(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns [B] bounds that at least k scores of each row reach, and few more than k.

    Selecting among the maxima of blocks is much cheaper than selecting among all scores: the k
    blocks with the highest maxima hold k scores that reach the lowest of these maxima.
    """
    block = max(1, scores.shape[1] // (16 * k))
    maxima = np.maximum.reduceat(scores, np.arange(0, scores.shape[1], block), axis=1)
    return np.partition(maxima, -k, axis=1)[:, -k]
