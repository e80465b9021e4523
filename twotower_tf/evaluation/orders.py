"""Orders of the whole catalogue, made of scores that most items don't have.

A baseline scores few of the items for a query. These come first, by score; the others follow in
the order of their popularity. So every item has a rank, and no matrix of queries and items is made.
"""

import numpy as np

from twotower_tf.indexing.ranking import Ranking, Removed


def descending(counts: np.ndarray) -> np.ndarray:
    """Returns the positions by descending count, ties by the lower position."""
    return np.argsort(-counts, kind="stable")


def inverse(permutation: np.ndarray) -> np.ndarray:
    """Returns the place of each element in a permutation."""
    places = np.empty(len(permutation), np.int64)
    places[permutation] = np.arange(len(permutation))
    return places


def added_up(keys: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct keys, ascending, and the sum of the amounts of each, int64."""
    distinct, at = np.unique(keys, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, at, amounts)
    return distinct, total


class Orders:
    """Some orders of a catalogue: an item that has a score before those that have none.

    Items of the same score, those without one among them, are in the order of popularity, then in
    the catalogue's.

    Args:
        counts: [N] int, how popular each item of the catalogue is.
        count: How many orders there are.
        rows: int64 [n], of each score the number of the order.
        items: int64 [n], the item's position in the catalogue; an item may come several times in
            an order, its scores are added up.
        scores: int64 [n], positive.
    """

    def __init__(
        self,
        counts: np.ndarray,
        count: int,
        rows: np.ndarray,
        items: np.ndarray,
        scores: np.ndarray,
    ):
        self._width = len(counts)
        self._by_popularity = descending(counts)
        self._popularity = inverse(self._by_popularity)
        keys, totals = added_up(rows * self._width + self._popularity[items], scores)
        order, place = np.divmod(keys, max(1, self._width))
        best_first = np.lexsort((place, -totals, order))
        self._keys = keys
        self._starts = np.searchsorted(order, np.arange(count + 1))
        self._index_of_key = inverse(best_first)
        self._items = self._by_popularity[place[best_first]]

    def ranks(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns the rank of an item (a position in the catalogue) in each of some orders."""
        wanted = rows * self._width + self._popularity[items]
        at = np.searchsorted(self._keys, wanted)
        starts, ends = self._starts[rows], self._starts[rows + 1]
        # An item without a score stands behind all that have one, in popularity order: the more
        # popular ones that do have one, `at - starts`, must not count twice.
        ranks = 1 + (ends - starts) + self._popularity[items] - (at - starts)
        scored = np.zeros(len(at), bool)
        inside = at < len(self._keys)
        scored[inside] = self._keys[at[inside]] == wanted[inside]
        ranks[scored] = 1 + self._index_of_key[at[scored]] - starts[scored]
        return ranks

    def top(self, row: int, size: int) -> np.ndarray:
        """Returns the first items of an order, int64 [min(size, N)]."""
        first = self._items[self._starts[row] : self._starts[row + 1]][:size]
        most_popular = self._by_popularity[:size]
        others = most_popular[~np.isin(most_popular, first)]
        return np.concatenate([first, others[: len(most_popular) - len(first)]])

    def ranking(
        self, rows: np.ndarray, positives: np.ndarray, k: int, removed: Removed | None = None
    ) -> Ranking:
        """Returns where relevant items stand.

        Args:
            rows: int64 [Q], the order of each query.
            positives: int64 [Q], the relevant items' positions in the catalogue, -1: not in it.
            k: How many items of the top to return.
            removed: What is taken out of the orders, if anything is.
        """
        found = positives >= 0
        ranks = np.zeros(len(rows), np.int64)
        ranks[found] = self.ranks(rows[found], positives[found])
        if removed is not None:
            above = self.ranks(rows[removed.queries], removed.items) < ranks[removed.queries]
            ranks -= np.bincount(removed.queries[above], minlength=len(ranks))
            ranks[removed.queries[removed.items == positives[removed.queries]]] = 0
            return Ranking(ranks, self._left(rows, k, removed))
        distinct, at = np.unique(rows, return_inverse=True)
        top = [self.top(row, k) for row in distinct.tolist()]
        return Ranking(
            ranks, np.array(top, np.int64).reshape(len(distinct), min(k, self._width))[at]
        )

    def _left(self, rows: np.ndarray, k: int, removed: Removed) -> np.ndarray:
        """Returns the top of the orders without what is removed, -1 where there are no more."""
        top = np.full((len(rows), min(k, self._width)), -1, np.int64)
        bounds = np.searchsorted(removed.queries, np.arange(len(rows) + 1))
        for query, row in enumerate(rows.tolist()):
            gone = removed.items[bounds[query] : bounds[query + 1]]
            first = self.top(row, k + len(gone))
            first = first[~np.isin(first, gone)][: top.shape[1]]
            top[query, : len(first)] = first
        return top
