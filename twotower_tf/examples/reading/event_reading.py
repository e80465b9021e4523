"""Reads the records of a split: parsed, checked, of the days to build; events with their items.

Which day a record belongs to: an event to that of its time (``Calendar``). In a source with
``{date}`` all records belong to their file's day; an event of an earlier one is late, and rejected
or kept as an event of the file's day (``examples.late_events``), one of a later day is ahead of its
time and rejected. In a file that no day divides, events of days that are not being built are passed
over, and records without a readable time belong to the day of the file's earliest readable one:
so it makes no difference whether days are built one by one or in one go. The same holds for
searches (``search_reading``).
"""

import dataclasses
import datetime
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config.section import nearest
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.record_batches import RecordBatch, read_batches
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.datasets.where import meant_batches
from twotower_tf.errors import InputError
from twotower_tf.examples import matches
from twotower_tf.examples.event_table import SEARCH_SCHEMA, event_schema
from twotower_tf.examples.hashes import text_hashes
from twotower_tf.examples.outcome import Report
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.columns_read import columns_read
from twotower_tf.examples.reading.event_columns import EventColumns, SearchColumns
from twotower_tf.examples.reading.event_rewards import EventRewards
from twotower_tf.examples.reading.log_columns import LogColumns, Reason
from twotower_tf.examples.rejects import AHEAD, LATE, rejected_line
from twotower_tf.examples.source_columns import required_columns
from twotower_tf.examples.unreadable_files import UnreadableFiles


@dataclasses.dataclass(frozen=True, slots=True)
class Rejected:
    """A record that can't be used.

    Attributes:
        day: The day it belongs to (``date.toordinal``).
        position: Where it is in its file, comparable with ``position`` of the event table.
        line: It, why and where from, as a line of JSON.
    """

    day: int
    position: int
    line: str


@dataclasses.dataclass(frozen=True)
class LogBatch:
    """What became of some records of a split.

    Attributes:
        valid: The valid ones, in the file's order, in ``event_schema`` or ``SEARCH_SCHEMA``.
        rejected: The others, in the file's order.
        read: How many records there were of each day: as many as the two above hold.
        reports: What else the driver is told of them.
    """

    valid: pa.Table
    rejected: list[Rejected]
    read: dict[int, int]
    reports: list[Report] = dataclasses.field(default_factory=list)


class LogReader(ABC):
    """Reads splits of a log's files: records in; out come valid rows, rejected records, counts.

    Only records of the days to build are read. What is invalid, late or of another day than its
    file is rejected with the reason.

    Args:
        plan: What to build.
        columns: Parses the records.
        schema: Of the tables read.

    Attributes:
        log: Which part of the source it reads.
        one: What messages call one of its records.
    """

    log: str
    one: str

    def __init__(self, plan: Plan, columns: LogColumns, schema: pa.Schema):
        self._plan = plan
        self._columns = columns
        self._schema = schema
        self._required = tuple(required_columns(plan.config, self.log))
        self._keep_late = plan.config.examples.late_events == "keep"
        self._unreadable = UnreadableFiles(plan.config, plan.root)

    @abstractmethod
    def _more_columns(
        self, parsed: pa.Table, days: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[Reason]]:
        """Returns the columns that parsing did not give, and which records can't be used.

        Args:
            parsed: Records as ``LogColumns.parse`` returns them, [n].
            days: The day of each, int [n].

        Returns:
            Columns [n] by name; and for each record, by its place in the table, that can't be
            used, why.
        """

    def read(self, file_number: int, split: SourceSplit) -> Iterator[LogBatch]:
        """Reads a split, some ten thousand records at a time.

        Args:
            file_number: What the column ``file`` of its records will say.
            split: What to read.

        Raises:
            InputError: If the file can't be opened, or read and that is an error; or if it can be
                read, has records, no day divides it and not one has a readable time.
        """
        batches = meant_batches(read_batches(split, self._columns.needed), split.file.where)
        return self.read_batches(file_number, split, batches)

    def read_batches(
        self, file_number: int, split: SourceSplit, batches: Iterator[RecordBatch]
    ) -> Iterator[LogBatch]:
        """Reads raw records of a split as if they were all that are meant of it; see ``read``."""
        batches = self._unreadable.batches(split, batches)
        if split.file.day is None:
            return self._read_undivided(file_number, split.file, batches)
        return self._read_dated(file_number, split.file, batches)

    def unreadable(self, file: SourceFile) -> Iterator[tuple[int, str, str]]:
        """Yields the days of which something is lost in a file read so far, its path and why."""
        path = os.path.relpath(file.path, self._plan.root)
        if path in self._unreadable.reasons:
            # In a file that no day divides it may be of any.
            for day in self._plan.days if file.day is None else [file.day.toordinal()]:
                yield day, path, self._unreadable.reasons[path]

    def _read_dated(
        self, file_number: int, file: SourceFile, batches: Iterator[RecordBatch]
    ) -> Iterator[LogBatch]:
        day = file.day.toordinal()
        for batch in batches:
            parsed, reasons = self._columns.parse(batch)
            dates = self._plan.calendar.numbers_of(parsed["timestamp"].to_numpy())
            wrong = dates > day if self._keep_late else dates != day
            if wrong.any():
                rows = parsed["row"].to_numpy()[wrong].tolist()
                for row, date in zip(rows, dates[wrong].tolist(), strict=True):
                    reasons.append((row, _other_day(self.one, date, day)))
                parsed = parsed.filter(pa.array(~wrong))
            days = np.full(len(batch), day, np.int32)
            yield self._batch(file_number, file, batch, parsed, reasons, days)

    def _read_undivided(
        self, file_number: int, file: SourceFile, batches: Iterator[RecordBatch]
    ) -> Iterator[LogBatch]:
        timeless = _Timeless(self._plan.root, self.log, file)
        wanted = np.array(self._plan.days)
        earliest: int | None = None
        for batch in batches:
            timestamps, unreadable = self._columns.timestamps(batch)
            timed = np.ones(len(batch), bool)
            timed[[row for row, _ in unreadable]] = False
            timeless.add(batch, unreadable)
            if timed.any():
                first = int(timestamps[timed].min())
                earliest = first if earliest is None else min(earliest, first)
            days = self._plan.calendar.numbers_of(timestamps)
            timed &= np.isin(days, wanted)
            if timed.any():
                parsed, reasons = self._columns.parse(batch, np.flatnonzero(timed))
                days = np.where(timed, days, 0).astype(np.int32)
                yield self._batch(file_number, file, batch, parsed, reasons, days)
        if timeless.records:
            yield from self._of_the_earliest(timeless, earliest)

    def _batch(
        self,
        file_number: int,
        file: SourceFile,
        batch: RecordBatch,
        parsed: pa.Table,
        reasons: list[Reason],
        days: np.ndarray,
    ) -> LogBatch:
        """Returns what a batch came to: its valid rows, its rejected records, its counts by day.

        Args:
            file_number: What the column ``file`` is to say.
            file: The file of the batch.
            batch: All records, those to pass over too.
            parsed: The rows that could be parsed, with their ``row`` of the batch.
            reasons: Why others can't be used, by row of the batch.
            days: The day of every record of the batch, int32; 0: passed over.
        """
        rows = parsed["row"].to_numpy()
        added, more = self._more_columns(parsed, days[rows])
        if more:
            reasons = reasons + [(int(rows[place]), reason) for place, reason in more]
            usable = np.ones(len(parsed), bool)
            usable[[place for place, _ in more]] = False
            parsed, rows = parsed.filter(pa.array(usable)), rows[usable]
            added = {name: column[usable] for name, column in added.items()}
        columns = {
            "user_hash": text_hashes(parsed["user_id"]),
            "day": days[rows],
            "file": np.full(len(rows), file_number, np.int32),
            "position": batch.positions[rows],
            **added,
        }
        arrays = [
            pa.array(columns[field.name]) if field.name in columns else parsed[field.name]
            for field in self._schema
        ]
        rejected = [
            Rejected(int(days[row]), *_rejected_record(self._plan.root, file, batch, row, reason))
            for row, reason in sorted(reasons)
        ]
        read = zip(*np.unique(days, return_counts=True), strict=True)
        return LogBatch(
            pa.Table.from_arrays(arrays, schema=self._schema),
            rejected,
            {int(day): int(count) for day, count in read if day},
            [
                *columns_read(batch, days, self.log, self._required),
                *self._matches(parsed, days[rows]),
            ],
        )

    def _matches(self, valid: pa.Table, days: np.ndarray) -> Iterator[Report]:
        """Reports how many ids of valid records, of some days, find what they name."""
        return iter(())

    def _of_the_earliest(self, timeless: "_Timeless", earliest: int | None) -> Iterator[LogBatch]:
        """Yields the records without a readable time, if the day they belong to is built."""
        if earliest is not None:
            days = {self._plan.calendar.day_of(earliest).toordinal()} & self._plan.day_set
        elif timeless.path in self._unreadable.reasons:
            # Of a file that can't be read something is lost to every day.
            days = self._plan.days
        else:
            raise InputError(timeless.nothing_readable(self._columns.time_column))
        for day in days:
            rejected = [Rejected(day, position, line) for position, line in timeless.records]
            yield LogBatch(self._schema.empty_table(), rejected, {day: len(rejected)})


class EventReader(LogReader):
    """Reads splits of event files, and joins the events with their items."""

    log = "events"
    one = "an event"

    def __init__(self, plan: Plan):
        super().__init__(plan, EventColumns(plan.config), event_schema(plan.config))
        self._rewards = EventRewards(plan)
        self._splits = plan.config.source.events.columns.held_out is not None

    def _more_columns(
        self, parsed: pa.Table, days: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[Reason]]:
        rewards, reasons = self._rewards.rewards(parsed, days)
        made = {"reward": rewards}
        if self._splits:
            # Null, where the record is rejected, counts as anything.
            made["held_out"] = parsed["held_out"].to_numpy() != 0
        return made, reasons

    def _matches(self, valid: pa.Table, days: np.ndarray) -> Iterator[Report]:
        """See ``LogReader``: items, seeds and, where the log gives them, histories."""
        ids = {matches.SEEDS: (valid["seed_item_id"].combine_chunks(), days)}
        if self._plan.config.examples.unknown_items == "keep":
            # Else all that are left are in the catalogue.
            ids[matches.ITEMS] = (valid["item_id"].combine_chunks(), days)
        if "history" in valid.column_names:
            lists = valid["history"].combine_chunks()
            lengths = pc.list_value_length(lists).to_numpy()
            ids[matches.HISTORIES] = (lists.flatten(), np.repeat(days, lengths))
        for what, (column, of_day) in ids.items():
            yield from matches.reports(of_day, what, column, self._in_catalogue(column, of_day))

    def _in_catalogue(self, item_ids: pa.Array, days: np.ndarray) -> np.ndarray:
        """Says which items are in the catalogue of their day, bool [n]."""
        found = np.zeros(len(item_ids), bool)
        distinct, places = np.unique(days, return_inverse=True)
        snapshots = [self._plan.catalogue_of(int(day)).day for day in distinct]
        snapshot_of = np.array(snapshots, np.int64)[places] if len(distinct) else places
        for snapshot in set(snapshots):
            rows = np.flatnonzero(snapshot_of == snapshot)
            items = self._plan.items_of(snapshot)
            found[rows] = items.rows_of(item_ids.take(pa.array(rows))) >= 0
        return found


class _Timeless:
    """The records of a file that have no readable time."""

    def __init__(self, root: str, log: str, file: SourceFile):
        self._root = root
        self._log = log
        self._file = file
        self.path = os.path.relpath(file.path, root)
        self._first: tuple[int, str] | None = None
        self._names: set[str] = set()
        self.records: list[tuple[int, str]] = []

    def add(self, batch: RecordBatch, reasons: list[Reason]) -> None:
        """Keeps some of a batch, as lines: the batch need not be kept."""
        for row, reason in reasons:
            if self._first is None:
                self._names = batch.names()
                self._first = (batch.number(row), reason)
            self.records.append(_rejected_record(self._root, self._file, batch, row, reason))

    def nothing_readable(self, column: str) -> str:
        """Words that the file has no other records; times are looked for in the column."""
        number, reason = self._first
        hint = "" if column in self._names else nearest(column, self._names)
        log = f"source.{self._log}"
        return (
            f"{self.path} has not one record with a readable time; the first, "
            f"{self.path}:{number}: "
            f"{reason}{hint} ({log}.columns.timestamp, {log}.timestamp_unit)"
        )


def _rejected_record(
    root: str, file: SourceFile, batch: RecordBatch, row: int, reason: str
) -> tuple[int, str]:
    """Returns the position and the line of JSON of a record that is rejected."""
    record = batch.record(row)
    shown = record.raw if isinstance(record, Unreadable) else record
    line = rejected_line(root, file.path, batch.number(row), shown, reason)
    return int(batch.positions[row]), line


def _other_day(one: str, own_day: int, day: int) -> str:
    actual, expected = datetime.date.fromordinal(own_day), datetime.date.fromordinal(day)
    kind = LATE if own_day < day else AHEAD
    return f"{kind}: {one} of {actual} in a file of {expected}"


class SearchReader(LogReader):
    """Reads splits of search files."""

    log = "searches"
    one = "a search"

    def __init__(self, plan: Plan):
        super().__init__(plan, SearchColumns(plan.config), SEARCH_SCHEMA)

    def _more_columns(
        self, parsed: pa.Table, days: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[Reason]]:
        return {}, []
