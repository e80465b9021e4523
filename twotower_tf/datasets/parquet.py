"""Parquet files in batches of columns."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from twotower_tf import storage
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import EACH, roots_of
from twotower_tf.datasets.text_files import PARQUET, form_of
from twotower_tf.errors import InputError

_BATCH_ROWS = 32_768
_BUFFER_BYTES = 1 << 20
# A request to an object store takes as long as some megabytes do.
_BUFFER_BYTES_OF_STORE = 4 << 20


def row_group_bytes(path: str) -> list[int]:
    """Returns the compressed size of each row group; none of a file that can't be read.

    Raises:
        InputError: If the file can't be opened.
    """
    opened = _open(path)
    if isinstance(opened, Unreadable):
        return []
    with opened:
        metadata = opened.metadata
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        return [
            sum(group.column(column).total_compressed_size for column in range(group.num_columns))
            for group in groups
        ]


def row_count(path: str) -> int:
    """Returns how many rows a file has, 0 if it can't be read; raises InputError if it can't be
    opened."""
    opened = _open(path)
    if isinstance(opened, Unreadable):
        return 0
    with opened:
        return opened.metadata.num_rows


def parquet_columns(path: str) -> list[str] | Unreadable:
    """Returns the names of a file's columns, those inside of others too.

    Of what is no Parquet file that can be read, why.

    Raises:
        InputError: If the file can't be opened.
    """
    opened = _open(path)
    if isinstance(opened, Unreadable):
        return opened
    with opened:
        return [name for field in opened.schema_arrow for name in _names_of(field)]


def _names_of(field: pa.Field) -> Iterator[str]:
    """Yields the name of a column and of those inside of it: ``items[].id`` of a list's."""
    yield field.name
    type_, name = field.type, field.name
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        type_, name = type_.value_type, name + EACH
        yield name
    if pa.types.is_struct(type_):
        for inside in type_:
            yield from _names_of(inside.with_name(f"{name}.{inside.name}"))


def read_parquet(
    path: str,
    columns: Sequence[str] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[tuple[int, pa.RecordBatch | Unreadable]]:
    """Reads row groups ``[start, stop)`` batch by batch.

    A damaged row group costs what follows in it, and the reading goes on with the next one: it
    makes no difference how a file is split.

    Args:
        path: The file.
        columns: The columns to read, those of them that the file has, whole where they are inside
            of others; None: all.
        start: A row group.
        stop: A row group; None: to the end.

    Yields:
        The first row's number, from 1, and the batch, times in UTC or without a zone and none in
        nanoseconds; where the file is damaged, one Unreadable.

    Raises:
        InputError: If the file can't be opened.
    """
    opened = _open(path)
    if isinstance(opened, Unreadable):
        yield 1, opened
        return
    with opened:
        sizes = [
            opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)
        ]
        for group in range(start, len(sizes) if stop is None else stop):
            yield from _read_group(opened, group, sum(sizes[:group]) + 1, columns)


def _read_group(
    opened: pq.ParquetFile, group: int, row: int, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch | Unreadable]]:
    if columns is not None:
        # In the file's order, in which a rejected record is shown.
        columns = roots_of(opened.schema_arrow.names, columns)
    batches = opened.iter_batches(
        _BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False
    )
    try:
        for batch in batches:
            yield row, _readable(batch)
            row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        _raise_if_of_store(error)
        reason = f"the Parquet file is damaged from here on: {one_line(error)}"
        yield row, Unreadable("", reason, of_file=True)


def _open(path: str) -> pq.ParquetFile | Unreadable:
    """Opens a file; the Unreadable says why it can't be read."""
    try:
        # With a buffer size, columns are streamed and not held whole for a row group.
        return pq.ParquetFile(
            storage.arrow_input(path),
            buffer_size=_BUFFER_BYTES_OF_STORE if storage.is_url(path) else _BUFFER_BYTES,
            page_checksum_verification=True,
        )
    except (PermissionError, FileNotFoundError) as error:
        raise InputError(f"{path} can't be read: {error}") from error
    except (OSError, pa.ArrowException) as error:
        _raise_if_of_store(error)
        return Unreadable("", _why_not(path, error), of_file=True)


def _why_not(path: str, error: Exception) -> str:
    no_data = form_of(path).no_data
    if no_data not in (None, PARQUET):
        return f"not a Parquet file but {no_data}"
    return f"not a Parquet file that can be read: {one_line(error)}"


def _raise_if_of_store(error: Exception) -> None:
    """Raises what an object store could not do: the file itself may be in order."""
    if storage.is_of_store(error):
        raise error


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Casts what Python could not hold, or would take for something else.

    Times in nanoseconds and in zones that Python may not know, and bytes, which are how some
    writers store text.
    """
    for position, field in enumerate(batch.schema):
        type_ = _readable_type(field.type)
        if type_ == field.type:
            continue
        with contextlib.suppress(pa.ArrowInvalid):
            # Bytes of which some are no text stay as they are.
            column = batch.column(position).cast(type_, safe=False)
            column.validate(full=True)
            batch = batch.set_column(position, field.with_type(type_), column)
    return batch


def _readable_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us" if type_.unit == "ns" else type_.unit, type_.tz and "UTC")
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return pa.string()
    if pa.types.is_large_binary(type_):
        return pa.large_string()
    if pa.types.is_list(type_):
        return pa.list_(_readable_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([inside.with_type(_readable_type(inside.type)) for inside in type_])
    return type_


def batch_records(batch: pa.RecordBatch) -> list[dict[str, Any] | Unreadable]:
    """Converts a record batch to Python values; a row that can't be is Unreadable alone."""
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [Unreadable("", f"a value that can't be converted: {one_line(error)}")]
    rows = (batch.slice(row, 1) for row in range(batch.num_rows))
    return [record for row in rows for record in batch_records(row)]


def one_line(error: Exception) -> str:
    """Returns the text of an error in one line."""
    return " ".join(str(error).split())
