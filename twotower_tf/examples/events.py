"""Reads the events of a file: parsed, checked, joined with their items, of the days to build.

Which day a record belongs to: an event to the UTC date of its time. In a source with ``{date}``
all records belong to their file's day, and an event of another date is rejected (late, or ahead
of its time). In a file that no day divides, events of days that are not being built are passed
over, and records without a readable time belong to the day of the file's earliest readable one:
so it makes no difference whether days are built one by one or in one go.
"""

import collections
import dataclasses
import datetime
import os
from collections.abc import Iterator

from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.errors import InputError
from twotower_tf.examples.catalogue import age_in_days
from twotower_tf.examples.plan import Plan, day_number
from twotower_tf.examples.records import Event, EventParser, reward
from twotower_tf.examples.rejects import rejected_line
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.values import RejectedRecord


@dataclasses.dataclass(frozen=True, slots=True)
class Rejected:
    """A record that can't be used.

    Attributes:
        day: The day it belongs to.
        line: It, why and where from, as a line of JSON.
    """

    day: int
    line: str


class EventReader:
    """Reads event files.

    Attributes:
        read: How many records of each day to build were read so far.
    """

    def __init__(self, plan: Plan):
        self.read: collections.Counter[int] = collections.Counter()
        self._plan = plan
        self._parser = EventParser(plan.config)
        self._reward = plan.config.examples.reward
        self._keep_unknown = plan.config.examples.unknown_items == "keep"
        self._ages = [
            (raw.name, raw.default)
            for raw in raw_features(plan.config, "query")
            if raw.of == "event" and raw.since is not None
        ]

    def read_file(self, file: SourceFile) -> Iterator[tuple[int, tuple | Rejected]]:
        """Yields a line or row number with the event (see ``_use``) or why it was rejected.

        Raises:
            InputError: If the file can't be opened, or if it has records, no day divides it and
                not one has a readable time.
        """
        if file.day is not None:
            return self._read_dated(file, file.day.toordinal())
        return self._read_undivided(file)

    def _read_dated(self, file: SourceFile, day: int) -> Iterator[tuple[int, tuple | Rejected]]:
        for number, record in read_records(file):
            self.read[day] += 1
            try:
                event = self._parsed(record)
                event_day = day_number(event.timestamp)
                if event_day != day:
                    raise RejectedRecord(_other_day(event_day, day))
                yield number, self._use(event, day)
            except RejectedRecord as error:
                yield number, self._rejected(file, number, record, str(error), day)

    def _read_undivided(self, file: SourceFile) -> Iterator[tuple[int, tuple | Rejected]]:
        timeless: list[tuple] = []
        earliest: int | None = None
        days = self._plan.day_set
        for number, record in read_records(file):
            try:
                timestamp = self._timestamp(record)
            except RejectedRecord as error:
                timeless.append((number, record, str(error)))
                continue
            earliest = timestamp if earliest is None else min(earliest, timestamp)
            day = day_number(timestamp)
            if day not in days:
                continue
            self.read[day] += 1
            try:
                yield number, self._use(self._parsed(record), day)
            except RejectedRecord as error:
                yield number, self._rejected(file, number, record, str(error), day)
        if not timeless:
            return
        if earliest is None:
            number, _, reason = timeless[0]
            path = os.path.relpath(file.path, self._plan.root)
            raise InputError(
                f"{path} has not one record with a readable time; the first, {path}:{number}: "
                f"{reason} (source.events.columns.timestamp, source.events.timestamp_unit)"
            )
        day = day_number(earliest)
        if day in days:
            self.read[day] += len(timeless)
            for number, record, reason in timeless:
                yield number, self._rejected(file, number, record, reason, day)

    def _timestamp(self, record: dict | Unreadable) -> int:
        if isinstance(record, Unreadable):
            raise RejectedRecord(record.reason)
        return self._parser.timestamp(record)

    def _parsed(self, record: dict | Unreadable) -> Event:
        if isinstance(record, Unreadable):
            raise RejectedRecord(record.reason)
        return self._parser.parse(record)

    def _use(self, event: Event, day: int) -> tuple:
        """Joins an event with its item.

        Returns:
            ``(user_id, timestamp, item_id, seed_item_id, history, reward, candidate, values)``:
            ``candidate`` the item's encoded features, ``values`` those of the event by name. A
            tuple, since Beam moves tuples much faster than objects.
        """
        items = self._plan.items_of(day)
        if not self._keep_unknown and event.item_id not in items:
            raise RejectedRecord(
                f"item_id '{event.item_id}' is not in the catalogue as of "
                f"{datetime.date.fromordinal(day)} (examples.unknown_items: reject)"
            )
        amount = reward(self._reward, event, items.reward_values(event.item_id))
        values = event.values
        for name, default in self._ages:
            values[name] = age_in_days(event.timestamp, values[name], default)
        return (
            event.user_id,
            event.timestamp,
            event.item_id,
            event.seed_item_id,
            event.history,
            amount,
            items.encode(event.item_id, event.timestamp),
            values,
        )

    def _rejected(
        self, file: SourceFile, number: int, record: dict | Unreadable, reason: str, day: int
    ) -> Rejected:
        shown = record.raw if isinstance(record, Unreadable) else record
        return Rejected(day, rejected_line(self._plan.root, file.path, number, shown, reason))


def _other_day(event_day: int, day: int) -> str:
    actual, expected = datetime.date.fromordinal(event_day), datetime.date.fromordinal(day)
    kind = "late" if event_day < day else "ahead of its time"
    return f"{kind}: an event of {actual} in a file of {expected}"
