"""Keyed files of users: a row a user, looked up without reading the other users.

A keyed file is an Arrow IPC file (polars and pandas read it too) with the columns ``user_hash``
(``hashes.text_hashes``) and ``user_id`` and any others, sorted by these two. Its record batches,
the *blocks*, hold 32 users each; an empty batch at the end carries the first hash of every block.
So a look-up reads the end of the file and then, from front to back, only the blocks that may hold
a user it asks for. Users of one hash are never in two blocks.

Blocks are not compressed: LZ4 made files of histories half as large, but a block then took 60 to
80 microseconds to read instead of 4 to 6, and sparse look-ups read a block a user.

The same rows make the same bytes.
"""

import base64
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf import storage
from twotower_tf.errors import InputError
from twotower_tf.examples.hashes import shards, text_hashes

BLOCK_ROWS = 32
KEYS = (pa.field("user_hash", pa.uint64()), pa.field("user_id", pa.string()))
# So many blocks are handled at once: it pays in calls, and bounds memory.
_BLOCKS_AT_ONCE = 128
_INDEX_KEY = b"first_hashes"


class Found(NamedTuple):
    """What a look-up found.

    Attributes:
        rows: The rows found, in the order in which they were asked for.
        asked: Their places among the users asked for, int64 [rows], ascending.
        rows_read: How many rows the blocks held that were read.
    """

    rows: pa.Table
    asked: np.ndarray
    rows_read: int


def keyed(rows: pa.Table) -> pa.Table:
    """Returns a table with ``user_id`` and without ``user_hash`` as a keyed file has it, sorted."""
    hashes = pa.array(text_hashes(rows["user_id"]), pa.uint64())
    rows = rows.add_column(0, KEYS[0], hashes)
    return rows.take(_order(rows))


def _order(rows: pa.Table) -> pa.Array:
    return pc.sort_indices(rows, sort_keys=[(key.name, "ascending") for key in KEYS])


class Writer:
    """Takes the rows of a keyed file, a piece at a time; ``writing`` makes one.

    Attributes:
        rows: How many it took.
    """

    def __init__(self, file: pa.ipc.RecordBatchFileWriter, schema: pa.Schema):
        self._schema = schema
        self._file = file
        self._first_hashes: list[np.ndarray] = []
        self._waiting = schema.empty_table()
        self.rows = 0

    def add(self, piece: pa.Table) -> None:
        """Adds rows; all pieces together are sorted as ``keyed`` sorts, and have no user twice."""
        self.rows += piece.num_rows
        rows = pa.concat_tables([self._waiting, piece]).combine_chunks()
        starts = _block_starts(rows)
        # The last block may go on in the next piece.
        last = int(starts[-1]) if len(starts) else 0
        self._write_blocks(rows.slice(0, last), starts[:-1])
        self._waiting = rows.slice(last)

    def finish(self) -> None:
        """Writes what is left, and the index."""
        self._write_blocks(self._waiting, _block_starts(self._waiting))
        firsts = np.concatenate([np.empty(0, np.uint64), *self._first_hashes])
        # As text, for readers in other languages insist that metadata are UTF-8.
        text = base64.b64encode(firsts.astype("<u8").tobytes())
        empty = pa.RecordBatch.from_pylist([], self._schema)
        self._file.write_batch(empty, custom_metadata={_INDEX_KEY: text})

    def _write_blocks(self, rows: pa.Table, starts: np.ndarray) -> None:
        if not rows.num_rows:
            return
        self._first_hashes.append(_hashes(rows)[starts])
        (batch,) = rows.combine_chunks().to_batches()
        for start, end in itertools.pairwise([*starts.tolist(), rows.num_rows]):
            self._file.write_batch(batch.slice(start, end - start))


@contextlib.contextmanager
def writing(path: str, schema: pa.Schema) -> Iterator[Writer]:
    """Gives the writer of a keyed file whose ``schema`` starts with ``KEYS``."""
    with open(path, "wb") as file, pa.ipc.new_file(file, schema) as arrow_file:
        writer = Writer(arrow_file, schema)
        yield writer
        writer.finish()


def _block_starts(rows: pa.Table) -> np.ndarray:
    hashes = _hashes(rows)
    starts = np.arange(0, len(hashes), BLOCK_ROWS)
    while (split := (starts > 0) & (hashes[starts] == hashes[starts - 1])).any():
        starts = starts + split
        starts = np.unique(starts[starts < len(hashes)])
    return starts


def _hashes(rows: pa.Table) -> np.ndarray:
    return rows["user_hash"].to_numpy()


def write(path: str, rows: pa.Table) -> int:
    """Writes rows, one a user, in any order, without ``user_hash``; returns how many."""
    table = keyed(rows)
    with writing(path, table.schema) as writer:
        writer.add(table)
    return writer.rows


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pa.ipc.RecordBatchFileReader]:
    try:
        # Look-ups go through a file once, from front to back: what a buffer is good for.
        with storage.open_input(path) as file:
            yield pa.ipc.open_file(file)
    except FileNotFoundError as error:
        raise InputError(f"{path} is gone: put it back, or build into a new folder") from error


def _first_hashes(file: pa.ipc.RecordBatchFileReader) -> np.ndarray:
    _, metadata = file.get_batch_with_custom_metadata(file.num_record_batches - 1)
    return np.frombuffer(base64.b64decode(metadata[_INDEX_KEY]), "<u8")


def lookup(paths: Sequence[str], user_ids: pa.Array, schema: pa.Schema) -> Found:
    """Looks users up in files; of a user's rows that of the first file holds.

    Args:
        paths: Keyed files, the newest first.
        user_ids: string [n], no user twice.
        schema: Of the answer; the files may have other columns, and lack lists.

    Raises:
        InputError: If a file is gone.
    """
    hashes = text_hashes(user_ids)
    missing = np.argsort(hashes, kind="stable")
    rows, asked, rows_read = [schema.empty_table()], [np.empty(0, np.int64)], 0
    for path in paths:
        if not len(missing):
            break
        found, places, read = _look_up(path, user_ids.take(pa.array(missing)), hashes[missing])
        rows.append(in_schema(found, schema))
        asked.append(missing[places])
        missing = np.delete(missing, places)
        rows_read += read
    places = np.concatenate(asked)
    order = np.argsort(places)
    return Found(pa.concat_tables(rows).take(pa.array(order)), places[order], rows_read)


def in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns rows with the columns of a schema: lists that an older file lacks are empty."""
    columns = [
        rows[field.name] if field.name in rows.column_names else _empty_lists(field, len(rows))
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _empty_lists(field: pa.Field, count: int) -> pa.Array:
    offsets = pa.array(np.zeros(count + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array([], field.type.value_type))


def _look_up(path: str, user_ids: pa.Array, hashes: np.ndarray) -> Found:
    """Looks users up in one file; the hashes are ascending."""
    rows, asked, rows_read = [], [np.empty(0, np.int64)], 0
    with _opened(path) as file:
        # -1: before the first block.
        block_of = np.searchsorted(_first_hashes(file), hashes, side="right") - 1
        blocks = np.unique(block_of[block_of >= 0])
        for first in range(0, len(blocks), _BLOCKS_AT_ONCE):
            some = blocks[first : first + _BLOCKS_AT_ONCE]
            read = _read(file, some.tolist())
            rows_read += read.num_rows
            start = np.searchsorted(block_of, some[0])
            end = np.searchsorted(block_of, some[-1], side="right")
            places = pc.index_in(read["user_id"], user_ids[start:end])
            is_asked = places.is_valid()
            rows.append(read.filter(is_asked))
            asked.append(start + places.filter(is_asked).to_numpy().astype(np.int64))
        found = pa.concat_tables([file.schema.empty_table(), *rows])
    return Found(found, np.concatenate(asked), rows_read)


def _read(file: pa.ipc.RecordBatchFileReader, blocks: Sequence[int]) -> pa.Table:
    batches = [file.get_batch(block) for block in blocks]
    return pa.Table.from_batches(batches, file.schema).combine_chunks()


def find_rows(
    shard_paths: Sequence[Sequence[str]], user_ids: Sequence[str], schema: pa.Schema
) -> list[dict | None]:
    """Looks users up in the files of all shards.

    Args:
        shard_paths: Of every shard its files, the newest first.
        user_ids: No user twice.
        schema: See ``lookup``.

    Returns:
        Of each user the row, the values by name; None without one.

    Raises:
        InputError: If a file is gone.
    """
    rows: list[dict | None] = [None] * len(user_ids)
    if not user_ids or not shard_paths:
        return rows
    asked = pa.array(user_ids, pa.string())
    shard_of = shards(text_hashes(asked), len(shard_paths))
    for shard in np.unique(shard_of).tolist():
        places = np.flatnonzero(shard_of == shard)
        found = lookup(shard_paths[shard], asked.take(pa.array(places)), schema)
        for place, row in zip(places[found.asked].tolist(), found.rows.to_pylist(), strict=True):
            rows[place] = row
    return rows


def scan(paths: Sequence[str]) -> Iterator[pa.Table]:
    """Yields the newest row of every user of several files, sorted, in bounded memory.

    Args:
        paths: Keyed files, the newest first.

    Raises:
        InputError: If a file is gone.
    """
    return merged([pieces(path) for path in paths])


def pieces(path: str) -> Iterator[pa.Table]:
    """Yields a file's rows, some thousands at a time; users of one hash stay together.

    Raises:
        InputError: If the file is gone.
    """
    with _opened(path) as file:
        # The last batch is the index.
        blocks = range(file.num_record_batches - 1)
        for first in range(0, len(blocks), _BLOCKS_AT_ONCE):
            yield _read(file, blocks[first : first + _BLOCKS_AT_ONCE])


def merged(sources: Sequence[Iterable[pa.Table]]) -> Iterator[pa.Table]:
    """Yields the newest row of every user of several sources, sorted.

    Args:
        sources: The newest first; each yields pieces as ``pieces`` does.
    """
    streams = [filter(len, source) for source in sources]
    heads = [next(stream, None) for stream in streams]
    while any(head is not None for head in heads):
        # Up to here every source's rows are in its head.
        until = min(_hashes(head)[-1] for head in heads if head is not None)
        ready = []
        for number, head in enumerate(heads):
            if head is not None:
                count = int(np.searchsorted(_hashes(head), until, side="right"))
                ready.append(head.slice(0, count))
                heads[number] = (
                    head.slice(count) if count < len(head) else next(streams[number], None)
                )
        yield newest(pa.concat_tables(ready).combine_chunks())


def newest(rows: pa.Table) -> pa.Table:
    """Returns the first row of each user, sorted; a user may have several, newest first."""
    # sort_indices is stable.
    rows = rows.take(_order(rows)).combine_chunks()
    user_ids = rows["user_id"]
    is_other = pc.not_equal(user_ids[1:], user_ids[:-1]).to_numpy(zero_copy_only=False)
    return rows.filter(pa.array(np.concatenate([[True], is_other])))
