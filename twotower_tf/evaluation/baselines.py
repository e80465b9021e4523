"""What a model must beat: the most popular items, and those most often acted on after another.

Both add up the counts of a sliding window of days (``examples.counts``), and rank the full
catalogue exactly.
"""

import datetime
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from twotower_tf.indexing.ranking import Ranking, checked_positives


class _Window:
    """The counts of the last days; days come in order, and old ones are forgotten."""

    def __init__(self, days: int):
        if days < 1:
            raise ValueError(f"window_days must be 1 or more, got {days}")
        self._length = datetime.timedelta(days=days)
        self._days: deque[tuple[datetime.date, pa.Table]] = deque()

    def check(self, day: datetime.date) -> None:
        if self._days and day <= self._days[-1][0]:
            raise ValueError(
                f"days must be added in order, each once: {day} does not follow {self._days[-1][0]}"
            )

    def add(self, day: datetime.date, counts: pa.Table) -> None:
        self._days.append((day, counts))
        while self._days[0][0] <= day - self._length:
            self._days.popleft()

    def __iter__(self) -> Iterator[pa.Table]:
        return (counts for _, counts in self._days)


class MostPopular:
    """Recommends to everyone the items that occur most often in the window.

    Items with the same count are in the catalogue's order.

    Args:
        window_days: How many days count, the last one added included.

    >>> popular = MostPopular(window_days=7)
    >>> items = pa.table({"item_id": ["a", "b"], "examples": [1, 2]})
    >>> popular.add_day(datetime.date(2026, 1, 1), items)
    >>> popular.rank([""], np.array([0]), ["a", "b", "c"], k=2).top.tolist()
    [[1, 0]]
    """

    def __init__(self, window_days: int):
        self._window = _Window(window_days)

    def add_day(self, day: datetime.date, items: pa.Table) -> None:
        """Adds a day's counts, and forgets the days that leave the window.

        Args:
            day: Later than every day added before.
            items: ``item_id`` and ``examples``, a row an item of the day's training examples.

        Raises:
            ValueError: If the day is not later than the last one.
        """
        self._window.check(day)
        self._window.add(day, items)

    def counts(self, catalogue: Sequence[str]) -> np.ndarray:
        """Returns [N] int64: how often each item of the catalogue occurs in the window."""
        return self._counts(_positions(catalogue))

    def _counts(self, positions: Mapping[str, int]) -> np.ndarray:
        result = np.zeros(len(positions), np.int64)
        for day in self._window:
            at = _places(positions, day["item_id"])
            result[at[at >= 0]] += day["examples"].to_numpy()[at >= 0]
        return result

    def rank(
        self, seed_items: Sequence[str], positives: np.ndarray, catalogue: Sequence[str], k: int
    ) -> Ranking:
        """Ranks the full catalogue, the same for every query.

        Args:
            seed_items: Each query's seed item id; only their number matters here.
            positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
            catalogue: The N item ids, each once.
            k: How many items of the top to return.

        Returns:
            The ranks [Q] and the top [Q, min(k, N)].

        Raises:
            ValueError: If an item comes twice in the catalogue, or the positives do not fit.
        """
        positives = checked_positives(positives, len(seed_items), len(catalogue))
        order = _descending(self.counts(catalogue))
        ranks = np.zeros(len(seed_items), np.int64)
        ranks[positives >= 0] = 1 + _inverse(order)[positives[positives >= 0]]
        top = np.broadcast_to(order[:k], (len(seed_items), len(order[:k])))
        return Ranking(ranks, top)


class AfterSeed:
    """Recommends the items most often acted on after the query's seed item, in the window.

    Items with the same count after the seed item, those never acted on after it among them, are in
    the order of their overall popularity in the window, then in the catalogue's. So a query without
    a seed item, or with one that was never seen, gets the most popular items.

    Args:
        window_days: How many days count, the last one added included.

    >>> after_seed = AfterSeed(window_days=7)
    >>> items = pa.table({"item_id": ["b", "c"], "examples": [2, 1]})
    >>> pairs = pa.table(
    ...     {"seed_item_id": ["a", "x"], "item_id": ["c", "b"], "examples": [1, 2]}
    ... )
    >>> after_seed.add_day(datetime.date(2026, 1, 1), items, pairs)
    >>> after_seed.rank(["a", "new"], np.array([2, 2]), ["a", "b", "c"], k=2).top.tolist()
    [[2, 1], [1, 2]]
    """

    def __init__(self, window_days: int):
        self._popular = MostPopular(window_days)
        self._window = _Window(window_days)

    def add_day(self, day: datetime.date, items: pa.Table, pairs: pa.Table) -> None:
        """Adds a day's counts, and forgets the days that leave the window.

        Args:
            day: Later than every day added before.
            items: ``item_id`` and ``examples``, a row an item of the day's training examples.
            pairs: ``seed_item_id``, ``item_id`` and ``examples``, a row a pair of them.

        Raises:
            ValueError: If the day is not later than the last one.
        """
        self._popular.add_day(day, items)
        self._window.add(day, pairs)

    def rank(
        self, seed_items: Sequence[str], positives: np.ndarray, catalogue: Sequence[str], k: int
    ) -> Ranking:
        """Ranks the full catalogue for each query's seed item.

        Args:
            seed_items: Each query's seed item id, ``""`` where there is none.
            positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
            catalogue: The N item ids, each once.
            k: How many items of the top to return.

        Returns:
            The ranks [Q] and the top [Q, min(k, N)].

        Raises:
            ValueError: If an item comes twice in the catalogue, or the positives do not fit.
        """
        positives = checked_positives(positives, len(seed_items), len(catalogue))
        positions = _positions(catalogue)
        order = _descending(self._popular._counts(positions))
        seed_ids, queries = _distinct(seed_items)
        followers = _Followers(self._window, _positions(seed_ids), positions, _inverse(order))
        found = positives >= 0
        ranks = np.zeros(len(queries), np.int64)
        ranks[found] = followers.ranks(queries[found], positives[found])
        top = [followers.top(seed_item, order[:k]) for seed_item in range(len(seed_ids))]
        by_seed = np.array(top, np.int64).reshape(len(seed_ids), len(order[:k]))
        return Ranking(ranks, by_seed[queries])


class _Followers:
    """The items that followed some seed items, best first: never more than the window's pairs.

    Args:
        days: The pairs of each day of the window.
        seed_items: The seed ids of interest, numbered from 0.
        positions: The catalogue's item ids, numbered from 0.
        popularity: [N] int, each item's place in the popularity order, 0 is the most popular.
    """

    def __init__(
        self,
        days: Iterable[pa.Table],
        seed_items: Mapping[str, int],
        positions: Mapping[str, int],
        popularity: np.ndarray,
    ):
        self._width = len(positions)
        self._popularity = popularity
        keys, counts = self._add_up(days, seed_items, positions)
        pair_seed_items, places = np.divmod(keys, max(1, self._width))
        best_first = np.lexsort((places, -counts, pair_seed_items))
        self._keys = keys
        self._starts = np.searchsorted(pair_seed_items, np.arange(len(seed_items) + 1))
        self._index_of_key = _inverse(best_first)
        self._items = _inverse(popularity)[places[best_first]]

    def _add_up(
        self,
        days: Iterable[pa.Table],
        seed_items: Mapping[str, int],
        positions: Mapping[str, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the distinct keys seed item * N + popularity, ascending, and their counts."""
        keys = [np.zeros(0, np.int64)]
        counts = [np.zeros(0, np.int64)]
        for day in days:
            seed_item = _places(seed_items, day["seed_item_id"])
            item = _places(positions, day["item_id"])
            known = (seed_item >= 0) & (item >= 0)
            keys.append(seed_item[known] * self._width + self._popularity[item[known]])
            counts.append(day["examples"].to_numpy()[known])
        distinct, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        total = np.zeros(len(distinct), np.int64)
        np.add.at(total, inverse, np.concatenate(counts))
        return distinct, total

    def ranks(self, seed_items: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns the rank of an item (a position in the catalogue) for each of some seed items."""
        wanted = seed_items * self._width + self._popularity[items]
        at = np.searchsorted(self._keys, wanted)
        starts, ends = self._starts[seed_items], self._starts[seed_items + 1]
        # An item that never followed the seed item stands behind all that did, in popularity order:
        # the more popular ones that did follow, `at - starts`, must not count twice.
        ranks = 1 + (ends - starts) + self._popularity[items] - (at - starts)
        follows = np.zeros(len(at), bool)
        inside = at < len(self._keys)
        follows[inside] = self._keys[at[inside]] == wanted[inside]
        ranks[follows] = 1 + self._index_of_key[at[follows]] - starts[follows]
        return ranks

    def top(self, seed_item: int, most_popular: np.ndarray) -> np.ndarray:
        """Returns as many items as ``most_popular`` has: followers first, then these."""
        size = len(most_popular)
        first = self._items[self._starts[seed_item] : self._starts[seed_item + 1]][:size]
        others = most_popular[~np.isin(most_popular, first)]
        return np.concatenate([first, others[: size - len(first)]])


def _distinct(ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Returns the distinct ids in order of appearance, and each id as an index into them."""
    codes: dict[str, int] = {}
    encoded = np.fromiter((codes.setdefault(i, len(codes)) for i in ids), np.int64, len(ids))
    return list(codes), encoded


def _positions(ids: Sequence[str]) -> dict[str, int]:
    positions = {name: position for position, name in enumerate(ids)}
    if len(positions) < len(ids):
        twice = next(name for position, name in enumerate(ids) if positions[name] != position)
        raise ValueError(f"the catalogue must have each item once, but '{twice}' comes twice")
    return positions


def _places(positions: Mapping[str, int], ids: pa.ChunkedArray) -> np.ndarray:
    """Returns each id's position, int64 [n], -1 where it has none."""
    encoded = ids.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    found = np.fromiter((positions.get(name, -1) for name in distinct), np.int64, len(distinct))
    return found[encoded.indices.to_numpy()]


def _descending(counts: np.ndarray) -> np.ndarray:
    """Returns the positions by descending count, ties by the lower position."""
    return np.argsort(-counts, kind="stable")


def _inverse(permutation: np.ndarray) -> np.ndarray:
    """Returns the place of each element in a permutation."""
    inverse = np.empty(len(permutation), np.int64)
    inverse[permutation] = np.arange(len(permutation))
    return inverse
