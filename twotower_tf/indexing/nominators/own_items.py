"""The nominator of what the user acted on before."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from twotower_tf.config.nominators import NominatorSection
from twotower_tf.examples.schema import OWN, own_features
from twotower_tf.indexing.nominators.nominator import Find, Nominated, Nominator

# No count and no number of days is taken to be larger.
_MOST = 1e6


class OwnItems(Nominator):
    """Proposes all of the user's own items.

    What speaks for each: that it is one, how often the user acted on it and how long ago it was
    (logarithms, for the tenth time says less than the second).
    """

    inputs = tuple(own_features())
    features = ("own", "own_log_count", "own_log_days")
    # While nothing is known, most of them come before what the index finds.
    prior = (4.0, 2.0, -0.1)

    @classmethod
    def from_section(cls, section: NominatorSection) -> "OwnItems":
        """Makes the nominator; nothing is configured."""
        return cls()

    def nominate(self, request: Mapping[str, tf.RaggedTensor], find: Find) -> Nominated:
        """See ``Nominator``."""
        ids, counts, days = (request[name].to_tensor() for name in OWN)
        # Comparisons with what is no number are false: then it counts as little as it can.
        counts = tf.where(counts >= 1.0, tf.minimum(counts, _MOST), 1.0)
        days = tf.where(days >= 0.0, tf.minimum(days, _MOST), _MOST)
        columns = [tf.ones_like(counts), tf.math.log(counts), tf.math.log1p(days)]
        return Nominated(find(ids), tf.stack(columns, axis=-1))

    def sample(self, item_ids: Sequence[str]) -> dict[str, list]:
        """See ``Nominator``."""
        ids, counts, days = OWN
        number = len(item_ids)
        return {
            ids: list(item_ids),
            counts: [float(number - place) for place in range(number)],
            days: [float(place + 1) for place in range(number)],
        }
