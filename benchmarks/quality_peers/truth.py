"""The best that can be reached on simulated data: the probabilities that its events came from."""

import numpy as np

from benchmarks.quality_data.problem import Problem
from benchmarks.quality_data.sets import SIMULATED
from twotower_tf.simulator.day import SimulatedDay
from twotower_tf.simulator.simulator import SimulatorSettings
from twotower_tf.simulator.world import World

# configs/demo.yaml: what is watched to less has no reward, and is not asked about.
_WATCHED = 0.1
_USERS, _DRAWS = 20, 20_000


class Truth:
    """Ranks by P(item | user, day, seed) times the probability that it is worth something."""

    retrain_days = 1

    def __init__(self, seed: int, quick: bool):
        del seed, quick
        self._settings = SimulatorSettings(**SIMULATED)
        self._world = World(self._settings)

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Learns nothing: only looks the day up."""
        date = np.datetime64(problem.days[problem.day[known[-1]]]) + 1
        number = int((date - np.datetime64(self._settings.start)).astype(int))
        self._day = SimulatedDay(self._world, number)
        self._items = np.array([int(one.removeprefix("v")) for one in problem.item_ids.tolist()])
        self._published = np.flatnonzero(self._items < self._day.published)
        self._shares, self._chances = self._chances_by_share()

    def _chances_by_share(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns expected watch shares, ascending, and how often such a watch has a reward.

        Both follow from how well an item's topic matches the user, and so from each other.
        """
        random = np.random.default_rng(0)
        topics = self._world.videos.topic[: self._day.published]
        one_each = np.unique(topics, return_index=True)[1]
        shares, chances = [], []
        for user in range(_USERS):
            shares.append(self._day.expected_watch_shares(user)[one_each])
            items = np.repeat(one_each, _DRAWS // _USERS)
            drawn = self._day.draw_watch_shares(random, np.full(len(items), user), items)
            chances.append((drawn.reshape(len(one_each), -1) > _WATCHED).mean(axis=1))
        order = np.argsort(np.concatenate(shares))
        rising = np.maximum.accumulate(np.concatenate(chances)[order])
        return np.concatenate(shares)[order], rising

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Probabilities."""
        scores = np.full((len(queries), len(problem.item_ids)), -np.inf)
        published = self._items[self._published]
        for number, row in enumerate(problem.queries[queries].tolist()):
            user = int(problem.user_ids[problem.user[row]].removeprefix("u"))
            seed = problem.on_screen[row]
            seen = self._items[seed] if seed >= 0 else None
            shares = self._day.expected_watch_shares(user)
            worth = np.interp(shares, self._shares, self._chances)
            truth = self._day.item_probabilities(user, seen) * worth
            scores[number, self._published] = truth[published]
        return scores
