"""Days as people and folders write them."""

import datetime
import re

from twotower_tf.errors import InputError

_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_day(text: str, what: str = "day") -> datetime.date:
    """Returns the date written as YYYY-MM-DD; raises InputError naming ``what`` otherwise."""
    try:
        # Python 3.11 would take other ISO forms too, such as 2026-W01-1.
        if not _WRITTEN.fullmatch(text):
            raise ValueError(text)
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{what} must be a date as YYYY-MM-DD, got '{text}'") from error


def day_range(start: datetime.date, end: datetime.date) -> list[datetime.date]:
    """Returns every day from start to end, both included, oldest first."""
    return [start + datetime.timedelta(days=n) for n in range((end - start).days + 1)]
