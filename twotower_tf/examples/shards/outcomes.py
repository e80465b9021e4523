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
    """What came of m impressions.

    Attributes:
        answered: int64 [m], the Unix seconds at which a click of each was known, 0: never.
        watched: float64 [m], the seconds it was watched for, 0 without a click.
    """

    answered: np.ndarray
    watched: np.ndarray

    @property
    def clicked(self) -> np.ndarray:
        """Whether each was clicked, bool [m]."""
        return self.answered > 0


def outcomes_of(
    config: Config,
    log: ShardEvents,
    items: ShardItems,
    rows: np.ndarray,
    events: ShardEvents,
    done: Sequence,
) -> Outcomes:
    """Returns what came of a shard's impressions.

    Args:
        config: Says whether the log tells it.
        log: The impressions.
        items: Their items, numbered.
        rows: int64 [m], those that are no copies.
        events: The events.
        done: These in order, with the trait ``HISTORY_DWELL`` if they are to be joined.
    """
    section = config.source.impressions
    if section.tells_outcome:
        clicked = log.table["clicked"].to_numpy()[rows]
        # That the click came later than the impression is not told.
        answered = np.where(clicked, log.time[rows], 0)
        return Outcomes(answered, log.table["watched_seconds"].to_numpy()[rows])
    acted = _events_on(items, events, done)
    shown = log.user[rows], log.day[rows], items.events.item[rows], log.time[rows]
    event, of = _clicks(shown, acted, section.join_minutes * 60)
    answered, watched = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    answered[of] = acted[-1][event]
    dwell = done.traits[HISTORY_DWELL].to_numpy(zero_copy_only=False)
    watched[of] = dwell[done.timeline.places[event] + done.head]
    return Outcomes(answered, watched)


def _events_on(items: ShardItems, events: ShardEvents, done: Sequence) -> tuple[np.ndarray, ...]:
    """Returns user, day, item and time of the events that are no copies, [k] each.

    Their items are numbered as ``items`` are; those that are not among them have -1.
    """
    line = done.timeline
    number_of = pc.index_in(done.values.dictionary, items.item_ids)
    codes = done.values.indices.take(pa.array(line.places + done.head))
    numbers = pc.fill_null(number_of.take(codes), -1).to_numpy()
    return events.user[line.rows], events.day[line.rows], numbers, events.time[line.rows]


def _clicks(
    shown: tuple[np.ndarray, ...], acted: tuple[np.ndarray, ...], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Joins events with impressions at most so many seconds before.

    Args:
        shown: User, day, item and time of impressions, of which no two are the same.
        acted: The same of events.
        most: How long after an impression an event is a click of it.

    Returns:
        The events that are clicks, and the impression that each is one of, none twice.
    """
    columns = [np.concatenate(both) for both in zip(shown, acted, strict=True)]
    is_event = np.arange(len(columns[0])) >= len(shown[0])
    # Of the same second the impression comes first.
    order = np.lexsort((is_event, *reversed(columns)))
    *same, time = (column[order] for column in columns)
    is_event, size = is_event[order], len(order)
    last = np.maximum.accumulate(np.where(is_event, -1, np.arange(size)))
    starts = first_of_group(group_starts(*same), size)
    joined = np.flatnonzero(is_event & (last >= starts))
    joined = joined[time[joined] - time[last[joined]] <= most]
    clicked, first = np.unique(last[joined], return_index=True)
    return order[joined[first]] - len(shown[0]), order[clicked]
