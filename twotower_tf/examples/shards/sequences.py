"""What users did, to look up what was known of each at a time or at the end of a day.

A sequence is an array in which each user's actions stand in order of time, as ranges (see
``timeline``): of items acted on or shown, or of queries searched for. It begins with what was known
before the first day that is built. So the searches of one log are found for the events of another:
a day's event sees what its day and the days before it brought, and no more.
"""

import dataclasses

import numpy as np
import pyarrow as pa

from twotower_tf.examples.shards.shard_events import ShardEvents, ShardItems
from twotower_tf.examples.shards.timeline import Timeline, flat_indices, make_timeline

# Days as ``date.toordinal``, and numbers of a shard's users, have fewer bits.
_DAY_BITS = 22
_USER_BITS = 40


@dataclasses.dataclass(frozen=True)
class Sequence:
    """The actions of a shard's users.

    Attributes:
        values: [total], a dictionary of texts: the ids of items, or queries.
        times: int64 [total], Unix seconds.
        traits: [total] each, what else is kept of the actions, as ``ShardItems`` has it.
        timeline: Of the records of the days built; its places are in the arrays above, but for
            ``head``, which has to be added.
        head: How many actions known from before stand at the beginning.
        head_ends: int64 [users], where those of each user end.
        length: How many of them a user has at most.
    """

    values: pa.DictionaryArray
    times: np.ndarray
    traits: dict[str, pa.Array]
    timeline: Timeline
    head: int
    head_ends: np.ndarray
    length: int

    def before_own(self, places: np.ndarray) -> pa.LargeListViewArray:
        """Returns what came strictly before some of the timeline's own records, [n]."""
        line = self.timeline
        return self._views(line.starts[places] + self.head, line.ends[places] + self.head)

    def basket_of_own(self, places: np.ndarray) -> pa.LargeListViewArray:
        """Returns what the same second brought before some of the timeline's records, [n].

        That is at most ``length`` of them, the last ones.
        """
        own, line = self.timeline.places[places], self.timeline
        starts = np.maximum(line.ends[places], own - self.length)
        return self._views(starts + self.head, own + self.head)

    def times_of(self, history: pa.LargeListViewArray) -> pa.LargeListViewArray:
        """Returns the times of what ``before_own`` returned, Unix seconds, [n]."""
        return _beside(history, pa.array(self.times))

    def traits_of(self, history: pa.LargeListViewArray) -> dict[str, pa.LargeListViewArray]:
        """Returns the traits of what ``before_own`` returned, [n] each."""
        return {name: _beside(history, values) for name, values in self.traits.items()}

    def before(self, users: np.ndarray, days: np.ndarray, times: np.ndarray) -> pa.Array:
        """Returns what came strictly before other records, a list view [n].

        Args:
            users: The user of each, int64 [n].
            days: The day that brought it; what later days bring is not known yet.
            times: Its Unix seconds.
        """
        starts, ends = self._known(users, days)
        low, high = starts, ends
        # A search in every range at once: the first action that is not before the time.
        while (open_ := low < high).any():
            middle = (low + high) // 2
            earlier = open_ & (self.times[np.where(open_, middle, 0)] < times)
            low = np.where(earlier, middle + 1, low)
            high = np.where(open_ & ~earlier, middle, high)
        return self._views(np.maximum(starts, low - self.length), low)

    def nothing(self, count: int) -> pa.LargeListViewArray:
        """Returns so many empty lists."""
        return self._views(np.zeros(count, np.int64), np.zeros(count, np.int64))

    def states(self, users: np.ndarray, days: np.ndarray) -> list[pa.ListArray]:
        """Returns users' last actions at the end of days: values, times and traits, lists [n]."""
        starts, ends, _ = self._latest(users, days)
        places, offsets = flat_indices(starts, ends)
        places, offsets = pa.array(places), pa.array(offsets, pa.int32())
        kept = (self.values, pa.array(self.times), *self.traits.values())
        return [pa.ListArray.from_arrays(offsets, _decoded(one.take(places))) for one in kept]

    def _known(self, users: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ranges of what a day knows: the state before it, merged with its own."""
        starts, ends, rows = self._latest(users, days)
        of_day = np.flatnonzero(rows >= 0)
        of_day = of_day[self.timeline.days[rows[of_day]] == days[of_day]]
        starts[of_day] = self.timeline.known_starts[rows[of_day]] + self.head
        return starts, ends

    def _latest(
        self, users: np.ndarray, days: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the ranges of users' states at the end of days.

        Returns:
            Starts and ends, and the rows of the timeline's days they are of, -1: from before.
        """
        line = self.timeline
        keys = (line.users << _DAY_BITS) + line.days
        rows = np.searchsorted(keys, (users << _DAY_BITS) + days, side="right") - 1
        if len(keys):
            rows[line.users[rows] != users] = -1
        ends = self.head_ends[users]
        starts = np.where(users > 0, self.head_ends[users - 1], 0)
        found = np.flatnonzero(rows >= 0)
        starts[found] = line.state_starts[rows[found]] + self.head
        ends[found] = line.state_ends[rows[found]] + self.head
        return starts, ends, rows

    def _views(self, starts: np.ndarray, ends: np.ndarray) -> pa.LargeListViewArray:
        return pa.LargeListViewArray.from_arrays(
            pa.array(starts), pa.array(ends - starts), self.values
        )


def _beside(lists: pa.LargeListViewArray, values: pa.Array) -> pa.LargeListViewArray:
    """Returns lists of other values at the places of those given."""
    return pa.LargeListViewArray.from_arrays(lists.offsets, lists.sizes, values)


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def active_users(timelines: list[Timeline]) -> tuple[np.ndarray, np.ndarray]:
    """Returns who did anything on which day: users and days, int64 [n], by day, then user."""
    keys = [(line.days << _USER_BITS) + line.users for line in timelines]
    keys = np.unique(np.concatenate(keys))
    days = keys >> _USER_BITS
    return keys - (days << _USER_BITS), days


def timeline_of(records: ShardEvents, items: ShardItems, length: int) -> Timeline:
    """Puts what users did in order; see ``make_sequence``."""
    return make_timeline(items.events, records.day, records.delivery, items.carried, length)


def make_sequence(
    records: ShardEvents, items: ShardItems, length: int, timeline: Timeline | None = None
) -> Sequence:
    """Puts what users did in order, to look it up.

    Args:
        records: Events, searches or impressions.
        items: They and what was known before, numbered.
        length: How many actions a list has at most.
        timeline: What ``timeline_of`` makes of these, where that is known.
    """
    timeline = timeline or timeline_of(records, items, length)
    codes = np.concatenate([items.carried.item, timeline.items])
    places = pa.array(np.concatenate([items.carried.record, timeline.records]))
    user_count = len(records.user_ids)
    return Sequence(
        values=pa.DictionaryArray.from_arrays(pa.array(codes), items.item_ids),
        times=np.concatenate([items.carried.time, timeline.times]),
        traits={name: values.take(places) for name, values in items.traits.items()},
        timeline=timeline,
        head=len(items.carried),
        head_ends=np.searchsorted(items.carried.user, np.arange(user_count), side="right"),
        length=length,
    )
