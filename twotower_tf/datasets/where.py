"""Which records of files are meant, by the texts in their columns; the others are passed over.

Records that can't be read stay: what they would have been, nobody knows.
"""

import datetime
import decimal
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import value_at
from twotower_tf.datasets.record_batches import Record, RecordBatch

# By column, the texts of which it must be one.
Where = Mapping[str, frozenset[str]]


def meant_records(
    numbered: Iterable[tuple[int, Record]], where: Where
) -> Iterable[tuple[int, Record]]:
    """Returns those of numbered records that are meant."""
    if not where:
        return numbered
    return ((number, record) for number, record in numbered if _is_meant(record, where))


def meant_batches(batches: Iterable[RecordBatch], where: Where) -> Iterable[RecordBatch]:
    """Returns batches of those records that are meant; none of them is empty."""
    return _meant_batches(batches, where) if where else batches


def _meant_batches(batches: Iterable[RecordBatch], where: Where) -> Iterator[RecordBatch]:
    for batch in batches:
        meant = np.ones(len(batch), bool)
        for column, texts in where.items():
            meant &= _meant_rows(batch, column, texts)
        if meant.all():
            yield batch
        elif meant.any():
            yield _SomeRows(batch, np.flatnonzero(meant))


def _is_meant(record: Record, where: Where) -> bool:
    if isinstance(record, Unreadable):
        return True
    return all(_as_text(value_at(record, column)) in texts for column, texts in where.items())


def _as_text(value: Any) -> str | None:
    """Returns text, a whole number, a boolean or a date as text; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, decimal.Decimal) and value.is_finite() and value == int(value):
        return str(int(value))
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, str | int) else None


def _meant_rows(batch: RecordBatch, column: str, texts: frozenset[str]) -> np.ndarray:
    array, odd = batch.column(column, None)
    if pa.types.is_integer(array.type):
        array = array.cast(pa.string())
    if pa.types.is_string(array.type):
        wanted = pa.array(sorted(texts), pa.string())
        meant = pc.is_in(array, value_set=wanted).to_numpy(zero_copy_only=False)
    else:
        meant = np.array([_as_text(value) in texts for value in array.to_pylist()], bool)
    for row in np.flatnonzero(odd).tolist():
        meant[row] = _is_meant(batch.record(row), {column: texts})
    return meant


class _SomeRows(RecordBatch):
    """Some rows of a batch."""

    def __init__(self, batch: RecordBatch, rows: np.ndarray):
        self._batch = batch
        self._rows = rows
        self.positions = batch.positions[rows]

    @property
    def damage(self) -> Unreadable | None:
        """See ``RecordBatch``."""
        return self._batch.damage

    def column(self, name: str, rows: np.ndarray | None) -> tuple[pa.Array, np.ndarray]:
        """See ``RecordBatch``."""
        return self._batch.column(name, self._rows if rows is None else self._rows[rows])

    def record(self, row: int) -> Record:
        """See ``RecordBatch``."""
        return self._batch.record(int(self._rows[row]))

    def number(self, row: int) -> int:
        """See ``RecordBatch``."""
        return self._batch.number(int(self._rows[row]))

    def says_columns(self) -> np.ndarray | None:
        """See ``RecordBatch``."""
        said = self._batch.says_columns()
        return None if said is None else said[self._rows]

    def has(self, name: str) -> np.ndarray:
        """See ``RecordBatch``."""
        return self._batch.has(name)[self._rows]

    def names(self) -> set[str]:
        """See ``RecordBatch``."""
        return self._batch.names()
