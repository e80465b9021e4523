"""Users' actions in order of time: what came strictly before each, all users of a shard at once.

Pure functions on NumPy arrays. An action's history is an index range in one array of items, in
which each user's actions stand one after the other, those known from days before at the head.

A day knows what it and the days before it brought: each user's state at the end of the day before
(the last actions by time) and its own events. With ``examples.late_events: keep`` a day may bring
events that are older than what is known already. They can't be appended; they are merged into the
state by time, and the user's actions stand in the array once more. So no example sees an event
that a later day brought, and building days one by one or in one go makes no difference.
"""

import dataclasses

import numpy as np

# The fields of a timeline that are places in its array of items.
_PLACES = ("starts", "ends", "places", "known_starts", "state_starts", "state_ends")


@dataclasses.dataclass(frozen=True)
class Actions:
    """n actions of users on items, a column each.

    Attributes:
        user: int64 [n], numbers of the shard's users.
        time: int64 [n], Unix seconds.
        item: int32 [n], numbers of items.
        order: uint64 [n], hashes of the events: which comes first of equal times.
        record: int64 [n], where each is in a table of them all, of this and other ``Actions``.
        copy: uint64 [n], what copies have alike beside user, time and item.
    """

    user: np.ndarray
    time: np.ndarray
    item: np.ndarray
    order: np.ndarray
    record: np.ndarray
    copy: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: np.ndarray | slice) -> "Actions":
        columns = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Actions(*(column[rows] for column in columns))


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The events of a shard that are no copies, and what was known before each.

    Attributes:
        items: int32 [total], the array of items that the ranges below are of.
        times: int64 [total], their times.
        records: int64 [total], ``Actions.record`` of each.
        rows: int64 [m], the events that are no copies, as places in what was given.
        starts, ends: int64 [m], the history of each: ``items[start:end]``.
        places: int64 [m], where each is itself. From ``ends`` to it are those of the same second
            that stand before it.
        users, days: int64 [u], every user and day with such an event, by user, then day.
        known_starts: int64 [u], where what is known of the user on that day begins: the state at
            the end of the day before, merged with the day's own actions up to ``state_ends``.
        state_starts, state_ends: int64 [u], the user's last actions at the end of that day.
    """

    items: np.ndarray
    times: np.ndarray
    records: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    places: np.ndarray
    users: np.ndarray
    days: np.ndarray
    known_starts: np.ndarray
    state_starts: np.ndarray
    state_ends: np.ndarray


def flat_indices(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lays ranges of indices one after the other.

    Returns:
        The indices int64 [total], and the offsets int64 [n + 1] at which each range begins.
    """
    lengths = ends - starts
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1]), offsets


def group_starts(*columns: np.ndarray) -> np.ndarray:
    """Returns where groups of equal neighbours begin, int64 [groups], of columns [n]."""
    begins = np.ones(len(columns[0]), bool)
    if len(begins):
        begins[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(begins)


def first_of_group(starts: np.ndarray, size: int) -> np.ndarray:
    """Returns for each of ``size`` rows where its group begins, of ``group_starts``."""
    return np.repeat(starts, np.diff(starts, append=size))


def make_timeline(
    events: Actions, days: np.ndarray, delivery: np.ndarray, carried: Actions, length: int
) -> Timeline:
    """Orders events, drops copies and finds histories.

    A copy has the user, item, time and ``copy`` of an event delivered before it on the same day, or
    of an action in the user's state at the end of the day before.

    Args:
        events: n events in any order.
        days: int64 [n], the day that brought each.
        delivery: int64 [n], which was delivered first.
        carried: The state of the users before the first day, each at most ``length`` actions, by
            user, oldest first.
        length: How many actions a history and a state hold at most.
    """
    rows = np.lexsort((delivery, events.copy, events.order, events.time, days, events.user))
    events, days = events[rows], days[rows]
    runs = _runs(events, days, carried)
    known = carried
    pieces: list[Timeline] = []
    for run in range(int(runs.max(initial=0)) + 1):
        chosen = runs == run
        here = events[chosen]
        if pieces:
            known = _state(known, here.user, length)
        known, piece = _merged(known, here, days[chosen], rows[chosen], length)
        pieces.append(piece)
    return _concatenated(pieces)


def _runs(events: Actions, days: np.ndarray, carried: Actions) -> np.ndarray:
    """Numbers the runs of each user's days in which every day only appends to the days before.

    Args:
        events: By user, day and time.
        days: The day of each.
        carried: What is known before.

    Returns:
        int64 [n], from 0 for each user. Only the first day of a run may hold events that are not
        later than all that is known of the user.
    """
    size = len(events)
    starts = group_starts(events.user, days)
    if not size:
        return np.zeros(0, np.int64)
    ends = np.append(starts[1:], size) - 1
    users = events.user[starts]
    new_user = np.ones(len(starts), bool)
    new_user[1:] = users[1:] != users[:-1]
    latest = _running_maximum(users, np.maximum(events.time[ends], _last_times(users, carried)))
    breaks = np.zeros(len(starts), np.int64)
    breaks[1:] = events.time[starts[1:]] <= latest[:-1]
    breaks[new_user] = 0
    total = np.cumsum(breaks)
    runs = total - np.repeat(total[new_user], np.diff(np.flatnonzero(new_user), append=len(starts)))
    return np.repeat(runs, np.diff(starts, append=size))


def _last_times(users: np.ndarray, carried: Actions) -> np.ndarray:
    """Returns the time of the last carried action of each user, 0 without one."""
    ends = np.searchsorted(carried.user, users, "right")
    times = np.zeros(len(users), np.int64)
    there = (ends > 0) & (carried.user[ends - 1] == users) if len(carried) else ends > 0
    times[there] = carried.time[ends[there] - 1]
    return times


def _running_maximum(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Returns the greatest time so far of each user; both by user."""
    # One accumulation for all: times have at most 34 bits, and a greater user comes later.
    lifted = np.maximum.accumulate((users << 34) + times)
    return lifted - (users << 34)


def _merged(
    known: Actions, events: Actions, days: np.ndarray, rows: np.ndarray, length: int
) -> tuple[Actions, Timeline]:
    """Merges a run of events into what is known, by time; see ``make_timeline``.

    Args:
        known: By user and time.
        events: By user, day, time, order, delivery.
        days: The day of each event.
        rows: Where each event is in what was given.
        length: Of a history.

    Returns:
        The actions, by user and time, and their timeline.
    """
    first_day = np.zeros(int(max(known.user.max(initial=-1), events.user.max(initial=-1))) + 1, int)
    first_event = group_starts(events.user)
    first_day[events.user[first_event]] = days[first_event]
    both = Actions(
        *(
            np.concatenate([getattr(known, field.name), getattr(events, field.name)])
            for field in dataclasses.fields(Actions)
        )
    )
    # Known actions count to the run's first day: only its events may come between them.
    both_days = np.concatenate([first_day[known.user], days])
    both_rows = np.concatenate([np.full(len(known), -1), rows])
    order = np.lexsort((both.copy, both.order, both.time, both.user))
    both, both_days, both_rows = both[order], both_days[order], both_rows[order]
    copies = _copies(both) & (both_rows >= 0)
    kept = np.flatnonzero(~copies)
    both, both_days, both_rows = both[kept], both_days[kept], both_rows[kept]
    return both, _ranges(both, both_days, both_rows, length)


def _copies(actions: Actions) -> np.ndarray:
    """Says which actions have the user, time, item and ``copy`` of the one before, bool [n]."""
    copies = np.zeros(len(actions), bool)
    copies[1:] = (
        (actions.user[1:] == actions.user[:-1])
        & (actions.time[1:] == actions.time[:-1])
        & (actions.item[1:] == actions.item[:-1])
        & (actions.copy[1:] == actions.copy[:-1])
    )
    return copies


def _ranges(actions: Actions, days: np.ndarray, rows: np.ndarray, length: int) -> Timeline:
    """Finds the ranges of a run's actions; ``rows`` are -1 for what was known before."""
    size = len(actions)
    first_of_user = first_of_group(group_starts(actions.user), size)
    first_of_time = first_of_group(group_starts(actions.user, actions.time), size)
    events = np.flatnonzero(rows >= 0)
    ends = first_of_time[events]
    day_starts = group_starts(actions.user, days)
    day_ends = np.append(day_starts[1:], size)[: len(day_starts)]
    # A day of which nothing but copies came is no day of the user.
    active = np.add.reduceat(rows >= 0, day_starts) > 0 if size else np.zeros(0, bool)
    day_starts, day_ends = day_starts[active], day_ends[active]
    return Timeline(
        items=actions.item,
        times=actions.time,
        records=actions.record,
        rows=rows[events],
        starts=np.maximum(first_of_user[events], ends - length),
        ends=ends,
        places=events,
        users=actions.user[day_starts],
        days=days[day_starts],
        known_starts=np.maximum(first_of_user[day_starts], day_starts - length),
        state_starts=np.maximum(first_of_user[day_starts], day_ends - length),
        state_ends=day_ends,
    )


def _state(actions: Actions, users: np.ndarray, length: int) -> Actions:
    """Returns the last actions of users, both by user."""
    users = users[group_starts(users)]
    ends = np.searchsorted(actions.user, users, "right")
    starts = np.maximum(np.searchsorted(actions.user, users, "left"), ends - length)
    return actions[flat_indices(starts, ends)[0]]


def _concatenated(pieces: list[Timeline]) -> Timeline:
    """Puts the timelines of runs one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    bases = np.cumsum([0] + [len(piece.items) for piece in pieces[:-1]])
    shifted = [
        dataclasses.replace(piece, **{name: getattr(piece, name) + base for name in _PLACES})
        for piece, base in zip(pieces, bases, strict=True)
    ]
    columns = {
        field.name: np.concatenate([getattr(piece, field.name) for piece in shifted])
        for field in dataclasses.fields(Timeline)
    }
    by_user_and_day = np.lexsort((columns["days"], columns["users"]))
    for name in ("users", "days", "known_starts", "state_starts", "state_ends"):
        columns[name] = columns[name][by_user_and_day]
    return Timeline(**columns)
