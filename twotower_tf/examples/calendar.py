"""When the days of a deployment start and end (``source.day_starts``), and of which day a time is.

The only place that turns times into days. A day is named by the date that its start has where its
clock is; it lasts 23 or 25 hours where the clocks are changed on it.
"""

import datetime
import functools

import numpy as np

from twotower_tf.config import Config
from twotower_tf.config.times import MIDNIGHT, parse_day_start
from twotower_tf.examples.values import EARLIEST, LATEST, SECONDS_PER_DAY, unix_seconds

_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_ONE = datetime.timedelta(days=1)


class Calendar:
    """The days of a deployment.

    Args:
        day_starts: When a day starts, as ``"04:00 America/New_York"``. In an hour that comes twice,
            when clocks go back, it is the first of the two; where clocks go forward over it, what
            they would have shown had they not been changed yet.
    """

    def __init__(self, day_starts: str = MIDNIGHT):
        self._day_starts = day_starts
        self._clock, self._zone = parse_day_start(day_starts)

    @classmethod
    def of(cls, config: Config) -> "Calendar":
        """Returns the days of a configuration."""
        return cls(config.source.day_starts)

    def start_of(self, day: datetime.date) -> int:
        """Returns the Unix seconds at which a day starts: its first."""
        return unix_seconds(datetime.datetime.combine(day, self._clock), self._zone)

    def end_of(self, day: datetime.date) -> int:
        """Returns the Unix seconds at which a day ends: the first of the next one."""
        return self.start_of(day + _ONE)

    def numbers_of(self, timestamps: np.ndarray) -> np.ndarray:
        """Returns the days (``date.toordinal``) of times, Unix seconds of 1990 to 2100, [n]."""
        if self._day_starts == MIDNIGHT:
            return timestamps // SECONDS_PER_DAY + _EPOCH_DAY
        first, starts = _starts(self._day_starts)
        return np.searchsorted(starts, timestamps, side="right") + (first - 1)

    def day_of(self, timestamp: int) -> datetime.date:
        """Returns the day of a time in Unix seconds."""
        return datetime.date.fromordinal(int(self.numbers_of(np.array([timestamp]))[0]))

    def today(self) -> datetime.date:
        """Returns the day that it is now."""
        return self.day_of(int(datetime.datetime.now(datetime.timezone.utc).timestamp()))

    def hours_of(self, day: datetime.date) -> list[int]:
        """Returns the hours that the clock shows on a day, in order, each once."""
        seconds = range(self.start_of(day), self.end_of(day), 60 * 30)
        clocks = (datetime.datetime.fromtimestamp(second, self._zone) for second in seconds)
        return list(dict.fromkeys(clock.hour for clock in clocks))

    def __str__(self) -> str:
        return self._day_starts


@functools.lru_cache
def _starts(day_starts: str) -> tuple[int, np.ndarray]:
    """Returns the first day that times may be of, and when it and each after it start, int64."""
    calendar = Calendar(day_starts)
    first = EARLIEST.date() - 2 * _ONE
    days = ((first + _ONE * n) for n in range((LATEST.date() - first).days + 2))
    return first.toordinal(), np.fromiter(map(calendar.start_of, days), np.int64)
