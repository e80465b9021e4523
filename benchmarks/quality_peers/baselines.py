"""What needs no library: the most popular items, those after the seed, the user's own."""

import numpy as np

from benchmarks.quality_data.problem import Problem


class _Windowed:
    """Counts the training examples of the last days, every day anew."""

    retrain_days = 1

    def __init__(self, seed: int, quick: bool):
        del seed, quick

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Counts."""
        today = problem.day[known].max(initial=-1) + 1
        recent = known[problem.day[known] >= today - problem.baseline_days]
        self._counts = np.bincount(problem.item[recent], minlength=len(problem.item_ids))
        # Below 1, so that it only orders what has the same count.
        order = np.lexsort((np.arange(len(self._counts)), -self._counts))
        self._share = np.empty(len(order))
        self._share[order] = 1.0 - (1.0 + np.arange(len(order))) / (len(order) + 1.0)
        self._count_pairs(problem, recent)

    def _count_pairs(self, problem: Problem, recent: np.ndarray) -> None:
        pass


class MostPopular(_Windowed):
    """The same for everybody."""

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Counts in the window; those never seen by their position."""
        return np.tile(self._share, (len(queries), 1))


class AfterSeed(_Windowed):
    """What most often came after what is on screen; ties and the rest by popularity."""

    def _count_pairs(self, problem: Problem, recent: np.ndarray) -> None:
        seeded = recent[problem.seed[recent] >= 0]
        seeds, items = problem.seed[seeded].astype(np.int64), problem.item[seeded]
        keys, self._times = np.unique(seeds * len(self._counts) + items, return_counts=True)
        self._seeds, self._items = np.divmod(keys, len(self._counts))

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Counts after the seed, then popularity."""
        scores = np.tile(self._share, (len(queries), 1))
        for row, seed in enumerate(problem.seed[problem.queries[queries]].tolist()):
            pairs = slice(*np.searchsorted(self._seeds, [seed, seed + 1]))
            scores[row, self._items[pairs]] += self._times[pairs]
        return scores


class OwnItems(_Windowed):
    """What the user had before, the most frequent first, of those the latest; then popularity."""

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """The user's counts up to the event."""
        scores = np.full((len(queries), len(self._counts)), -np.inf)
        for row, query in enumerate(queries):
            own = problem.item[problem.past(query)]
            items, times = np.unique(own, return_counts=True)
            latest = len(own) - 1 - np.unique(own[::-1], return_index=True)[1]
            scores[row, items] = times + latest / max(1, len(own))
        return scores
