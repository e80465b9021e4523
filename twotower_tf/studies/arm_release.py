"""Asks an arm's release what to show on the pages of a day."""

from collections.abc import Iterator

import numpy as np

from twotower_tf.releases.recommendation import Recommender
from twotower_tf.serving.asking import ask, ask_ranked
from twotower_tf.serving.serving_description import asked_features, ranked_features
from twotower_tf.simulator.files import item_row, user_id
from twotower_tf.simulator.pages import RECOMMENDED
from twotower_tf.simulator.world import DEVICES

_VISITS_AT_ONCE = 512


class ArmRelease:
    """The current release of an arm: with ranking it is asked to ``recommend``.

    Users are asked for as ``recommend --user_id`` does, with what the work directory knows of them
    at the end of its last day, which is nothing of those who neither did nor saw anything; the
    visit adds the device.

    Args:
        recommender: Has the release.
    """

    def __init__(self, recommender: Recommender):
        self._recommender = recommender
        serving = recommender.release.read_serving()
        self._features = (ranked_features if recommender.ranks else asked_features)(serving)
        self._items = max(1, serving["items"])
        self._loaded = recommender.release.load_saved_model()

    def recommend(self, visits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what the pages of visits are to show.

        A user's later pages of a day go on where the page before ended.

        Args:
            visits: [n] of the simulator's dtype ``VISIT``.

        Returns:
            int64 [n, RECOMMENDED] rows of items, best first, -1 where there is none, and their
            scores by retrieval, float64.
        """
        items = np.full((len(visits), RECOMMENDED), -1)
        scores = np.zeros((len(visits), RECOMMENDED))
        users = np.unique(visits["user"]).tolist()
        queries = self._recommender.queries_for_users([user_id(user) for user in users])
        past = {user: query or {} for user, query in zip(users, queries, strict=True)}
        for places in _batches(visits["earlier"]):
            some = visits[places]
            queries = [
                past[user] | self._of_visit(device)
                for user, device in zip(some["user"].tolist(), some["device"].tolist(), strict=True)
            ]
            ends = RECOMMENDED * (1 + some["earlier"])
            answers = self._ask(queries, min(int(ends.max()), self._items))
            for place, end, answer in zip(places, ends, answers, strict=True):
                for rank, (item, score) in enumerate(answer[end - RECOMMENDED : end]):
                    items[place, rank], scores[place, rank] = item_row(item), score
        return items, scores

    def _ask(self, queries: list[dict], k: int) -> list[list[tuple[str, float]]]:
        """Returns the best items of each query and their scores by retrieval.

        These are what the impression log has of an item, whatever it is ranked by: ranking learns
        from them as nomination scores.
        """
        if not self._recommender.ranks:
            return ask(self._loaded, self._features, queries, k)
        ranked = ask_ranked(self._loaded, self._features, queries, k)
        return [[(one.item_id, one.score) for one in answer] for answer in ranked]

    def _of_visit(self, device: int) -> dict:
        """Returns what a query says of the visit, as far as the release asks for it."""
        known = {"device": DEVICES[device]}
        return {raw.name: known[raw.name] for raw in self._features if raw.name in known}


def _batches(earlier: np.ndarray) -> Iterator[np.ndarray]:
    """Yields places of visits; those that need long answers together."""
    order = np.argsort(earlier, kind="stable")
    for first in range(0, len(order), _VISITS_AT_ONCE):
        yield order[first : first + _VISITS_AT_ONCE]
