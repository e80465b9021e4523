"""Converts single values of raw records; what can't be converted is rejected with a reason."""

import contextlib
import dataclasses
import datetime
import decimal
import math
import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from typing import Any

SECONDS_PER_DAY = 86_400
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_SECOND = datetime.timedelta(seconds=1)
EARLIEST = datetime.datetime(1990, 1, 1, tzinfo=datetime.timezone.utc)
# Films and books are older than logs.
EARLIEST_SINCE = datetime.datetime(1000, 1, 1, tzinfo=datetime.timezone.utc)
LATEST = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
UNITS_A_SECOND = {
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}
# Data frames write whole numbers so in whose column one is missing. 007.0 is no number but a name.
WHOLE_FLOAT = r"^(-?(?:0|[1-9][0-9]*))\.0+$"
_WHOLE_FLOAT = re.compile(WHOLE_FLOAT, re.ASCII)
_INTEGER = re.compile(r"^\s*-?[0-9]{1,40}\s*$", re.ASCII)
NOTHING: frozenset[str] = frozenset()
# Numbers are stored as float32.
LARGEST = 3.4028234663852886e38
EXACT_INTEGERS = 1 << 53
_SHOWN_CHARACTERS = 60


class RejectedRecord(ValueError):
    """A record that can't be used; ``str(error)`` is the reason, one line."""


@dataclasses.dataclass(frozen=True)
class IdRules:
    """How ids are read.

    Attributes:
        missing: The texts that stand for a missing one.
        nfc: Whether their Unicode is brought to the normal form NFC.
        longest: How many bytes of UTF-8 one may have; None: any number.
    """

    missing: frozenset[str] = NOTHING
    nfc: bool = False
    longest: int | None = None


def is_missing(value: Any, missing: frozenset[str]) -> bool:
    """Says whether there is no value: None, NaN, ``""`` or a text that stands for it."""
    if type(value) is str:
        return not value or value in missing
    # Only NaN is not what it is.
    return value is None or value != value


def optional_value(
    value: Any, convert: Callable[[Any], Any], default: Any, missing: frozenset[str] = NOTHING
) -> Any:
    """Converts a value; returns the default for one that is missing."""
    return default if is_missing(value, missing) else convert(value)


def list_value(
    value: Any,
    column: str,
    convert: Callable[[Any], Any],
    separator: str | None,
    missing: frozenset[str] = NOTHING,
) -> list:
    """Converts a list, or text with a separator, element by element; a missing one is empty."""
    if is_missing(value, missing):
        return []
    if isinstance(value, str) and separator is not None:
        # Separators at the ends, or two in a row, are a matter of spelling.
        return [convert(part) for part in value.split(separator) if not is_missing(part, missing)]
    if isinstance(value, (list, tuple)):
        # Serving pads lists with "": a list in an example must not hold it.
        # What is wrong with NaN is said by who converts it.
        if any(is_missing(one, missing) for one in value if not isinstance(one, float)):
            raise rejected(value, column, "a list without empty values")
        return [convert(element) for element in value]
    return [convert(value)]


def id_value(value: Any, column: str, rules: IdRules) -> str:
    """Returns an id as text: not missing, valid Unicode, not too long."""
    right = "an id: text that is not empty, or a whole number"
    if is_missing(value, rules.missing):
        raise _missing(value, column, right)
    text = id_text(value, column, rules.nfc) if type(value) is str else _whole_number(value)
    if not text:
        raise rejected(value, column, right)
    size = len(text) if text.isascii() else len(_utf8(text, column))
    if rules.longest is not None and size > rules.longest:
        raise rejected(value, column, f"an id of at most {rules.longest} bytes ({size} are given)")
    return text


def id_text(value: Any, column: str, nfc: bool) -> str:
    """Returns the text of an id: whole numbers as such (``6`` of ``6.0``), in NFC if asked."""
    text = text_value(value, column)
    if not text.isascii():
        return unicodedata.normalize("NFC", text) if nfc else text
    if text[-1:] == "0" and (whole := _WHOLE_FLOAT.match(text)):
        return "0" if whole[1] == "-0" else whole[1]
    return text


def prose_value(value: Any, column: str) -> str:
    """Returns text to be read for its words; of a list of texts, all of them, a line each."""
    if isinstance(value, (list, tuple)):
        return "\n".join(text_value(one, column) for one in value if not is_missing(one, NOTHING))
    return text_value(value, column)


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


def divisor_value(value: Any, column: str, missing: frozenset[str] = NOTHING) -> float | None:
    """Returns a number, None where it is missing."""
    return None if is_missing(value, missing) else number_value(value, column)


class Time:
    """Converts a time to whole Unix seconds, rounded down.

    Args:
        column: Where it is from, for the reasons.
        unit: One of ``UNITS_A_SECOND``, ``iso8601`` or a pattern of ``strptime``: what numbers and
            text mean.
        earliest: No time may be before; nor from 2100 on.
        zone: Of text and Arrow's or Python's times that don't say theirs.
        missing: The texts that stand for a missing one.

    Attributes:
        unit: As given.
        missing: As given.
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
        missing: frozenset[str] = NOTHING,
    ):
        self.unit = unit
        self.missing = missing
        self.zone = zone
        self.earliest = (earliest - _EPOCH) // _SECOND
        self.latest = (LATEST - _EPOCH) // _SECOND
        self._column = column
        self._range = f"between {earliest.date()} and {LATEST.date()}"

    def __call__(self, value: Any) -> int:
        if type(value) is str and value in self.missing:
            raise _missing(value, self._column, f"a time {self._range}")
        if isinstance(value, datetime.date):
            seconds = unix_seconds(value, self.zone)
        elif self.unit == "iso8601":
            seconds = self._from_text(value)
        elif self.is_pattern:
            seconds = self._from_pattern(value)
        else:
            seconds = self._from_number(value)
        if not self.earliest <= seconds < self.latest:
            raise rejected(value, self._column, f"a time {self._range}")
        return seconds

    @property
    def is_pattern(self) -> bool:
        """Whether the unit is a pattern of ``strptime``."""
        return "%" in self.unit

    def _from_pattern(self, value: Any) -> int:
        # 20260131 is a number in JSON.
        text = _whole_number(value) or value
        if isinstance(text, str):
            with contextlib.suppress(ValueError):
                return unix_seconds(datetime.datetime.strptime(text.strip(), self.unit), self.zone)
        raise rejected(value, self._column, f"a time like {self.unit} (timestamp_unit)")

    def _from_text(self, value: Any) -> int:
        if isinstance(value, str):
            text = value.strip()
            if text[-1:] in ("Z", "z"):
                text = text[:-1] + "+00:00"
            elif text[-4:] == " UTC":
                text = text[:-4] + "+00:00"
            with contextlib.suppress(ValueError):
                return unix_seconds(datetime.datetime.fromisoformat(text), self.zone)
        right = "a time such as 2026-01-31T12:00:00Z (iso8601)"
        with contextlib.suppress(RejectedRecord):
            right += self._looks_like(number_value(value, ""))
        raise rejected(value, self._column, right)

    def _from_number(self, value: Any) -> int:
        right = f"a time in Unix {self.unit}"
        try:
            number = number_value(None if isinstance(value, bool) else value, "")
        except RejectedRecord:
            right += "; for dates as text set timestamp_unit: iso8601"
            raise rejected(value, self._column, right) from None
        # float64 has too few digits for nanoseconds.
        exact = _exact_integer(value)
        scale = UNITS_A_SECOND[self.unit]
        seconds = math.floor(number / scale) if exact is None else exact // scale
        if not self.earliest <= seconds < self.latest and (hint := self._looks_like(number)):
            raise rejected(value, self._column, right + hint)
        return seconds

    def _looks_like(self, number: float) -> str:
        """Says in which unit a number would be a time, if in any."""
        for unit, scale in UNITS_A_SECOND.items():
            if self.earliest <= number / scale < self.latest:
                return f", but this looks like {unit}; set timestamp_unit: {unit}"
        return ""


def _exact_integer(value: Any) -> int | None:
    """Returns a whole number that is written as such."""
    if isinstance(value, str) and _INTEGER.match(value):
        return int(value)
    if isinstance(value, decimal.Decimal) and value == int(value):
        return int(value)
    return value if isinstance(value, int) else None


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


def _missing(value: Any, column: str | None, right: str) -> RejectedRecord:
    """Words that there is no value, where a text may stand for that."""
    if type(value) is str and value:
        return RejectedRecord(
            f"column '{column}' is {value!r}, which stands for a missing value; it must be {right}"
        )
    return rejected(value, column, right)


def rejected(value: Any, column: str | None, right: str) -> RejectedRecord:
    """Words why a value can't be used: the column, what was given, what would be right."""
    if value is None:
        return RejectedRecord(f"column '{column}' is missing; it must be {right}")
    given = repr(value)
    if len(given) > _SHOWN_CHARACTERS:
        given = given[: _SHOWN_CHARACTERS - 3] + "..."
    return RejectedRecord(f"column '{column}' is {given}; it must be {right}")
