"""An age: the days from a time in the source to the event."""

import dataclasses
import zoneinfo
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config.source import Files
from twotower_tf.examples.value_types.number import Number
from twotower_tf.examples.values import EARLIEST_SINCE, SECONDS_PER_DAY, Time, optional_value


@dataclasses.dataclass(frozen=True)
class Age(Number):
    """The days from a time to the event, at least 0; stored is the time, in Unix seconds.

    Attributes:
        since: The column of the time.
        default: The age in days where the time is missing, and at serving: the event of a request
            has not happened yet.
    """

    since: str = ""
    depends_on_time = True
    can_be_empty = True

    def source_column(self, column: str) -> str:
        """See ``ValueType``."""
        return self.since

    def reader(self, column: str, files: Files):
        """See ``ValueType``."""
        time = since_time(self.since, files)
        return partial(optional_value, convert=time, default=None, missing=time.missing)

    def read_column(self, columns, column: str, files: Files) -> pa.Array:
        """See ``ValueType``."""
        return columns.times(self.since, since_time(self.since, files))

    @property
    def stored_type(self) -> pa.DataType:
        """See ``ValueType``."""
        return pa.int64()

    def at(self, stored: pa.Array, timestamps: np.ndarray) -> pa.Array:
        """See ``ValueType``: float64 [n], no nulls."""
        missing = stored.is_null().to_numpy(zero_copy_only=False)
        since = pc.fill_null(stored, 0).to_numpy()
        days = np.maximum(0, timestamps - since) / SECONDS_PER_DAY
        return pa.array(np.where(missing, self.default, days))


def since_time(column: str | None, files: Files) -> Time:
    """Returns the conversion of a column of times to subtract from the events'."""
    zone = zoneinfo.ZoneInfo(files.time_zone)
    missing = files.missing_in(of_text=False)
    return Time(column, files.timestamp_unit, EARLIEST_SINCE, zone, missing)
