"""A group of files as a table: what its columns hold, by a sample."""

import dataclasses
import datetime
import functools
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from twotower_tf.config.source import USUAL_MISSING
from twotower_tf.discovery import words
from twotower_tf.discovery.file_groups import FileGroup
from twotower_tf.discovery.samples import Sample
from twotower_tf.discovery.times import TimeForm, time_form
from twotower_tf.examples.values import id_text, is_missing

_MISSING = frozenset(USUAL_MISSING)
_MOST = 0.98
_LONGEST_ID = 128
_AGAIN = 0.5
_LOOKED_AT = 4000


class Column:
    """What a column holds.

    Args:
        name: As the configuration would name it.
        values: One a record, as it was read.

    Attributes:
        name: As given.
        values: As given, None where there is none.
        filled: Those that are there.
        records: How many records there are.
    """

    def __init__(self, name: str, values: list[Any]):
        self.name = name
        self.values = [None if _is_nothing(value) else value for value in values]
        self.filled = [value for value in self.values if value is not None]
        self.records = len(values)

    @functools.cached_property
    def kind(self) -> str:
        """What nearly all values are: ``number``, ``text``, ``time``, ``list``, ``vector``,
        ``boolean`` or, of nothing, of objects or of all sorts, ``other``."""
        if not self.filled:
            return "other"
        some = self.some(_LOOKED_AT)
        kinds = Counter(map(_kind_of, some))
        kind, times = kinds.most_common(1)[0]
        if times < _MOST * len(some):
            return "text" if set(kinds) <= {"text", "number"} else "other"
        if kind == "list" and self._is_vector():
            return "vector"
        return kind

    def _is_vector(self) -> bool:
        lengths = {len(value) for value in self.some(_LOOKED_AT) if isinstance(value, list)}
        some = [one for value in self.filled[:100] for one in value]
        return len(lengths) == 1 and min(lengths) > 2 and all(type(one) is float for one in some)

    def some(self, count: int) -> list[Any]:
        """Returns about so many of the values that are there, from the first to the last."""
        return self.filled[:: max(1, len(self.filled) // count)]

    @functools.cached_property
    def keys(self) -> list[str | None]:
        """The values as ids, of lists None."""
        return [_key(value) for value in self.values]

    @functools.cached_property
    def counts(self) -> Counter:
        """How often each id is there."""
        return Counter(key for key in self.keys if key is not None)

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counts)

    @functools.cached_property
    def numbers(self) -> list[float]:
        """The values as numbers, those that are."""
        return [number for value in self.filled if (number := as_number(value)) is not None]

    @functools.cached_property
    def is_whole(self) -> bool:
        """Whether all numbers are whole."""
        return bool(self.numbers) and all(number.is_integer() for number in self.numbers)

    @property
    def median(self) -> float:
        """Of the numbers."""
        return statistics.median(self.numbers)

    @property
    def fill(self) -> float:
        """The share of records that have a value."""
        return len(self.filled) / max(self.records, 1)

    @functools.cached_property
    def time(self) -> TimeForm | None:
        """How the values are times an event may have."""
        return time_form(self.filled) if self.kind in ("number", "text", "time") else None

    @functools.cached_property
    def is_time(self) -> bool:
        """Whether the values are times of events: of numbers the name must say so, too."""
        called = words.said(self.name, words.TIME | words.PUBLISHED) > 0
        return self.time is not None and (called or not self.time.is_number)

    @functools.cached_property
    def past_time(self) -> TimeForm | None:
        """How the values are times since the Middle Ages."""
        may_be = self.kind in ("text", "time") or self.is_time
        return time_form(self.filled, of_events=False) if may_be else None

    @functools.cached_property
    def may_be_id(self) -> bool:
        """Whether the values may be ids: text or whole numbers, two of them at least, not long."""
        if self.kind not in ("text", "number") or self.distinct < 2:
            return False
        if self.kind == "number" and not self.is_whole:
            return False
        return max(map(len, self.counts)) <= _LONGEST_ID

    @property
    def is_key(self) -> bool:
        """Whether each record has a value of its own."""
        return self.fill >= _MOST and self.distinct >= _MOST * len(self.filled)

    def examples(self, count: int = 3) -> list[str]:
        """Returns the most frequent values, for messages."""
        return [key for key, _ in self.counts.most_common(count)]


@dataclasses.dataclass(frozen=True)
class Table:
    """A group of files, by a sample of its records.

    Attributes:
        group: The files.
        sample: The records.
        list_column: The list of objects that records are taken apart by, if they are.
    """

    group: FileGroup
    sample: Sample
    list_column: str | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.group.name

    @functools.cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by name."""
        records = self.sample.records
        names = dict.fromkeys(name for record in records for name in record)
        return {name: Column(name, [record.get(name) for record in records]) for name in names}

    def as_snapshots(self) -> "Table":
        """Returns only the last day of it, if each day has the same rows again: a catalogue."""
        days = self.group.days
        if len(days) < 2:
            return self
        pairs = list(zip(self.sample.records, self.sample.days, strict=True))
        last = [record for record, day in pairs if day == days[-1]]
        first = [record for record, day in pairs if day == days[0]]
        sample = dataclasses.replace(
            self.sample,
            records=last,
            days=[days[-1]] * len(last),
            rows=max(len(last), round(self.sample.rows / len(days))),
        )
        snapshot = Table(self.group, sample)
        for column in snapshot.columns.values():
            before = Column(column.name, [record.get(column.name) for record in first])
            again = sum(key in column.counts for key in before.counts)
            are_keys = column.may_be_id and column.is_key and before.is_key
            if are_keys and again > _AGAIN * len(before.counts):
                return snapshot
        return self

    @property
    def has_header(self) -> bool:
        """Whether the columns have names of their own."""
        return self.group.layout.layout.header is None


def depends_on(value: Column, key: Column, most: float = _MOST) -> bool:
    """Says whether records of one key have one value."""
    pairs = Counter(zip(key.keys, value.keys, strict=True))
    records: dict[str, int] = {}
    agreeing: dict[str, int] = {}
    for (of, one), count in pairs.items():
        if one is not None and of is not None:
            records[of] = records.get(of, 0) + count
            agreeing[of] = max(agreeing.get(of, 0), count)
    repeated = [of for of, count in records.items() if count > 1]
    total = sum(records[of] for of in repeated)
    return total > 0 and sum(agreeing[of] for of in repeated) >= most * total


def as_number(value: Any) -> float | None:
    """Returns a finite number, of text too; None of anything else."""
    if isinstance(value, bool | datetime.date | list):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 1e38 else None


def _is_nothing(value: Any) -> bool:
    return len(value) == 0 if isinstance(value, list | tuple) else is_missing(value, _MISSING)


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, datetime.date):
        return "time"
    if isinstance(value, list | tuple):
        return "other" if isinstance(value[0], Mapping) else "list"
    return "text" if as_number(value) is None else "number"


def _key(value: Any) -> str | None:
    if type(value) is str:
        return id_text(value, "", nfc=False) if max(value) < "\ud800" else value
    if value is None or isinstance(value, list | tuple):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
