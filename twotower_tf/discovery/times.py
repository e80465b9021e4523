"""In which unit, or by which pattern, the values of a column are times."""

import dataclasses
import datetime
import itertools
import re
import zoneinfo
from collections.abc import Sequence
from typing import Any

from twotower_tf.examples.values import (
    EARLIEST,
    EARLIEST_SINCE,
    UNITS_A_SECOND,
    RejectedRecord,
    Time,
)

_UTC = zoneinfo.ZoneInfo("UTC")
_LOOKED_AT = 400
_MOST = 0.98
_DAYS = (
    "%Y%m%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d %b %Y",
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_PATTERNS = (
    *(day + clock for day, clock in itertools.product(_DAYS, _CLOCKS)),
    "%Y%m%d%H%M%S",
    "%b %d, %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a %b %d %H:%M:%S %z %Y",
)
_DIGITS = re.compile(r"\s*\d{8}(\d{6})?\s*")
_ZONE = re.compile(r"(Z|z| UTC|[+-]\d{2}:?\d{2})\s*$")
_CLOCK = re.compile(r"\d:\d\d")
NATIVE = "native"


@dataclasses.dataclass(frozen=True)
class TimeForm:
    """How times are written.

    Attributes:
        unit: As ``timestamp_unit``, or ``native`` for times that need none.
        others: Units that the values are times in as well.
        has_zone: Whether the values say their zone.
        days_only: Whether all of them are midnights.
    """

    unit: str
    others: tuple[str, ...] = ()
    has_zone: bool = True
    days_only: bool = False

    @property
    def is_number(self) -> bool:
        """Whether they are numbers, which other columns may be by chance."""
        return self.unit in UNITS_A_SECOND

    def seconds(self, values: Sequence[Any], earliest=EARLIEST_SINCE) -> list[int | None]:
        """Returns Unix seconds; None where a value is no time."""
        convert = Time("", "iso8601" if self.unit == NATIVE else self.unit, earliest, _UTC)
        return [_converted(convert, value) for value in values]


def time_form(values: Sequence[Any], of_events: bool = True) -> TimeForm | None:
    """Returns how values are times; None if they are none.

    Args:
        values: None of them missing.
        of_events: Whether they must be of a time since which there are logs.
    """
    some = [values[place * len(values) // _LOOKED_AT] for place in range(_LOOKED_AT)]
    some = some if len(values) > _LOOKED_AT else list(values)
    if not some:
        return None
    earliest = EARLIEST if of_events else EARLIEST_SINCE
    if all(isinstance(value, datetime.date) for value in some):
        form = TimeForm(NATIVE, has_zone=getattr(some[0], "tzinfo", None) is not None)
        return _with_days(form, some)
    fitting = [unit for unit in _units_for(some) if _fits(some, unit, earliest)]
    if not fitting:
        return None
    texts = [str(value) for value in some]
    zoned = fitting[0] in UNITS_A_SECOND or all(map(_ZONE.search, texts))
    return _with_days(TimeForm(fitting[0], tuple(fitting[1:]), zoned), some)


def _with_days(form: TimeForm, some: list) -> TimeForm:
    seconds = form.seconds(some)
    midnights = all(one is None or one % 86_400 == 0 for one in seconds)
    return dataclasses.replace(form, days_only=midnights)


def _units_for(some: list) -> Sequence[str]:
    if all(isinstance(value, str) and _DIGITS.fullmatch(value) for value in some):
        return ("%Y%m%d", "%Y%m%d%H%M%S", *UNITS_A_SECOND)
    if all(isinstance(value, int | float) or _is_number(value) for value in some):
        return () if isinstance(some[0], bool) else (*UNITS_A_SECOND, "%Y%m%d", "%Y%m%d%H%M%S")
    if not all(isinstance(value, str) for value in some):
        return ()
    if not all(any(map(str.isdigit, value)) for value in some[:20]):
        return ()
    return ("iso8601", *_PATTERNS)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _fits(some: list, unit: str, earliest: datetime.datetime) -> bool:
    convert = Time("", unit, earliest, _UTC)
    # Most units are refused by the first values.
    if not any(_converted(convert, value) is not None for value in some[:5]):
        return False
    good = sum(_converted(convert, value) is not None for value in some)
    return good >= _MOST * len(some)


def _converted(convert: Time, value: Any) -> int | None:
    try:
        return convert(value)
    except (RejectedRecord, OverflowError):
        return None
