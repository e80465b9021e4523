"""Converts single values of raw records; what can't be converted is rejected with a reason."""

import contextlib
import datetime
import decimal
import math
import zoneinfo
from collections.abc import Callable
from typing import Any

SECONDS_PER_DAY = 86_400
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_SECOND = datetime.timedelta(seconds=1)
EARLIEST = datetime.datetime(1990, 1, 1, tzinfo=datetime.timezone.utc)
# Films and books are older than logs.
EARLIEST_SINCE = datetime.datetime(1000, 1, 1, tzinfo=datetime.timezone.utc)
_LATEST = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
UNITS_A_SECOND = {"seconds": 1, "milliseconds": 1000}
# Numbers are stored as float32.
LARGEST = 3.4028234663852886e38
EXACT_INTEGERS = 1 << 53
_SHOWN_CHARACTERS = 60


class RejectedRecord(ValueError):
    """A record that can't be used; ``str(error)`` is the reason, one line."""


def optional_value(value: Any, convert: Callable[[Any], Any], default: Any) -> Any:
    """Converts a value; returns the default for None and ``""``."""
    return default if value is None or value == "" else convert(value)


def list_value(
    value: Any, column: str, convert: Callable[[Any], Any], separator: str | None
) -> list:
    """Converts a list, or text with a separator, element by element; None gives an empty one."""
    if value is None or value == "":
        return []
    if isinstance(value, str) and separator is not None:
        # Separators at the ends, or two in a row, are a matter of spelling.
        return [convert(part) for part in value.split(separator) if part]
    if isinstance(value, (list, tuple)):
        # Serving pads lists with "": a list in an example must not hold it.
        if None in value or "" in value:
            raise rejected(value, column, "a list without empty values")
        return [convert(element) for element in value]
    return [convert(value)]


def id_value(value: Any, column: str, longest: int) -> str:
    """Returns an id as text: not empty, valid Unicode, at most ``longest`` bytes as UTF-8."""
    text = value if type(value) is str else _whole_number(value)
    if not text:
        raise rejected(value, column, "an id: text that is not empty, or a whole number")
    size = len(text) if text.isascii() else len(_utf8(text, column))
    if size > longest:
        raise rejected(value, column, f"an id of at most {longest} bytes ({size} are given)")
    return text


def text_value(value: Any, column: str) -> str:
    """Returns text as it is, and whole numbers and booleans as text."""
    if type(value) is str:
        if not value.isascii():
            _utf8(value, column)
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _whole_number(value)
    if text is None:
        raise rejected(value, column, "text or a whole number")
    return text


def _utf8(text: str, column: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise rejected(text, column, "valid Unicode (it has half of a surrogate pair)") from None


def _whole_number(value: Any) -> str | None:
    """Returns a whole number as decimal text, None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGERS:
        return str(int(value))
    if isinstance(value, decimal.Decimal) and value.is_finite() and value == int(value):
        return str(int(value))
    return None


def number_value(value: Any, column: str) -> float:
    """Returns a number that is finite and fits float32."""
    number = math.nan
    if isinstance(value, (float, int, str, decimal.Decimal)):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
    if not -LARGEST <= number <= LARGEST:
        raise rejected(value, column, "a finite number")
    return number


def divisor_value(value: Any, column: str) -> float | None:
    """Returns a number, None where it is missing."""
    return None if value is None or value == "" else number_value(value, column)


class Time:
    """Converts a time to whole Unix seconds, rounded down.

    Args:
        column: Where it is from, for the reasons.
        unit: ``seconds``, ``milliseconds`` or ``iso8601``: what numbers and text mean.
        earliest: No time may be before; nor from 2100 on.
        zone: Of text and Arrow's or Python's times that don't say theirs.

    Attributes:
        unit: As given.
        zone: As given.
        earliest: Unix seconds.
        latest: Unix seconds; the first that is too late.
    """

    def __init__(
        self,
        column: str | None,
        unit: str,
        earliest: datetime.datetime,
        zone: zoneinfo.ZoneInfo,
    ):
        self.unit = unit
        self.zone = zone
        self.earliest = (earliest - _EPOCH) // _SECOND
        self.latest = (_LATEST - _EPOCH) // _SECOND
        self._column = column
        self._range = f"between {earliest.date()} and {_LATEST.date()}"

    def __call__(self, value: Any) -> int:
        if isinstance(value, datetime.date):
            seconds = unix_seconds(value, self.zone)
        elif self.unit == "iso8601":
            seconds = self._from_text(value)
        else:
            seconds = self._from_number(value)
        if not self.earliest <= seconds < self.latest:
            raise rejected(value, self._column, f"a time {self._range}")
        return seconds

    def _from_text(self, value: Any) -> int:
        if isinstance(value, str):
            text = value.strip()
            if text[-1:] in ("Z", "z"):
                text = text[:-1] + "+00:00"
            with contextlib.suppress(ValueError):
                return unix_seconds(datetime.datetime.fromisoformat(text), self.zone)
        raise rejected(value, self._column, "a time such as 2026-01-31T12:00:00Z (iso8601)")

    def _from_number(self, value: Any) -> int:
        right = f"a time in Unix {self.unit}"
        try:
            number = number_value(None if isinstance(value, bool) else value, "")
        except RejectedRecord:
            right += "; for dates as text set timestamp_unit: iso8601"
            raise rejected(value, self._column, right) from None
        seconds = math.floor(number / UNITS_A_SECOND[self.unit])
        if not self.earliest <= seconds < self.latest:
            for unit, scale in UNITS_A_SECOND.items():
                if self.earliest <= number / scale < self.latest:
                    right += f", but this looks like {unit}; set timestamp_unit: {unit}"
                    raise rejected(value, self._column, right)
        return seconds


def unix_seconds(time: datetime.date, zone: datetime.tzinfo) -> int:
    """Converts a date (its midnight) or a datetime; one that doesn't say its zone is of ``zone``.

    A local time that comes twice, when clocks go back, is the first of the two; one that never
    comes, when they go forward, is what the clock would have shown had it not been changed yet.
    """
    if not isinstance(time, datetime.datetime):
        time = datetime.datetime(time.year, time.month, time.day)
    if time.tzinfo is None:
        time = time.replace(tzinfo=zone, fold=0)
    return (time - _EPOCH) // _SECOND


def rejected(value: Any, column: str | None, right: str) -> RejectedRecord:
    """Words why a value can't be used: the column, what was given, what would be right."""
    if value is None:
        return RejectedRecord(f"column '{column}' is missing; it must be {right}")
    given = repr(value)
    if len(given) > _SHOWN_CHARACTERS:
        given = given[: _SHOWN_CHARACTERS - 3] + "..."
    return RejectedRecord(f"column '{column}' is {given}; it must be {right}")
