"""The nominator of what was published last."""

import numpy as np

from twotower_tf.config import Config
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.indexing.nominators.same_for_all import SameForAll
from twotower_tf.indexing.nominators.sections import FreshSection


class Fresh(SameForAll):
    """Proposes the newest items.

    What speaks for each is its freshness at the end of the day: 1 for what was published just
    then, falling to 0 for what is the given number of days old. Of equally old ones the first in
    the catalogue are proposed.

    Args:
        days: How old an item may be.
        items: How many to propose at most.
    """

    kind = "fresh"

    def __init__(self, days: int, items: int):
        super().__init__(("freshness",), (0.5,))
        self._days, self._items = days, items

    @classmethod
    def from_section(cls, section: FreshSection, config: Config) -> "Fresh":
        """Makes the nominator that is configured."""
        return cls(section.days, section.items)

    def learn(self, known: Known) -> None:
        """See ``Nominator``."""
        ages = known.ages()
        # Comparisons with an unknown age are false.
        fresh = np.flatnonzero((ages >= 0) & (ages < self._days))
        newest = fresh[np.argsort(ages[fresh], kind="stable")][: self._items]
        self.choose(newest, 1.0 - ages[newest, np.newaxis] / self._days)
