"""What came of the impressions of a shard: clicks, as the log tells them or joined from events.

An event is a click of the last impression of the same user, day and item that is not after it and
at most ``join_minutes`` before; of several events of an impression the first one counts.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.examples.schema import HISTORY_DWELL
from twotower_tf.examples.shards.sequences import Sequence
from twotower_tf.examples.shards.shard_events import ShardEvents, ShardItems
from twotower_tf.examples.shards.timeline import first_of_group, group_starts


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What came of n impressions.

    Attributes:
        answered: int64 [n], the Unix seconds at which a click of each was known, 0: never.
        watched: float64 [n], the seconds it was watched for, 0 without a click.
    """

    answered: np.ndarray
    watched: np.ndarray

    @property
    def clicked(self) -> np.ndarray:
        """Whether each was clicked, bool [n]."""
        return self.answered > 0


def outcomes_of(
    config: Config, impressions: ShardEvents, shown: ShardItems, events: ShardEvents, done: Sequence
) -> Outcomes:
    """Returns what came of a shard's impressions, copies included.

    Args:
        config: Says whether the log tells it.
        impressions: The impressions.
        shown: Their items, numbered.
        events: The events.
        done: These in order, with the trait ``HISTORY_DWELL`` if they are to be joined.
    """
    log = config.source.impressions
    if log.tells_outcome:
        clicked = impressions.table["clicked"].to_numpy()
        watched = impressions.table["watched_seconds"].to_numpy()
        # That the click came later than the impression is not told.
        return Outcomes(np.where(clicked, impressions.time, 0), watched)
    return _joined(impressions, shown, events, done, log.join_minutes * 60)


def _joined(
    impressions: ShardEvents, shown: ShardItems, events: ShardEvents, done: Sequence, most: int
) -> Outcomes:
    """Joins the events that are no copies, at most so many seconds after the impression."""
    line, size = done.timeline, len(impressions)
    places, rows = line.places + done.head, line.rows
    # Where the items of events are among those shown; most never were.
    number_of = pc.index_in(done.values.dictionary, shown.item_ids)
    numbers = pc.fill_null(number_of.take(done.values.indices.take(pa.array(places))), -1)
    columns = [
        np.concatenate([impressions.user, events.user[rows]]),
        np.concatenate([impressions.day, events.day[rows]]),
        np.concatenate([shown.events.item, numbers.to_numpy()]),
        np.concatenate([impressions.time, events.time[rows]]),
    ]
    is_event = np.arange(size + len(rows)) >= size
    # Of the same second impressions come first.
    order = np.lexsort((is_event, *reversed(columns)))
    *same, time = (column[order] for column in columns)
    starts = first_of_group(group_starts(*same), len(order))
    shown_last = np.maximum.accumulate(np.where(is_event[order], -1, np.arange(len(order))))
    joined = np.flatnonzero(is_event[order] & (shown_last >= starts))
    joined = joined[time[joined] - time[shown_last[joined]] <= most]
    # An impression and its copies have one outcome, which stands where the first of them does.
    first = first_of_group(group_starts(*same, time), len(order))
    clicked, of_first = np.unique(first[shown_last[joined]], return_index=True)
    events_of = order[joined[of_first]] - size
    dwell = done.traits[HISTORY_DWELL].to_numpy(zero_copy_only=False)
    answered, watched = np.zeros(len(order), np.int64), np.zeros(len(order))
    answered[clicked] = events.time[rows[events_of]]
    watched[clicked] = dwell[places[events_of]]
    back = np.empty(len(order), np.int64)
    back[order] = first
    return Outcomes(answered[back[:size]], watched[back[:size]])
