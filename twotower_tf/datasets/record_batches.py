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
from twotower_tf.datasets.nested import (
    batch_taken_apart,
    column_at,
    has_column,
    lists_of,
    names_of,
    taken_apart,
    value_at,
)
from twotower_tf.datasets.parsed_lines import LOOKED_AT, ParsedLines
from twotower_tf.datasets.separated_blocks import SeparatedBlock, read_separated_blocks
from twotower_tf.datasets.splits import SourceSplit

_ROWS = 32_768
# Of the elements of a list in Parquet so many have places of their own in the file.
_ELEMENTS = 1 << 12

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

    def says_columns(self) -> np.ndarray | None:
        """Returns which records could be read and say what columns they have, bool [n].

        None where the file has a header, which says it of all.
        """
        return None

    def has(self, name: str) -> np.ndarray:
        """Says which of these have a column, be it empty: bool [n]."""
        raise NotImplementedError

    def names(self) -> set[str]:
        """Returns the names of columns of some records, where there is no header."""
        return set()


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
        lists = lists_of(columns)
        return (_parquet_batch(row, batch, lists) for row, batch in read)
    if file.format == "jsonl":
        return _read_json_lines(split, columns)
    if file.format in DELIMITERS and not file.layout.lists:
        return _read_separated(split, columns)
    return _read_any(file, columns)


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
            None if odd else value_at(record, name)
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

    def says_columns(self) -> np.ndarray | None:
        """See ``RecordBatch``."""
        return ~self._unreadable

    def has(self, name: str) -> np.ndarray:
        """See ``RecordBatch``."""
        return np.array(
            [
                not odd and has_column(record, name)
                for odd, (_, record) in zip(self._unreadable, self._numbered, strict=True)
            ],
            bool,
        )

    def names(self) -> set[str]:
        """See ``RecordBatch``."""
        some = (record for _, record in self._numbered[:LOOKED_AT])
        return {name for one in some if not isinstance(one, Unreadable) for name in names_of(one)}


def _read_any(file: SourceFile, columns: Sequence[str]) -> Iterator[RecordBatch]:
    records = read_records(file, columns)
    first = 0
    while numbered := list(itertools.islice(records, _ROWS)):
        yield _Records(first, numbered)
        first += len(numbered)


class _ParquetRows(RecordBatch):
    """A batch of columns as it was read."""

    def __init__(self, first: int, batch: pa.RecordBatch, lists: Sequence[str]):
        self._numbers = self.positions = np.arange(first, first + batch.num_rows)
        if lists:
            batch, rows, places = batch_taken_apart(batch, lists)
            self._numbers = self._numbers[rows]
            self.positions = self._numbers * _ELEMENTS + np.minimum(places, _ELEMENTS - 1)
        self._batch = batch

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        array = column_at(self._batch, name)
        if array is None:
            array = pa.nulls(len(self))
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
        return int(self._numbers[row])


def _not_utf8(array: pa.Array) -> np.ndarray:
    """Says which rows hold text that is no UTF-8, all if any: Parquet files may hold such."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return np.ones(len(array), bool)
    return np.zeros(len(array), bool)


def _parquet_batch(
    row: int, batch: pa.RecordBatch | Unreadable, lists: Sequence[str]
) -> RecordBatch:
    if isinstance(batch, Unreadable):
        return _Lost(row * _ELEMENTS if lists else row, row, batch)
    return _ParquetRows(row, batch, lists)


class _Lost(_Records):
    """What stands in the place of the records that were lost."""

    def __init__(self, position: int, number: int, reason: Unreadable):
        super().__init__(position, [(number, reason)])

    def says_columns(self) -> None:
        """See ``RecordBatch``."""
        return None


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
    """Lines of JSON, parsed twice where they are out of the ordinary."""

    def __init__(
        self, block: LineBlock, columns: Sequence[str], lines_before_split: Callable[[], int]
    ):
        self._lines = block.lines
        self._first = block.first
        self._starts_file = block.offset == 0
        self._lines_before_split = lines_before_split
        self._lists = lists_of(columns)
        lines = block.lines
        if self._starts_file:
            lines = [without_mark(lines[0]), *lines[1:]]
        parsed = ParsedLines(lines, columns, self._lists)
        self._columns, self._present = parsed.values, parsed.present
        self._names = parsed.names
        self._rows, self._refused = np.array(parsed.rows, np.int64), np.array(parsed.refused, bool)
        self._places = np.array(parsed.places, np.int64)
        lengths = np.fromiter(map(len, block.lines), np.int64, len(block.lines)) + 1
        starts = block.offset + np.cumsum(lengths) - lengths
        # An element of a list takes a byte at least.
        self.positions = starts[self._rows] + self._places

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        values, refused = self._columns[name], self._refused
        if rows is not None:
            values, refused = [values[row] for row in rows], refused[rows]
        array, odd = to_arrow(values)
        return array, odd | refused

    def says_columns(self) -> np.ndarray:
        """See ``RecordBatch``."""
        return ~self._refused

    def has(self, name: str) -> np.ndarray:
        """See ``RecordBatch``."""
        return np.array(self._present[name], bool)

    def names(self) -> set[str]:
        """See ``RecordBatch``."""
        return self._names

    def record(self, row: int) -> Record:
        """See ``RecordBatch``."""
        line = int(self._rows[row])
        text = self._lines[line]
        found = json_object(without_mark(text) if line == 0 and self._starts_file else text)
        return taken_apart(found, self._lists)[self._places[row]] if self._lists else found

    def number(self, row: int) -> int:
        """See ``RecordBatch``."""
        return self._lines_before_split() + self._first + int(self._rows[row]) + 1


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
