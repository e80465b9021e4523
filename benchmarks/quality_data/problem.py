"""What every method of the quality benchmark gets: numbers for users and items, events in order.

NumPy only, so that a method's process loads nothing that the method does not need.
"""

import dataclasses
import hashlib
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Problem:
    """The examples of a data set as its pipeline built them, and the held-out ones to rank for.

    N items, U users, E examples in order of time, Q queries, W days of the window.

    Attributes:
        item_ids: [N] str, ascending.
        user_ids: [U] str.
        days: [D] str, the days that were built; the last W are the window.
        user, item: [E] int32.
        on_screen: [E] int32, what the log says was on screen; -1: it doesn't say.
        seed: [E] int32, the same, but where the log doesn't say the last item acted on before.
        time: [E] int64, Unix seconds.
        reward: [E] float32.
        day: [E] int32, a place in ``days``.
        held_out: [E] bool.
        available: [W, N] bool, the catalogue of each day of the window.
        history: The queries' histories one after the other, oldest first; -1: an item of no
            catalogue and no example.
        history_splits: [Q + 1] int64; query q has ``history[splits[q]:splits[q + 1]]``.
        item_features, user_features: By name, [N] and [U] str: what has one value each.
        baseline_days: Over how many days the simple baselines count.
    """

    item_ids: np.ndarray
    user_ids: np.ndarray
    days: np.ndarray
    user: np.ndarray
    item: np.ndarray
    on_screen: np.ndarray
    seed: np.ndarray
    time: np.ndarray
    reward: np.ndarray
    day: np.ndarray
    held_out: np.ndarray
    available: np.ndarray
    history: np.ndarray
    history_splits: np.ndarray
    item_features: dict[str, np.ndarray]
    user_features: dict[str, np.ndarray]
    baseline_days: int

    def __post_init__(self):
        # The examples of each user stand together here, in order of time.
        by_user = np.argsort(self.user, kind="stable")
        starts = np.searchsorted(self.user[by_user], np.arange(len(self.user_ids) + 1))
        object.__setattr__(self, "_by_user", by_user)
        object.__setattr__(self, "_starts", starts)
        object.__setattr__(self, "queries", self._held_out_of_the_window())

    @property
    def first_day(self) -> int:
        """The first day of the window, as a place in ``days``."""
        return len(self.days) - len(self.available)

    def _held_out_of_the_window(self) -> np.ndarray:
        """Returns [Q] the examples to rank for; the pipeline asks about those with a reward."""
        return np.flatnonzero(self.held_out & (self.day >= self.first_day) & (self.reward > 0))

    def known_before(self, day: int) -> np.ndarray:
        """Returns the training examples of the days before a day, in order of time."""
        return np.flatnonzero(~self.held_out & (self.day < day))

    def past(self, query: int) -> np.ndarray:
        """Returns the examples of the query's user strictly before it, held out or not."""
        row = self.queries[query]
        mine = self._by_user[self._starts[self.user[row]] : self._starts[self.user[row] + 1]]
        return mine[: np.searchsorted(self.time[mine], self.time[row])]

    def recent(self, query: int) -> np.ndarray:
        """Returns the query's history and what is on screen, items, oldest first."""
        start, stop = self.history_splits[query : query + 2]
        history = self.history[start:stop]
        seed = self.seed[self.queries[query]]
        if seed >= 0 and (len(history) == 0 or history[-1] != seed):
            history = np.append(history, seed)
        return history[history >= 0]

    def fingerprint(self) -> str:
        """Returns a hash of what is asked: user, item and time of every query, in order."""
        hashed = hashlib.sha256()
        for row in self.queries:
            user, item = self.user_ids[self.user[row]], self.item_ids[self.item[row]]
            hashed.update(f"{user}\t{item}\t{self.time[row]}\n".encode())
        return hashed.hexdigest()

    def save(self, path: pathlib.Path) -> None:
        """Writes the arrays."""
        arrays = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                arrays |= {f"{field.name}/{name}": one for name, one in value.items()}
            else:
                arrays[field.name] = value
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: pathlib.Path) -> "Problem":
        """Reads what ``save`` wrote."""
        values: dict = {"item_features": {}, "user_features": {}}
        with np.load(path) as arrays:
            for key in arrays.files:
                name, slash, feature = key.partition("/")
                if slash:
                    values[name][feature] = arrays[key]
                else:
                    values[name] = arrays[key] if arrays[key].ndim else arrays[key].item()
        return cls(**values)
