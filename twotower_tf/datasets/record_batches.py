"""The records of a split in batches that give their columns as Arrow arrays.

A batch is for fast paths: ``column`` gives a whole column, and says which rows it can't vouch for;
``record`` gives a single row in full, exactly as ``formats.read_records`` does.
"""

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from twotower_tf.datasets import parquet
from twotower_tf.datasets.arrow_values import to_arrow
from twotower_tf.datasets.dialects import DELIMITERS, dialect_of
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import json_form, json_object, read_records
from twotower_tf.datasets.lines import (
    Damage,
    LineBlock,
    Unreadable,
    lines_before,
    read_line_blocks,
    without_mark,
)
from twotower_tf.datasets.separated_blocks import SeparatedBlock, read_separated_blocks
from twotower_tf.datasets.splits import SourceSplit

_ROWS = 32_768
_LINES_AT_ONCE = 1024
_NO_VALUES: dict[str, Any] = {}

Record = dict[str, Any] | Unreadable


class RecordBatch(ABC):
    """Records that follow one another in a file.

    Attributes:
        positions: int64 [n], ascending in the file, however it is split: where each record is.
    """

    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def damage(self) -> Unreadable | None:
        """Why the file can't be read from one of these records on, if it can't."""
        return None

    @abstractmethod
    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """Returns a column in whatever type it has, and the rows that only ``record`` knows.

        Args:
            name: A column that ``read_batches`` was asked for; one that is missing is all null.
            rows: The rows to give, ascending; None: all.

        Returns:
            The values [n], null where there is none; and bool [n], where the value is not to be
            trusted and the record must be looked at.
        """

    @abstractmethod
    def record(self, row: int) -> Record:
        """Returns a record as Python values, or why it can't be read."""

    @abstractmethod
    def number(self, row: int) -> int:
        """Returns the line or row number of a record in its file, from 1."""


def read_batches(split: SourceSplit, columns: Sequence[str]) -> Iterator[RecordBatch]:
    """Reads a split in bounded memory.

    Args:
        split: What to read.
        columns: The columns that are needed; of Parquet, no others are read.

    Raises:
        InputError: If the file can't be opened.
    """
    file = split.file
    if file.format == "parquet":
        read = parquet.read_parquet(file.path, columns, split.start, split.stop)
        return (_parquet_batch(row, batch) for row, batch in read)
    if file.format == "jsonl":
        return _read_json_lines(split, columns)
    if file.format in DELIMITERS:
        return _read_separated(split, columns)
    return _read_any(file)


class _Records(RecordBatch):
    """Records that were read one by one."""

    def __init__(self, first: int, numbered: Sequence[tuple[int, Record]]):
        self.positions = np.arange(first, first + len(numbered))
        self._numbered = numbered
        self._unreadable = np.array([isinstance(record, Unreadable) for _, record in numbered])

    @property
    def damage(self) -> Unreadable | None:
        """See ``RecordBatch``."""
        unreadable = (self._numbered[row][1] for row in np.flatnonzero(self._unreadable).tolist())
        return next((one for one in unreadable if one.of_file), None)

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        values = [
            None if odd else record.get(name)
            for odd, (_, record) in zip(self._unreadable.tolist(), self._numbered, strict=True)
        ]
        unreadable = self._unreadable
        if rows is not None:
            values, unreadable = [values[row] for row in rows], unreadable[rows]
        array, odd = to_arrow(values)
        return array, odd | unreadable

    def record(self, row: int) -> Record:
        """See ``RecordBatch``."""
        return self._numbered[row][1]

    def number(self, row: int) -> int:
        """See ``RecordBatch``."""
        return self._numbered[row][0]


def _read_any(file: SourceFile) -> Iterator[RecordBatch]:
    records = read_records(file)
    first = 0
    while numbered := list(itertools.islice(records, _ROWS)):
        yield _Records(first, numbered)
        first += len(numbered)


class _ParquetRows(RecordBatch):
    """A batch of columns as it was read."""

    def __init__(self, first: int, batch: pa.RecordBatch):
        self.positions = np.arange(first, first + batch.num_rows)
        self._batch = batch

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        # Of several of the same name a record holds the last one.
        found = self._batch.schema.get_all_field_indices(name)
        array = self._batch.column(found[-1]) if found else pa.nulls(len(self))
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if rows is not None:
            array = array.take(pa.array(rows))
        return array, _not_utf8(array)

    def record(self, row: int) -> Record:
        """See ``RecordBatch``."""
        return parquet.batch_records(self._batch.slice(row, 1))[0]

    def number(self, row: int) -> int:
        """See ``RecordBatch``."""
        return int(self.positions[row])


def _not_utf8(array: pa.Array) -> np.ndarray:
    """Says which rows hold text that is no UTF-8, all if any: Parquet files may hold such."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return np.ones(len(array), bool)
    return np.zeros(len(array), bool)


def _parquet_batch(row: int, batch: pa.RecordBatch | Unreadable) -> RecordBatch:
    if isinstance(batch, Unreadable):
        return _Lost(row, row, batch)
    return _ParquetRows(row, batch)


class _Lost(_Records):
    """What stands in the place of the records that were lost."""

    def __init__(self, position: int, number: int, reason: Unreadable):
        super().__init__(position, [(number, reason)])


class _SeparatedRows(RecordBatch):
    """Rows of CSV or TSV, those that are clean in columns already."""

    def __init__(self, block: SeparatedBlock, lines_before_split: Callable[[], int]):
        self._block = block
        self._lines_before_split = lines_before_split
        self.positions = block.text.offset + block.starts[block.lines]
        self._unreadable = np.zeros(len(self), bool)
        self._unreadable[~block.clean] = [isinstance(one, Unreadable) for one in block.singly]

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        block, unreadable = self._block, self._unreadable
        array = block.columns.get(name)
        if array is None:
            array = pa.nulls(len(self))
        elif block.singly:
            values = [
                None if isinstance(record, Unreadable) else record[name] for record in block.singly
            ]
            places = np.where(block.clean, block.places, len(array) + block.places)
            array = pa.concat_arrays([array, pa.array(values, pa.string())]).take(pa.array(places))
        if rows is not None:
            array, unreadable = array.take(pa.array(rows)), unreadable[rows]
        return array, unreadable

    def record(self, row: int) -> Record:
        """See ``RecordBatch``."""
        return self._block.record(row)

    def number(self, row: int) -> int:
        """See ``RecordBatch``."""
        return self._lines_before_split() + self._block.text.first + int(self._block.lines[row]) + 1


def _read_separated(split: SourceSplit, columns: Sequence[str]) -> Iterator[RecordBatch]:
    before = _lines_before(split)
    file = split.file
    dialect = dialect_of(file.path, file.format, file.layout)
    found = read_separated_blocks(file.path, dialect, split.start, split.stop, columns)
    for block in found:
        if isinstance(block, Damage):
            yield _Lost(block.offset, before() + block.first + 1, block.reason)
        elif len(block.lines):
            yield _SeparatedRows(block, before)


class _JsonLines(RecordBatch):
    """Lines of JSON, parsed twice where they are out of the ordinary.

    orjson is several times as fast as json, but refuses NaN and half of a surrogate pair, and
    makes floats of whole numbers beyond 64 bits. What it refuses, and what ``record`` is asked
    for, is left to json.
    """

    def __init__(
        self, block: LineBlock, columns: Sequence[str], lines_before_split: Callable[[], int]
    ):
        self._lines = block.lines
        self._first = block.first
        self._starts_file = block.offset == 0
        self._lines_before_split = lines_before_split
        self._columns, rows, refused = _parsed(block.lines, columns)
        self._rows, self._refused = np.array(rows, np.int64), np.array(refused, bool)
        lengths = np.fromiter(map(len, block.lines), np.int64, len(block.lines)) + 1
        self.positions = (block.offset + np.cumsum(lengths) - lengths)[self._rows]

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        values, refused = self._columns[name], self._refused
        if rows is not None:
            values, refused = [values[row] for row in rows], refused[rows]
        array, odd = to_arrow(values)
        return array, odd | refused

    def record(self, row: int) -> Record:
        """See ``RecordBatch``."""
        line = int(self._rows[row])
        text = self._lines[line]
        return json_object(without_mark(text) if line == 0 and self._starts_file else text)

    def number(self, row: int) -> int:
        """See ``RecordBatch``."""
        return self._lines_before_split() + self._first + int(self._rows[row]) + 1


def _parsed(
    lines: list[bytes], columns: Sequence[str]
) -> tuple[dict[str, list[Any]], list[int], list[bool]]:
    """Parses lines and takes their columns apart, a few at a time: while caches have them.

    Returns:
        The values of each column, None where there is none; and for each record its line, empty
        ones having none, and whether orjson refused it.
    """
    values: dict[str, list[Any]] = {name: [] for name in columns}
    rows: list[int] = []
    refused: list[bool] = []
    loads = orjson.loads
    for start in range(0, len(lines), _LINES_AT_ONCE):
        records = []
        for row, line in enumerate(lines[start : start + _LINES_AT_ONCE], start):
            try:
                record = loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    continue
                record = None
            is_object = type(record) is dict
            records.append(record if is_object else _NO_VALUES)
            rows.append(row)
            refused.append(not is_object)
        for name, column in values.items():
            column += [record.get(name) for record in records]
    return values, rows, refused


def _read_json_lines(split: SourceSplit, columns: Sequence[str]) -> Iterator[RecordBatch]:
    before = _lines_before(split)
    form = json_form(split.file)
    for block in read_line_blocks(split.file.path, split.start, split.stop, form):
        if isinstance(block, Damage):
            yield _Lost(block.offset, before() + block.first + 1, block.reason)
        else:
            yield _JsonLines(block, columns, before)


def _lines_before(split: SourceSplit) -> Callable[[], int]:
    """Returns a function that counts the lines of the file before a split, the first time."""
    return functools.cache(lambda: lines_before(split.file.path, split.start))
