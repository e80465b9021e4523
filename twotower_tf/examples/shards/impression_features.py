"""What a ranking example has beside the towers' features, encoded (see ``schema`` for the keys)."""

import dataclasses
import datetime
import zoneinfo

import numpy as np
import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.examples.encoding.list_columns import Ranges, TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.schema import (
    HISTORY_DAYS,
    HISTORY_DWELL,
    HOUR,
    SHOWN,
    WEEKDAY,
    impression_features,
    logged_features,
)
from twotower_tf.examples.shards.example_encoder import days_before
from twotower_tf.examples.shards.sequences import Sequence
from twotower_tf.examples.shards.shard_joins import OrderedExamples
from twotower_tf.examples.shards.timeline import flat_indices
from twotower_tf.examples.users.history_rows import ANSWERED

# Since 1990 all clocks have differed from UTC by, and changed at, multiples of it.
_QUARTER = 900


@dataclasses.dataclass(frozen=True)
class Impressions:
    """The n impressions of a shard, copies included, as the log has them in ``ShardEvents``.

    Attributes:
        sequence: They in order, without copies, with the trait ``ANSWERED``.
        places: int64 [n], where each is in the sequence's timeline; of copies it means nothing.
        clicked: bool [n].
        watched: float64 [n], seconds.
        weight: float64 [n], for how many each stands; 0: no example.
        page: uint64 [n], a hash of its page.
    """

    sequence: Sequence
    places: np.ndarray
    clicked: np.ndarray
    watched: np.ndarray
    weight: np.ndarray
    page: np.ndarray


class ImpressionFeatures:
    """Encodes what ranking examples have beside the towers' features.

    Args:
        config: Says which features there are.
        impressions: What the examples are of.
    """

    def __init__(self, config: Config, impressions: Impressions):
        self._impressions = impressions
        self._features = impression_features(config)
        self._logged = {raw.name for raw in logged_features(config)}
        self._zone = config.ranking.time_zone and zoneinfo.ZoneInfo(config.ranking.time_zone)
        self._shown_ids = TextLists()
        self._lists = TextLists()

    def of(self, examples: OrderedExamples) -> pa.LargeBinaryArray:
        """Returns the features of some examples, [n]."""
        columns = FeatureColumns(len(examples))
        table = examples.table()
        times = table["timestamp"].to_numpy()
        filled_in = {**self._past(examples, times), **self._clock(times)}
        for raw in self._features:
            if raw.name in self._logged:
                values = table[raw.event_column].combine_chunks()
                raw.type.add(columns, raw.key, values, self._lists)
            elif raw.type.is_list:
                encoder = self._shown_ids if raw.type.holds_text else self._lists
                raw.type.add_past(columns, raw.key, filled_in[raw.column], encoder)
            else:
                raw.type.add(columns, raw.key, filled_in[raw.column], self._lists)
        own, rows = self._impressions, examples.rows
        columns.add_integers("page", own.page[rows].view(np.int64))
        columns.add_floats("clicked", own.clicked[rows])
        columns.add_floats("watched_seconds", own.watched[rows])
        columns.add_floats("weight", own.weight[rows])
        return columns.features()

    def _past(self, examples: OrderedExamples, times: np.ndarray) -> dict[str, Ranges]:
        """Returns what the user watched, and was shown, before."""
        sequence = self._impressions.sequence
        shown = sequence.before_own(self._impressions.places[examples.rows])
        answered = Ranges.of(sequence.traits_of(shown)[ANSWERED])
        ids, days, clicked = SHOWN
        made = {
            HISTORY_DAYS: days_before(times, Ranges.of(examples.history_times)),
            ids: Ranges.of(shown),
            days: days_before(times, Ranges.of(sequence.times_of(shown))),
            clicked: _known(times, answered),
        }
        if HISTORY_DWELL in examples.history_traits:
            made[HISTORY_DWELL] = Ranges.of(examples.history_traits[HISTORY_DWELL])
        return made

    def _clock(self, times: np.ndarray) -> dict[str, pa.Array]:
        """Returns the hour and the day of the week of times, where users live."""
        if self._zone is None:
            return {}
        quarters, place = np.unique(times // _QUARTER, return_inverse=True)
        local = [
            datetime.datetime.fromtimestamp(quarter * _QUARTER, self._zone)
            for quarter in quarters.tolist()
        ]
        place = pa.array(place)
        return {
            HOUR: pa.array([str(one.hour) for one in local], pa.string()).take(place),
            WEEKDAY: pa.array([str(one.weekday()) for one in local], pa.string()).take(place),
        }


def _known(times: np.ndarray, answered: Ranges) -> Ranges:
    """Says of lists of answers whether each was known strictly before a time: 1 or 0."""
    places, offsets = flat_indices(answered.starts, answered.ends)
    found = answered.values.to_numpy()[places]
    before = (found > 0) & (found < np.repeat(times, np.diff(offsets)))
    return Ranges(pa.array(before.astype(np.float32)), offsets[:-1], offsets[1:])
