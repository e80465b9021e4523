"""The times of a log's records, and what does not fit the day of their file."""

import dataclasses
import datetime

import numpy as np

from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.reading.log_columns import LogColumns
from twotower_tf.examples.values import SECONDS_PER_DAY
from twotower_tf.inspection.sample import Sample


@dataclasses.dataclass(frozen=True)
class Times:
    """The times of a sample's records.

    Attributes:
        column: Where they are.
        unit: What they are in (``timestamp_unit``).
        records: How many records there are.
        readable: How many of them have a time that can be read.
        first, last: The earliest and the latest, Unix seconds; None without any.
        days: The days on which there are some, ``date.toordinal``, ascending.
        late, ahead: How many are of an earlier, of a later date than their file; None where no
            day divides the files.
        midnight: How many are at midnight UTC to the second.
    """

    column: str
    unit: str
    records: int
    readable: int
    first: int | None
    last: int | None
    days: tuple[int, ...]
    late: int | None
    ahead: int | None
    midnight: int


def times_of(columns: LogColumns, unit: str, sample: Sample, calendar: Calendar) -> Times:
    """Looks at the times of a sample of a log.

    Args:
        columns: Parses its records.
        unit: What times are in (``timestamp_unit``).
        sample: The records.
        calendar: When days start.
    """
    seconds, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for one in sample.read:
        for batch in one.batches:
            found, unreadable = columns.timestamps(batch)
            readable = np.ones(len(batch), bool)
            readable[[row for row, _ in unreadable]] = False
            seconds.append(found[readable])
            if one.file.day is not None:
                shifts.append(calendar.numbers_of(seconds[-1]) - one.file.day.toordinal())
    times, shift = np.concatenate(seconds), np.concatenate(shifts)
    dated = any(file.day is not None for file in sample.files)
    return Times(
        column=columns.time_column,
        unit=unit,
        records=sample.records,
        readable=len(times),
        first=int(times.min()) if len(times) else None,
        last=int(times.max()) if len(times) else None,
        days=tuple(np.unique(calendar.numbers_of(times)).tolist()),
        late=int((shift < 0).sum()) if dated else None,
        ahead=int((shift > 0).sum()) if dated else None,
        midnight=int((times % SECONDS_PER_DAY == 0).sum()),
    )


def as_text(seconds: int) -> str:
    """Returns Unix seconds as a time that people read."""
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return time.strftime("%Y-%m-%d %H:%M:%S")
