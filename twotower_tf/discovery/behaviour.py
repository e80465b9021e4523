"""How people act, by a sample of the events: how often, in bursts, again and again."""

import dataclasses
import datetime
import math
from collections import Counter, defaultdict

from twotower_tf.discovery.roles import Events

_HOUR = 3600
_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a sample of the events says of all.

    Attributes:
        first: The first day (UTC) that was seen.
        last: The last one.
        events: About how many events there are.
        a_day: About how many a day.
        per_user: About how many a user of the sample has in all.
        again: About which share of the events is on an item that the user acted on before.
        alone: Of an event, the share of its hour's events that are of the same user, on average.
        at_once: Of an event, how many events of the same user and second there are, on average.
        copies: The share of the sampled events of the same user, item and second as another one.
        copies_by: The same share, where the named column must be alike too.
        in_day: The share of the sampled events whose day (UTC) is that of their file's path; None
            where paths have no day.
    """

    first: datetime.date
    last: datetime.date
    events: int
    a_day: float
    per_user: float
    again: float
    alone: float
    at_once: float
    copies: float
    copies_by: dict[str, float]
    in_day: float | None

    @property
    def days(self) -> int:
        """How many days there are from the first to the last."""
        return (self.last - self.first).days + 1


def behaviour_of(events: Events, order_columns: list[str]) -> Behaviour:
    """Returns what a sample says of how people act.

    Args:
        events: The events; one of their times must be readable.
        order_columns: Columns that may tell copies of an event from others of its second.
    """
    table = events.table
    seconds = events.time.time.seconds(events.time.values)
    rows = [
        (time, user, item, row)
        for row, (time, user, item) in enumerate(
            zip(seconds, events.user.column.keys, events.item.column.keys, strict=True)
        )
        if time is not None and user is not None and item is not None
    ]
    rows.sort()
    days = [_day(time) for time, _, _, _ in rows]
    of_paths = [table.sample.days[row] for _, _, _, row in rows]
    given = [(one, other) for one, other in zip(days, of_paths, strict=True) if other is not None]
    in_day = sum(one == other for one, other in given) / len(given) if given else None
    all_days = [*days, *(table.group.days if in_day and in_day > 0.5 else ())]
    first, last = min(all_days), max(all_days)
    users = len({user for _, user, _, _ in rows})
    total = max(table.sample.rows, len(rows))
    return Behaviour(
        first,
        last,
        total,
        a_day=total / ((last - first).days + 1),
        per_user=total / max(users, 1),
        again=1 - math.exp(-_same_item(rows) * total / max(users, 1) / 2),
        alone=_alone(rows),
        at_once=_at_once(rows),
        copies=_copies(rows, None),
        copies_by={
            name: _copies(rows, table.columns[name].keys)
            for name in order_columns
            if name in table.columns
        },
        in_day=in_day,
    )


def _day(seconds: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=seconds // _DAY)


def _same_item(rows: list[tuple]) -> float:
    """Returns how often two events of one user, of different seconds, are on one item.

    Of a sample of a user's events that is what it is of all of them, unlike the share of events on
    an item that was there before, which grows with what is known of the past.
    """
    by_user: dict[str, Counter] = defaultdict(Counter)
    seconds: set[tuple] = set()
    for time, user, item, _ in rows:
        if (time, user, item) not in seconds:
            seconds.add((time, user, item))
            by_user[user][item] += 1
    same = sum(n * (n - 1) for items in by_user.values() for n in items.values())
    pairs = sum(n * (n - 1) for items in by_user.values() for n in (sum(items.values()),))
    return same / max(pairs, 1)


def _alone(rows: list[tuple]) -> float:
    hours: dict[int, Counter] = defaultdict(Counter)
    for time, user, _, _ in rows:
        hours[time // _HOUR][user] += 1
    same = sum(
        sum(count * count for count in users.values()) / sum(users.values())
        for users in hours.values()
    )
    return same / max(len(rows), 1)


def _at_once(rows: list[tuple]) -> float:
    counts = Counter((time, user) for time, user, _, _ in rows)
    return sum(count * count for count in counts.values()) / max(len(rows), 1)


def _copies(rows: list[tuple], keys: list | None) -> float:
    counts = Counter((time, user, item, keys and keys[row]) for time, user, item, row in rows)
    return sum(count - 1 for count in counts.values()) / max(len(rows), 1)
