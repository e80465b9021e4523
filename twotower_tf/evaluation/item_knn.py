"""What a model must beat where people come back: the items nearest to those of the user's past.

Item-based nearest neighbours (Sarwar et al., "Item-based collaborative filtering recommendation
algorithms", WWW 2001; for top-N lists: Deshpande and Karypis, "Item-based top-N recommendation
algorithms", TOIS 2004). Two items are near if the same users acted on both:

    sim(i, j) = n_ij / (sqrt(n_i n_j) + shrinkage)

with n_i the users who acted on i in the window, n_ij those who acted on both: the cosine of the
items' columns in the matrix of users and items, which ``shrinkage`` draws to 0 where few users
stand behind it. An item has its ``neighbours`` nearest ones, and a query's score of an item is the
sum of its similarities to those items of the past that it is a neighbour of.

Similarities are whole numbers of 2^-32: their sums are the same in whichever order they are added.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from twotower_tf.evaluation.baselines import BesidePopular, places_of, positions_of
from twotower_tf.evaluation.orders import Orders
from twotower_tf.evaluation.past_items import PastItems
from twotower_tf.examples.shards.timeline import first_of_group, flat_indices, group_starts
from twotower_tf.indexing.ranking import Ranking, Removed, checked_positives

_ONE = float(2**32)
# So many pairs are held at a time, of users' items as of queries' neighbours: memory, not results.
_PAIRS_TOGETHER = 1 << 22
_USERS_AND_ITEMS = pa.schema({"user_id": pa.string(), "item_id": pa.string()})


class _Neighbours(NamedTuple):
    """The neighbours of n items, one item's after the other's, best first.

    Attributes:
        starts: int64 [n + 1], where each item's begin.
        items: int64, positions in the catalogue.
        similarities: int64, in 2^-32.
    """

    starts: np.ndarray
    items: np.ndarray
    similarities: np.ndarray

    def of(self, wanted: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the neighbours of some items, with the row of each, and the similarities."""
        places, offsets = flat_indices(self.starts[wanted], self.starts[wanted + 1])
        return np.repeat(rows, np.diff(offsets)), self.items[places], self.similarities[places]


class ItemKnn(BesidePopular):
    """Recommends the neighbours of the user's past items, then the most popular ones.

    Of a day it knows ``user_id`` and ``item_id`` of the training examples.

    Args:
        window_days: How many days count, the last one added included.
        neighbours: So many of each item.
        shrinkage: See above, 0 or more.

    >>> knn = ItemKnn(window_days=7, neighbours=10, shrinkage=0.0)
    >>> items = pa.table({"item_id": ["a", "b", "c"], "examples": [1, 1, 1]})
    >>> actions = pa.table({"user_id": ["u", "u", "v"], "item_id": ["a", "c", "b"]})
    >>> knn.add_day(datetime.date(2026, 1, 1), items, actions)
    >>> past = PastItems(["a"], np.array([0, 1, 1]))
    >>> knn.rank(past, np.array([2, 2]), ["a", "b", "c"], k=2).top.tolist()
    [[2, 0], [0, 1]]
    """

    def __init__(self, window_days: int, neighbours: int, shrinkage: float):
        super().__init__(window_days)
        self._neighbours = neighbours
        self._shrinkage = shrinkage

    def rank(
        self,
        past: PastItems,
        positives: np.ndarray,
        catalogue: Sequence[str],
        k: int,
        removed: Removed | None = None,
    ) -> Ranking:
        """Ranks the full catalogue for what is known of each query's user.

        Args:
            past: The items of the Q queries' pasts.
            positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
            catalogue: The N item ids, each once.
            k: How many items of the top to return.
            removed: What is taken out of the rankings, if anything is.

        Returns:
            The ranks [Q] and the top [Q, min(k, N)].

        Raises:
            ValueError: If an item comes twice in the catalogue, or the positives do not fit.
        """
        count = len(past.starts) - 1
        positives = checked_positives(positives, count, len(catalogue))
        numbers = positions_of(catalogue)
        for item_id in past.item_ids:
            numbers.setdefault(item_id, len(numbers))
        known = np.fromiter((numbers[one] for one in past.item_ids), np.int64, len(past.item_ids))
        wanted, known = np.unique(known, return_inverse=True)
        near = self._nearest(wanted, numbers, len(catalogue))
        counts = self._popular.counts(catalogue)
        sizes = np.append(0, np.cumsum(np.diff(near.starts)[known]))[past.starts]
        parts = [Ranking(np.zeros(0, np.int64), np.zeros((0, min(k, len(catalogue))), np.int64))]
        for some in _blocks(np.diff(sizes)):
            queries = np.arange(some.stop - some.start)
            mine = known[past.starts[some.start] : past.starts[some.stop]]
            rows = np.repeat(queries, np.diff(past.starts)[some])
            orders = Orders(counts, len(queries), *near.of(mine, rows))
            of_some = None if removed is None else removed.of(some)
            parts.append(orders.ranking(queries, positives[some], k, of_some))
        return Ranking(
            np.concatenate([part.ranks for part in parts]),
            np.concatenate([part.top for part in parts]),
        )

    def _nearest(
        self, wanted: np.ndarray, numbers: Mapping[str, int], catalogue: int
    ) -> _Neighbours:
        """Returns the neighbours of some items, by number, among the first so many numbers."""
        actions = pa.concat_tables([_USERS_AND_ITEMS.empty_table(), *self._window])
        matrix = _Matrix.of(actions, numbers)
        parts = [(np.zeros(0, np.int64),) * 3]
        for some in _blocks(matrix.costs(wanted)):
            row, item, together = matrix.together(wanted[some])
            kept = (item < catalogue) & (item != wanted[some][row])
            row, item, together = row[kept], item[kept], together[kept]
            product = matrix.users[wanted[some][row]].astype(np.float64) * matrix.users[item]
            near = np.rint(together / (np.sqrt(product) + self._shrinkage) * _ONE).astype(np.int64)
            near = np.maximum(near, 1)
            best = np.lexsort((item, -near, row))
            place = np.arange(len(best)) - first_of_group(group_starts(row[best]), len(best))
            best = best[place < self._neighbours]
            parts.append((row[best] + some.start, item[best], near[best]))
        row, item, near = map(np.concatenate, zip(*parts, strict=True))
        return _Neighbours(np.searchsorted(row, np.arange(len(wanted) + 1)), item, near)


class _Matrix(NamedTuple):
    """Which users acted on which items: each pair once, by user and by item.

    Attributes:
        items_by_user: int64 [pairs].
        of_user: int64 [users + 1], where each user's begin.
        users_by_item: int64 [pairs].
        of_item: int64 [items + 1], where each item's begin.
    """

    items_by_user: np.ndarray
    of_user: np.ndarray
    users_by_item: np.ndarray
    of_item: np.ndarray

    @classmethod
    def of(cls, actions: pa.Table, numbers: Mapping[str, int]) -> "_Matrix":
        """Returns the matrix of users' actions, those on items without a number left out."""
        item = places_of(numbers, actions["item_id"])
        user = actions["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        user = user.astype(np.int64)
        width = max(1, len(numbers))
        user, item = np.divmod(np.unique((user * width + item)[item >= 0]), width)
        by_item = np.argsort(item, kind="stable")
        users = int(user[-1]) + 1 if len(user) else 0
        return cls(
            item,
            np.searchsorted(user, np.arange(users + 1)),
            user[by_item],
            np.searchsorted(item[by_item], np.arange(len(numbers) + 1)),
        )

    @property
    def users(self) -> np.ndarray:
        """How many users acted on each item, int64 [items]."""
        return np.diff(self.of_item)

    def costs(self, items: np.ndarray) -> np.ndarray:
        """Returns how many pairs ``together`` goes through for each of some items."""
        actions = np.append(0, np.cumsum(np.diff(self.of_user)[self.users_by_item]))
        return actions[self.of_item[items + 1]] - actions[self.of_item[items]]

    def together(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns of some items, by place, each other item and how many users acted on both."""
        places, offsets = flat_indices(self.of_item[items], self.of_item[items + 1])
        users = self.users_by_item[places]
        row = np.repeat(np.arange(len(items)), np.diff(offsets))
        places, offsets = flat_indices(self.of_user[users], self.of_user[users + 1])
        row = np.repeat(row, np.diff(offsets))
        width = len(self.of_item)
        keys, both = np.unique(row * width + self.items_by_user[places], return_counts=True)
        return *np.divmod(keys, width), both


def _blocks(costs: np.ndarray) -> list[slice]:
    """Returns slices of rows that cost not much more than ``_PAIRS_TOGETHER`` together."""
    block = np.cumsum(costs) // _PAIRS_TOGETHER
    starts = group_starts(block).tolist()
    ends = [*starts[1:], len(costs)]
    return [slice(start, end) for start, end in zip(starts, ends, strict=False)]
