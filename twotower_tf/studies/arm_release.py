"""Asks an arm's release what to show on the pages of a day."""

from collections.abc import Iterator

import numpy as np

from twotower_tf.releases.recommendation import Recommender
from twotower_tf.serving.asking import feature_rows
from twotower_tf.serving.serving_description import asked_features
from twotower_tf.simulator.files import item_row, user_id
from twotower_tf.simulator.pages import RECOMMENDED
from twotower_tf.simulator.world import DEVICES

_VISITS_AT_ONCE = 512
# What a release says of items, and how it calls the score, by the name of its signature. The first
# one that it has is asked.
_SIGNATURES = {"recommend": "expected_watch_seconds", "serving_default": "scores"}


class ArmRelease:
    """The current release of an arm.

    Users are asked for as ``recommend --user_id`` does, with what the work directory knows of them
    at the end of its last day; the visit adds the device.

    Args:
        recommender: Has the release.
    """

    def __init__(self, recommender: Recommender):
        self._recommender = recommender
        serving = recommender.release.read_serving()
        self._features = asked_features(serving)
        self._items = max(1, serving["items"])
        # Its functions don't keep its variables.
        self._loaded = recommender.release.load_saved_model()
        self._signature = next(name for name in _SIGNATURES if hasattr(self._loaded, name))

    def recommend(self, visits: np.ndarray, is_known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what the pages of visits are to show.

        A user's later pages of a day go on where the page before ended.

        Args:
            visits: [n] of the simulator's dtype ``VISIT``.
            is_known: bool [users], who did anything before; of others nothing can be looked up.

        Returns:
            int64 [n, RECOMMENDED] rows of items, best first, -1 where there is none, and their
            scores, float64.
        """
        items = np.full((len(visits), RECOMMENDED), -1)
        scores = np.zeros((len(visits), RECOMMENDED))
        past = {
            user: self._recommender.query_for_user(user_id(user)) if is_known[user] else {}
            for user in np.unique(visits["user"]).tolist()
        }
        for places in _batches(visits["earlier"]):
            some = visits[places]
            queries = [
                past[user] | self._of_visit(device)
                for user, device in zip(some["user"].tolist(), some["device"].tolist(), strict=True)
            ]
            items[places], scores[places] = self._answer(queries, some["earlier"])
        return items, scores

    def _answer(self, queries: list[dict], earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Asks for some visits at once; of the answer each gets the part for its page."""
        ranks = RECOMMENDED * earlier[:, np.newaxis] + np.arange(RECOMMENDED)
        k = min(int(ranks.max()) + 1, self._items)
        ask = getattr(self._loaded, self._signature)
        answer = ask(k=k, **feature_rows(queries, self._features))
        ids, values = answer["item_ids"].numpy(), answer[_SIGNATURES[self._signature]].numpy()
        places = np.minimum(ranks, ids.shape[1] - 1)
        found = np.take_along_axis(ids, places, 1)
        is_item = (ranks < ids.shape[1]) & (found != b"")
        rows = [item_row(one.decode()) if one else -1 for one in np.where(is_item, found, b"").flat]
        scores = np.where(is_item, np.take_along_axis(values, places, 1), 0.0)
        return np.array(rows).reshape(ranks.shape), scores

    def _of_visit(self, device: int) -> dict:
        """Returns what a query says of the visit, as far as the release asks for it."""
        known = {"device": DEVICES[device]}
        return {raw.name: known[raw.name] for raw in self._features if raw.name in known}


def _batches(earlier: np.ndarray) -> Iterator[np.ndarray]:
    """Yields places of visits; those that need long answers together."""
    order = np.argsort(earlier, kind="stable")
    for first in range(0, len(order), _VISITS_AT_ONCE):
        yield order[first : first + _VISITS_AT_ONCE]
