"""The nominator of what is popular."""

from collections.abc import Sequence

import numpy as np

from twotower_tf.config import Config
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.indexing.nominators.same_for_all import SameForAll
from twotower_tf.indexing.nominators.sections import PopularSection


class Popular(SameForAll):
    """Proposes the most popular items of the last days.

    What speaks for each is log(1 + n), n the times all users acted on it in the last days, of each
    window by itself, above the least that one of the proposed has: so the least popular of them
    are not set apart from what is just not proposed. The items are those of the largest sums over
    the windows, of equal ones the first in the catalogue; none that nobody acted on.

    Args:
        days: The windows.
        items: How many to propose at most.
    """

    kind = "popular"

    def __init__(self, days: Sequence[int], items: int):
        names = tuple(f"log_popular_{one}" for one in days)
        super().__init__(names, tuple(0.3 / len(days) for _ in days))
        self._days, self._items = days, items

    @classmethod
    def from_section(cls, section: PopularSection, config: Config) -> "Popular":
        """Makes the nominator that is configured."""
        return cls(section.days, section.items)

    def learn(self, known: Known) -> None:
        """See ``Nominator``."""
        popularity = np.stack([known.popularity(days) for days in self._days], axis=1)
        total = popularity.astype(np.float64).sum(axis=1)
        best = np.argsort(-total, kind="stable")[: self._items]
        best = best[total[best] > 0]
        features = popularity[best]
        self.choose(best, features - features.min(axis=0, initial=np.inf))
