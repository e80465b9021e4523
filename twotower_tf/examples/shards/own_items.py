"""Own items: what a user ever acted on, each item once, with how often and when last.

The state of a user at the end of a day is that of the day before with the day's events added, cut
to the ``length`` items of the highest counts; of equal ones those acted on last, then those whose
id comes first. What was cut is forgotten. What an event sees is the state at the end of the day
before with the user's events of its own day that came strictly before it, cut in the same way: so
the events of one second, a basket, never see each other.

A late event (``examples.late_events: keep``) may find items in the state that were acted on at its
time or after it. Their counts can't be told apart any more, and so it doesn't see these items.

Everything is reckoned for all users of a shard that are active on a day at once. Items are
numbered in the order of their ids, and a state stands in that order: the same in every build.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.shards.shard_events import ShardEvents, ShardItems
from twotower_tf.examples.shards.timeline import first_of_group, flat_indices, group_starts
from twotower_tf.examples.users.history_rows import CarriedOwn

# Numbers of items have fewer bits, Unix seconds too.
_ITEM_BITS = 32
_TIME_BITS = 34
# So many lists are put together at a time: it bounds memory.
_LISTS_TOGETHER = 1 << 10


class Tally(NamedTuple):
    """n items of somebody, by key.

    Attributes:
        key: int64 [n], whose (a user, an example), and the item's number in the lowest bits.
        count: int64 [n], how often it was acted on.
        last: int64 [n], when last, in Unix seconds.
    """

    key: np.ndarray
    count: np.ndarray
    last: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """The user of each, by number, int64 [n]."""
        return self.key >> _ITEM_BITS

    @property
    def item(self) -> np.ndarray:
        """The number of each item, int64 [n]."""
        return self.key & ((1 << _ITEM_BITS) - 1)

    def taken(self, rows: np.ndarray) -> "Tally":
        """Returns those at some positions, in the order of these."""
        return Tally(*(column[rows] for column in self))


def _keys(owner: np.ndarray, item: np.ndarray) -> np.ndarray:
    return (owner << _ITEM_BITS) + item


def _added(*tallies: Tally) -> Tally:
    """Adds up: every key once, ascending."""
    both = Tally(*map(np.concatenate, zip(*tallies, strict=True)))
    # Stable, for that is fast where most are in order already.
    both = both.taken(np.argsort(both.key, kind="stable"))
    starts = group_starts(both.key)
    if not len(starts):
        return both
    return Tally(
        both.key[starts],
        np.add.reduceat(both.count, starts),
        np.maximum.reduceat(both.last, starts),
    )


def _best_rows(tally: Tally, length: int) -> np.ndarray:
    """Returns the rows of each owner's best items, best first, at most so many of each."""
    order = np.lexsort((tally.key, -tally.last, -tally.count, tally.owner))
    rank = np.arange(len(order)) - first_of_group(group_starts(tally.owner[order]), len(order))
    return order[rank < length]


def _cut(tally: Tally, length: int) -> Tally:
    """Returns each owner's best items, at most so many, by key as they were given."""
    sizes = np.diff(group_starts(tally.owner), append=len(tally.key))
    # Most owners are within it.
    over = np.flatnonzero(np.repeat(sizes > length, sizes))
    if not len(over):
        return tally
    kept = np.ones(len(tally.key), bool)
    kept[over] = False
    kept[over[_best_rows(tally.taken(over), length)]] = True
    return tally.taken(kept)


@dataclasses.dataclass(frozen=True)
class OwnItems:
    """The actions of a shard's users, to walk through them day by day.

    Attributes:
        item_ids: string [items], ascending.
        users: How many users there are.
        days: int64 [m], the day that brought each action that is no copy, ascending.
        actions: The m actions, each counted once, on a day by user and time.
        carried: The state of the users before the first day, by key.
        length: How many items a state and a list have at most.
    """

    item_ids: pa.Array
    users: int
    days: np.ndarray
    actions: Tally
    carried: Tally
    length: int


def make_own_items(
    events: ShardEvents, items: ShardItems, rows: np.ndarray, carried: CarriedOwn, length: int
) -> OwnItems:
    """Puts what users did in the order in which their own items are counted.

    Args:
        events: The events.
        items: They, with their items numbered.
        rows: Those of them that are no copies (``timeline.Timeline.rows``).
        carried: What was known before, a row for each of ``events.user_ids``.
        length: ``examples.own_length``.
    """
    past = carried.item_ids.flatten()
    ids = pa.chunked_array([items.item_ids, past], pa.string()).dictionary_encode()
    ids = ids.combine_chunks()
    in_order = pc.sort_indices(ids.dictionary).to_numpy()
    number = np.empty(len(in_order), np.int64)
    number[in_order] = np.arange(len(in_order))
    number = number[ids.indices.to_numpy()]
    rows = rows[np.lexsort((events.time[rows], events.user[rows], events.day[rows]))]
    lengths = pc.list_value_length(carried.item_ids).to_numpy()
    own = number[len(items.item_ids) :]
    return OwnItems(
        item_ids=ids.dictionary.take(pa.array(in_order)),
        users=len(events.user_ids),
        days=events.day[rows],
        actions=Tally(
            _keys(events.user[rows], number[items.events.item[rows]]),
            np.ones(len(rows), np.int64),
            events.time[rows],
        ),
        carried=Tally(
            _keys(np.repeat(np.arange(len(lengths)), lengths), own),
            carried.counts.flatten().to_numpy().astype(np.int64),
            carried.times.flatten().to_numpy().astype(np.int64),
        ),
        length=length,
    )


class _States:
    """The items of every user, of whom some get others every day: by key, gaps between users."""

    def __init__(self, carried: Tally, users: int):
        self._entries = carried
        self._used = len(carried.key)
        bounds = np.searchsorted(carried.owner, np.arange(users + 1))
        self._starts, self._ends = bounds[:-1].copy(), bounds[1:].copy()

    def of(self, users: np.ndarray) -> tuple[Tally, np.ndarray]:
        """Returns users' items one after the other, and where each user's begin, [n + 1]."""
        places, offsets = flat_indices(self._starts[users], self._ends[users])
        return self._entries.taken(places), offsets

    def replace(self, users: np.ndarray, entries: Tally) -> None:
        """Gives users (ascending) other items, by key."""
        if self._used + len(entries.key) > len(self._entries.key):
            self._make_room(len(entries.key))
        bounds = np.searchsorted(entries.owner, users) + self._used
        end = self._used + len(entries.key)
        for kept, new in zip(self._entries, entries, strict=True):
            kept[self._used : end] = new
        self._used = end
        self._starts[users], self._ends[users] = bounds, np.append(bounds[1:], end)

    def _make_room(self, more: int) -> None:
        """Closes the gaps, and doubles the room."""
        live, offsets = self.of(np.arange(len(self._starts)))
        self._used = len(live.key)
        room = np.zeros(self._used + 2 * more, np.int64)
        self._entries = Tally(*(np.concatenate([column, room]) for column in live))
        self._starts, self._ends = offsets[:-1].copy(), offsets[1:].copy()


class OwnWalk:
    """A walk through the days, which only goes forward.

    Args:
        own: What to walk through.
    """

    def __init__(self, own: OwnItems):
        self._own = own
        self._states = _States(own.carried, own.users)
        self._done = 0

    def before(self, day: int, users: np.ndarray, times: np.ndarray) -> tuple[Tally, np.ndarray]:
        """Returns the own items that events of a day see.

        Args:
            day: Not before any day asked for so far.
            users: The user of each event, int64 [n].
            times: Its Unix seconds, int64 [n].

        Returns:
            The items, best first, the number of the event as their owner; and where each event's
            begin, int64 [n + 1].
        """
        self._go_to(np.searchsorted(self._own.days, day, side="left"))
        end = np.searchsorted(self._own.days, day, side="right")
        today = self._own.actions.taken(np.arange(self._done, end))
        parts = [
            self._lists(today, users, times, slice(start, start + _LISTS_TOGETHER))
            for start in range(0, max(1, len(users)), _LISTS_TOGETHER)
        ]
        lists = Tally(*map(np.concatenate, zip(*parts, strict=True)))
        return lists, np.searchsorted(lists.owner, np.arange(len(users) + 1))

    def _lists(self, today: Tally, users: np.ndarray, times: np.ndarray, some: slice) -> Tally:
        number = np.arange(len(users))[some]
        users, times = users[some], times[some]
        known, offsets = self._states.of(users)
        event = np.repeat(number, np.diff(offsets))
        earlier = known.last < np.repeat(times, np.diff(offsets))
        known = known._replace(key=_keys(event, known.item)).taken(earlier)
        when = (today.owner << _TIME_BITS) + today.last
        starts = np.searchsorted(when, users << _TIME_BITS)
        places, offsets = flat_indices(starts, np.searchsorted(when, (users << _TIME_BITS) + times))
        new = today.taken(places)
        new = new._replace(key=_keys(np.repeat(number, np.diff(offsets)), new.item))
        seen = _added(known, new)
        return seen.taken(_best_rows(seen, self._own.length))

    def at_end(self, day: int, users: np.ndarray) -> tuple[pa.ListArray, ...]:
        """Returns users' states at the end of a day.

        Args:
            day: Not before any day asked for so far.
            users: int64 [n].

        Returns:
            Lists [n]: item ids, ascending; counts; times. As ``histories`` has them.
        """
        self._go_to(np.searchsorted(self._own.days, day, side="right"))
        items, offsets = self._states.of(users)
        offsets = pa.array(offsets, pa.int32())
        columns = (
            self._own.item_ids.take(pa.array(items.item)),
            pa.array(items.count, pa.uint32()),
            pa.array(items.last, pa.uint32()),
        )
        return tuple(pa.ListArray.from_arrays(offsets, column) for column in columns)

    def _go_to(self, place: int) -> None:
        """Adds the events up to a place in ``days``, day by day."""
        days = self._own.days[self._done : place]
        starts = group_starts(days) + self._done
        for start, end in zip(starts, np.append(starts[1:], place), strict=False):
            of_day = _added(self._own.actions.taken(np.arange(start, end)))
            users = of_day.owner[group_starts(of_day.owner)]
            known, _ = self._states.of(users)
            self._states.replace(users, _cut(_added(known, of_day), self._own.length))
        self._done = max(self._done, place)
