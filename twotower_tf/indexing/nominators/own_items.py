"""The nominator of what the user acted on before."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.schema import OWN, own_features
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.indexing.nominators.nominator import Find, Nominated, Nominator
from twotower_tf.indexing.nominators.sections import OwnItemsSection

# No count and no number of days is taken to be larger.
_MOST = 1e6


class OwnItems(Nominator):
    """Proposes all of the user's own items.

    What speaks for each: that it is one, how often the user acted on it and how long ago it was
    (logarithms, for the tenth time says less than the second). And how popular it is with all, if
    that is configured: with weights of their own, for popularity says another thing of what one
    knows already than of what is new. ``popular`` then leaves own items to this one.

    Args:
        popularity_days: The windows in which popularity counts.
    """

    kind = "own_items"
    scored = False
    inputs = tuple(own_features())

    def __init__(self, popularity_days: Sequence[int] = ()):
        super().__init__(name=self.kind)
        self._days = tuple(popularity_days)
        self.instead_of = ("popular",) if self._days else ()
        popular = tuple(f"own_log_popular_{days}" for days in self._days)
        self.features = ("own", "own_log_count", "own_log_days", *popular)
        # While nothing is known, most of them come before what the index finds.
        self.prior = (4.0, 2.0, -0.1, *(0.0 for _ in popular))

    @classmethod
    def from_section(cls, section: OwnItemsSection, config: Config) -> "OwnItems":
        """Makes the nominator that is configured."""
        return cls(section.popularity_days)

    def learn(self, known: Known) -> None:
        """See ``Nominator``."""
        if self._days:
            popularity = np.stack([known.popularity(days) for days in self._days], axis=1)
            # The last row is of what is not among the items.
            table = np.pad(popularity, [[0, 1], [0, 0]])
            self._popularity = tf.Variable(table, trainable=False, name="popularity")

    def nominate(self, request: Mapping[str, tf.RaggedTensor], find: Find) -> Nominated:
        """See ``Nominator``."""
        ids, counts, days = (request[name].to_tensor() for name in OWN)
        # Comparisons with what is no number are false: then it counts as little as it can.
        counts = tf.where(counts >= 1.0, tf.minimum(counts, _MOST), 1.0)
        days = tf.where(days >= 0.0, tf.minimum(days, _MOST), _MOST)
        columns = [tf.ones_like(counts), tf.math.log(counts), tf.math.log1p(days)]
        positions, features = find(ids), tf.stack(columns, axis=-1)
        if self._days:
            unknown = tf.shape(self._popularity)[0] - 1
            known = (positions >= 0) & (positions < unknown)
            popularity = tf.gather(self._popularity, tf.where(known, positions, unknown))
            features = tf.concat([features, popularity], axis=-1)
        return Nominated(positions, features)

    def sample(self, item_ids: Sequence[str]) -> dict[str, list]:
        """See ``Nominator``."""
        ids, counts, days = OWN
        number = len(item_ids)
        return {
            ids: list(item_ids),
            counts: [float(number - place) for place in range(number)],
            days: [float(place + 1) for place in range(number)],
        }
