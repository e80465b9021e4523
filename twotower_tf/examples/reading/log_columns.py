"""Parses batches of raw records of a log to columns.

What is usual is converted column by column. The rows with anything out of the ordinary go through
the conversion of single records (``records``), which alone defines what is valid, and join the
others in their places.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.record_batches import Record, RecordBatch
from twotower_tf.examples.reading.column_times import times
from twotower_tf.examples.reading.column_values import (
    Converted,
    lists,
    numbers,
    texts_of,
)
from twotower_tf.examples.records import LogParser
from twotower_tf.examples.values import RejectedRecord, Time

# A row of a batch, and why its record can't be used.
Reason = tuple[int, str]


class UsualColumns:
    """The columns of a batch, and the rows found so far that are out of the ordinary.

    Attributes:
        rows: Those of the batch that are parsed, int64 [n].
        odd: Those in which the columns are not to be trusted, bool [n].
    """

    def __init__(self, batch: RecordBatch, rows: np.ndarray | None):
        self._batch = batch
        self._chosen = rows
        self.rows = np.arange(len(batch)) if rows is None else rows
        self.odd = np.zeros(len(self.rows), bool)
        self._read: dict[str, pa.Array] = {}

    def _column(self, name: str) -> pa.Array:
        if name not in self._read:
            column, odd = self._batch.column(name, self._chosen)
            self.odd |= odd
            self._read[name] = column
        return self._read[name]

    def optional(self, name: str | None, convert: Callable[[pa.Array], Converted]) -> pa.Array:
        """Returns a converted column, null where there is nothing; None: there is none at all."""
        if name is None:
            return pa.nulls(len(self.rows), pa.string())
        converted = convert(self._column(name))
        self.odd |= converted.odd
        return converted.values

    def required(self, name: str, convert: Callable[[pa.Array], Converted]) -> pa.Array:
        """Returns a converted column; rows in which there is nothing are odd."""
        converted = convert(self._column(name))
        self.odd |= converted.odd | ~converted.given
        return converted.values

    def lists(
        self,
        name: str,
        convert: Callable[[pa.Array], Converted],
        separator: str | None,
        missing: frozenset[str],
    ) -> pa.ListArray:
        """Returns a converted column of lists, none of them null."""
        found = lists(self._column(name), convert, separator, missing)
        self.odd |= found.odd
        return found.array()

    def texts(self, name: str, form: str, missing: frozenset[str]) -> pa.Array:
        """Returns a column as text of a form of ``value_types``, null where there is none."""
        return self.optional(name, partial(texts_of, form=form, missing=missing))

    def numbers(self, name: str, missing: frozenset[str]) -> pa.Array:
        """Returns a column as float64, null where there is none."""
        return self.optional(name, partial(numbers, missing=missing))

    def times(self, name: str, time: Time) -> pa.Array:
        """Returns a column of times as Unix seconds, int64, null where there is none."""
        return self.optional(name, partial(times, time=time))

    def text_lists(
        self, name: str, form: str, separator: str | None, missing: frozenset[str]
    ) -> pa.ListArray:
        """Returns a column as lists of text, as ``texts``, none of them null."""
        convert = partial(texts_of, form=form, missing=missing)
        return self.lists(name, convert, separator, missing)

    def number_lists(
        self, name: str, separator: str | None, missing: frozenset[str]
    ) -> pa.ListArray:
        """Returns a column as lists of float64, none of them null."""
        return self.lists(name, partial(numbers, missing=missing), separator, missing)


class LogColumns(ABC):
    """Turns batches of a log's records into tables.

    Args:
        parser: Of single records.
        schema: Of the tables, ``row`` first.

    Attributes:
        needed: The columns that the configuration names.
        time_column: The one of their times.
    """

    needed: tuple[str, ...]

    def __init__(self, parser: LogParser, schema: pa.Schema):
        self._parser = parser
        self.time_column = parser.time_column
        self._time = partial(times, time=parser.time)
        self._schema = schema

    @abstractmethod
    def _usual(self, columns: UsualColumns) -> dict[str, pa.Array]:
        """Returns the table's columns but ``row``; ``columns.odd`` says where they are wrong."""

    @abstractmethod
    def _values(self, records: Sequence) -> dict[str, list | pa.Array]:
        """Returns the same columns of parsed records."""

    def timestamps(self, batch: RecordBatch) -> tuple[np.ndarray, list[Reason]]:
        """Returns the time of every record, whatever else is wrong with it.

        Returns:
            Unix seconds, int64 [n], and why the time of a row can't be read; it is 0 there.
        """
        column, odd = batch.column(self._parser.time_column, None)
        converted = self._time(column)
        found = pc.fill_null(converted.values, 0).to_numpy(zero_copy_only=False).copy()
        reasons = []
        for row in np.flatnonzero(odd | converted.odd | ~converted.given).tolist():
            try:
                found[row] = self._parser.timestamp(_readable(batch.record(row)))
            except RejectedRecord as error:
                found[row] = 0
                reasons.append((row, str(error)))
        return found, reasons

    def parse(
        self, batch: RecordBatch, rows: np.ndarray | None = None
    ) -> tuple[pa.Table, list[Reason]]:
        """Parses a batch.

        Args:
            batch: The records.
            rows: Those to parse, ascending; None: all.

        Returns:
            What the records are, in their order, with their ``row`` of the batch; and why the
            others can't be used, by row.
        """
        columns = UsualColumns(batch, rows)
        usual = self._table({"row": pa.array(columns.rows), **self._usual(columns)})
        odd = columns.odd
        if not odd.any():
            return usual, []
        usual = usual.filter(pa.array(~odd))
        parsed, reasons = [], []
        for row in columns.rows[odd].tolist():
            try:
                parsed.append((row, self._parser.parse(_readable(batch.record(row)))))
            except RejectedRecord as error:
                reasons.append((row, str(error)))
        if parsed:
            singly = self._values([one for _, one in parsed])
            more = self._table({"row": [row for row, _ in parsed], **singly})
            usual = pa.concat_tables([usual, more]).sort_by("row")
        return usual, reasons

    def _table(self, columns: dict[str, pa.Array | list]) -> pa.Table:
        arrays = [
            pa.array(columns[field.name], field.type)
            if isinstance(columns[field.name], list)
            else columns[field.name]
            for field in self._schema
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _readable(record: Record) -> dict:
    if isinstance(record, Unreadable):
        raise RejectedRecord(record.reason)
    return record
