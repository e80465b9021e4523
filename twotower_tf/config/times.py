"""How a configuration says what times mean: their unit, their zone, when a day starts."""

import datetime
import re
import zoneinfo
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from twotower_tf.config.section import nearest

_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds", "iso8601")
_DAY_START = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]) (.+)")
MIDNIGHT = "00:00 UTC"


def _check_unit(unit: str) -> str:
    if unit not in _UNITS and "%" not in unit:
        raise ValueError(
            f"must be one of {', '.join(_UNITS)} or a pattern such as '%d/%m/%Y %H:%M', "
            f"got '{unit}'{nearest(unit, _UNITS)}"
        )
    if "%" in unit:
        _check_pattern(unit)
    return unit


def _check_pattern(pattern: str) -> None:
    time = datetime.datetime(2024, 3, 1, 12, 30, 45, tzinfo=datetime.timezone.utc)
    try:
        found = datetime.datetime.strptime(time.strftime(pattern), pattern)
    except (ValueError, re.error) as error:
        raise ValueError(f"'{pattern}' is no pattern of strptime: {error}") from error
    if (found.year, found.month, found.day) != (2024, 3, 1):
        raise ValueError(f"'{pattern}' does not say year, month and day")


TimeUnit = Annotated[
    str,
    AfterValidator(_check_unit),
    Field(title=" / ".join(f"`{unit}`" for unit in _UNITS) + " / pattern of `strptime`"),
]


def _check_time_zone(name: str) -> str:
    # Not all that a name can be wrong in is a ZoneInfoNotFoundError: "..", "Europe", "a\0".
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(name, sorted(zoneinfo.available_timezones()))
        raise ValueError(
            f"there is no time zone {name!r}{hint}; give an IANA name such as Europe/Zurich"
        ) from None
    return name


TimeZone = Annotated[str, AfterValidator(_check_time_zone), Field(title="IANA name")]


def _check_day_start(given):
    # YAML reads 04:00 alone as 240.
    match = _DAY_START.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError(
            "must be a clock time, HH:MM, and a time zone, such as '04:00 America/New_York', "
            f"got {given!r}"
        )
    _check_time_zone(match[3])
    return given


DayStart = Annotated[str, BeforeValidator(_check_day_start), Field(title="`HH:MM` and IANA name")]


def parse_day_start(day_starts: str) -> tuple[datetime.time, zoneinfo.ZoneInfo]:
    """Returns the clock time and the zone of a ``DayStart``."""
    hour, minute, zone = _DAY_START.fullmatch(day_starts).groups()
    return datetime.time(int(hour), int(minute)), zoneinfo.ZoneInfo(zone)
