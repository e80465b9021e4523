"""Columns inside of others: ``details.brand``, and ``items[].id`` of lists that are taken apart.

A list whose elements columns name with ``[]``, such as the items of an order or the clicks of a
session, makes a record an element: with its element under ``items[]``, and the rest of the record
beside it. Several such lists go together, element by element.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.datasets.lines import Unreadable

EACH = "[]"


def value_at(record: Mapping[str, Any], name: str | None) -> Any:
    """Returns the value of a column, None where there is none, or no name.

    A column of the very name comes before one inside of others.
    """
    value = record.get(name)
    if value is not None or name is None or is_plain(name):
        return value
    return _at(record, name)[1]


def is_plain(name: str) -> bool:
    """Says whether a column of this name can't be inside of another."""
    return "." not in name and EACH not in name


def has_column(record: Mapping[str, Any], name: str) -> bool:
    """Says whether a record has a column, be it empty."""
    return name in record or _at(record, name)[0]


def _at(record: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Returns whether there is such a column inside of others, and its value."""
    value: Any = record
    for key in steps_to(name):
        if not isinstance(value, Mapping) or key not in value:
            return False, None
        value = value[key]
    return True, value


def steps_to(name: str) -> list[str]:
    """Returns the names from the outermost column to one inside of it."""
    before, each, inside = name.partition(EACH)
    steps = [before + EACH] if each else []
    return steps + [key for key in (inside if each else before).split(".") if key]


def names_of(record: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yields the names of a record's columns, those inside of others too."""
    for name, value in record.items():
        yield above + name
        if isinstance(value, Mapping):
            yield from names_of(value, f"{above}{name}.")


def lists_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Returns the lists that columns name the elements of, each once."""
    found = (name.partition(EACH)[0] for name in columns if EACH in name)
    return tuple(dict.fromkeys(found))


def taken_apart(
    record: dict[str, Any] | Unreadable, lists: Sequence[str]
) -> list[dict[str, Any] | Unreadable]:
    """Returns a record an element of its lists; none where they are empty.

    A record that lacks a list, or whose lists are not of one length, stays one, without any of
    their elements.
    """
    if isinstance(record, Unreadable):
        return [record]
    values = {name: value_at(record, name) for name in lists}
    if not all(isinstance(value, list | tuple) for value in values.values()):
        return [record]
    if len(set(map(len, values.values()))) > 1:
        return [record]
    rest = {name: value for name, value in record.items() if name not in values}
    return [
        {**rest, **{name + EACH: one for name, one in zip(values, elements, strict=True)}}
        for elements in zip(*values.values(), strict=True)
    ]


def column_at(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """Returns a column of a batch, as ``value_at`` of a record; None: there is none."""
    # Of several of the same name a record holds the last one.
    for steps in ([name], steps_to(name)):
        found = batch.schema.get_all_field_indices(steps[0])
        array = batch.column(found[-1]) if found else None
        for key in steps[1:]:
            there = array is not None and pa.types.is_struct(array.type)
            place = array.type.get_field_index(key) if there else -1
            array = pc.struct_field(array, [place]) if place >= 0 else None
        if array is not None:
            return array
    return None


def roots_of(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Returns which of a file's columns hold others, in the file's order.

    Args:
        names: The outermost columns of the file.
        columns: Those to find.
    """
    wanted = {*columns, *(column.partition(EACH)[0] for column in columns)}
    wanted |= {column.partition(EACH)[0].partition(".")[0] for column in columns}
    return [name for name in names if name in wanted]


def batch_taken_apart(
    batch: pa.RecordBatch, lists: Sequence[str]
) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray]:
    """Takes the rows of a batch apart, as ``taken_apart`` does a record.

    Returns:
        The new rows; and of each the row that it is of, and its place in that row's lists,
        int64 [n].
    """
    columns = {name: column_at(batch, name) for name in lists}
    columns = {name: one for name, one in columns.items() if one is not None and _is_list(one)}
    apart = np.full(len(batch), len(columns) == len(lists))
    lengths = np.ones(len(batch), np.int64)
    if apart.any():
        each = [pc.fill_null(pc.list_value_length(one), -1).to_numpy() for one in columns.values()]
        apart = (np.min(each, axis=0) >= 0) & (np.min(each, axis=0) == np.max(each, axis=0))
        lengths = np.where(apart, each[0], 1)
    rows = np.repeat(np.arange(len(batch)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    arrays, names = [], []
    for place, field in enumerate(batch.schema):
        if field.name not in columns:
            arrays.append(batch.column(place).take(pa.array(rows)))
            names.append(field.name)
    for name, column in columns.items():
        starts = column.offsets.to_numpy()[:-1]
        elements = pa.array(starts[rows] + places, mask=~apart[rows])
        arrays.append(column.values.take(elements))
        names.append(name + EACH)
    return pa.RecordBatch.from_arrays(arrays, names), rows, places


def _is_list(array: pa.Array) -> bool:
    return pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
