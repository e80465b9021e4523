"""Lists of values: of a catalogue's items, of a request's rows, of a column."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclasses.dataclass(frozen=True)
class Lists:
    """A list feature of N items: the values one after the other, and where each list begins.

    Attributes:
        values: [total] objects (str) or float32.
        row_splits: [N + 1] int64; item i has ``values[row_splits[i]:row_splits[i + 1]]``.
    """

    values: np.ndarray
    row_splits: np.ndarray

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def __getitem__(self, rows: slice) -> "Lists":
        start, stop, _ = rows.indices(len(self))
        splits = self.row_splits[start : stop + 1]
        return Lists(self.values[splits[0] : splits[-1]], splits - splits[0])

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Lists":
        """Returns the lists of a column of text or numbers without nulls."""
        lengths = pc.list_value_length(column).to_numpy()
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        return cls(column_values(pc.list_flatten(column)), splits)

    def take(self, rows: np.ndarray) -> "Lists":
        """Returns the lists of some items, by position."""
        lengths = np.diff(self.row_splits)[rows]
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        # The place of each value: where its list began, and how far in it is.
        shift = np.repeat(self.row_splits[:-1][rows] - splits[:-1], lengths)
        return Lists(self.values[np.arange(splits[-1]) + shift], splits)


def column_values(column: pa.ChunkedArray) -> np.ndarray:
    """Returns a column of text as objects (str), null as ``""``; one of numbers as float32."""
    if pa.types.is_string(column.type):
        return pc.fill_null(column, "").to_numpy()
    return column.to_numpy().astype(np.float32)


def last_of_each(lists: pa.ListArray, count: int | None) -> pa.ListArray:
    """Returns the last so many elements of each list, of which none is null; None: all."""
    lengths = pc.list_value_length(lists).to_numpy()
    if count is None or not (lengths > count).any():
        return lists
    elements = lists.flatten()
    from_end = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(elements))
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(np.minimum(lengths, count))])
    kept = elements.filter(pa.array(from_end <= count))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), kept)


def padded(lists: Sequence[Sequence], dtype, padding) -> np.ndarray:
    """Returns lists as the rows of an array, [B, L], L >= 1."""
    # TensorFlow can't tell the type of an empty array of objects; padding alone is empty too.
    width = max(1, *map(len, lists)) if lists else 1
    rows = np.full((len(lists), width), padding, dtype)
    for row, values in zip(rows, lists, strict=True):
        row[: len(values)] = list(values)
    return rows
