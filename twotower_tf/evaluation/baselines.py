"""What a model must beat: the most popular items, and those most often acted on after another.

Both add up the counts of a sliding window of days (``examples.counts``), and rank the full
catalogue exactly.
"""

import datetime
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from twotower_tf.evaluation.orders import Orders
from twotower_tf.indexing.ranking import Ranking, Removed, checked_positives

_NOTHING = np.zeros(0, np.int64)


class Window:
    """What is known of the last days; days come in order, and old ones are forgotten."""

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
        self._window = Window(window_days)

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
        return self._counts(positions_of(catalogue))

    def _counts(self, positions: Mapping[str, int]) -> np.ndarray:
        result = np.zeros(len(positions), np.int64)
        for day in self._window:
            at = places_of(positions, day["item_id"])
            result[at[at >= 0]] += day["examples"].to_numpy()[at >= 0]
        return result

    def rank(
        self,
        seed_items: Sequence[str],
        positives: np.ndarray,
        catalogue: Sequence[str],
        k: int,
        removed: Removed | None = None,
    ) -> Ranking:
        """Ranks the full catalogue, the same for every query.

        Args:
            seed_items: Each query's seed item id; only their number matters here.
            positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
            catalogue: The N item ids, each once.
            k: How many items of the top to return.
            removed: What is taken out of the rankings, if anything is.

        Returns:
            The ranks [Q] and the top [Q, min(k, N)].

        Raises:
            ValueError: If an item comes twice in the catalogue, or the positives do not fit.
        """
        positives = checked_positives(positives, len(seed_items), len(catalogue))
        orders = Orders(self.counts(catalogue), 1, _NOTHING, _NOTHING, _NOTHING)
        return orders.ranking(np.zeros(len(seed_items), np.int64), positives, k, removed)


class BesidePopular:
    """Base of the baselines that know more of the window's days than how popular their items are.

    Args:
        window_days: How many days count, the last one added included.
    """

    def __init__(self, window_days: int):
        self._popular = MostPopular(window_days)
        self._window = Window(window_days)

    def add_day(self, day: datetime.date, items: pa.Table, more: pa.Table) -> None:
        """Adds a day, and forgets the days that leave the window.

        Args:
            day: Later than every day added before.
            items: ``item_id`` and ``examples``, a row an item of the day's training examples.
            more: What else the baseline knows of the day.

        Raises:
            ValueError: If the day is not later than the last one.
        """
        self._popular.add_day(day, items)
        self._window.add(day, more)


class AfterSeed(BesidePopular):
    """Recommends the items most often acted on after the query's seed item, in the window.

    Items with the same count after the seed item, those never acted on after it among them, are in
    the order of their overall popularity in the window, then in the catalogue's. So a query without
    a seed item, or with one that was never seen, gets the most popular items.

    Of a day it knows ``seed_item_id``, ``item_id`` and ``examples``, a row a pair of them.

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

    def rank(
        self,
        seed_items: Sequence[str],
        positives: np.ndarray,
        catalogue: Sequence[str],
        k: int,
        removed: Removed | None = None,
    ) -> Ranking:
        """Ranks the full catalogue for each query's seed item.

        Args:
            seed_items: Each query's seed item id, ``""`` where there is none.
            positives: [Q] int, the relevant items' positions in the catalogue, -1: not in it.
            catalogue: The N item ids, each once.
            k: How many items of the top to return.
            removed: What is taken out of the rankings, if anything is.

        Returns:
            The ranks [Q] and the top [Q, min(k, N)].

        Raises:
            ValueError: If an item comes twice in the catalogue, or the positives do not fit.
        """
        positives = checked_positives(positives, len(seed_items), len(catalogue))
        positions = positions_of(catalogue)
        seed_ids, queries = distinct_ids(seed_items)
        rows, items, counts = self._followers(positions_of(seed_ids), positions)
        orders = Orders(self._popular._counts(positions), len(seed_ids), rows, items, counts)
        return orders.ranking(queries, positives, k, removed)

    def _followers(
        self, seed_items: Mapping[str, int], positions: Mapping[str, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns seed items, the items after them, and how often on some day, int64 [n] each."""
        parts = [(_NOTHING, _NOTHING, _NOTHING)]
        for day in self._window:
            seed_item = places_of(seed_items, day["seed_item_id"])
            item = places_of(positions, day["item_id"])
            known = (seed_item >= 0) & (item >= 0)
            parts.append((seed_item[known], item[known], day["examples"].to_numpy()[known]))
        return tuple(map(np.concatenate, zip(*parts, strict=True)))


def distinct_ids(ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Returns the distinct ids in order of appearance, and each id as an index into them."""
    codes: dict[str, int] = {}
    encoded = np.fromiter((codes.setdefault(i, len(codes)) for i in ids), np.int64, len(ids))
    return list(codes), encoded


def positions_of(ids: Sequence[str]) -> dict[str, int]:
    """Returns where each id stands.

    Raises:
        ValueError: If one comes twice.
    """
    positions = {name: position for position, name in enumerate(ids)}
    if len(positions) < len(ids):
        twice = next(name for position, name in enumerate(ids) if positions[name] != position)
        raise ValueError(f"the catalogue must have each item once, but '{twice}' comes twice")
    return positions


def places_of(positions: Mapping[str, int], ids: pa.ChunkedArray) -> np.ndarray:
    """Returns each id's position, int64 [n], -1 where it has none."""
    encoded = ids.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    found = np.fromiter((positions.get(name, -1) for name in distinct), np.int64, len(distinct))
    return found[encoded.indices.to_numpy()]
