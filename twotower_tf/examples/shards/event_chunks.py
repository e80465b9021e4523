"""Records of logs on their way to the worker that makes their shard: chunks, in files.

What a runner groups are the places of chunks, not the chunks: a runner that holds what it groups
in memory, as Beam's in-process one does (10 million events took it 2.5 GB), then has little to
hold, and no other copies them more than once.
"""

import os
import uuid
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from twotower_tf import storage
from twotower_tf.examples import hashes
from twotower_tf.storage.whole_files import whole_file

FOLDER = "chunks"
# So many events are held back and cut together: few large chunks are faster than many small ones.
_EVENTS_TOGETHER = 1 << 19
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Place(NamedTuple):
    """Where a chunk is.

    Attributes:
        log: ``events``, ``searches`` or ``impressions``: what it is of.
        name: The file's name.
        offset: Its first byte in the file.
        size: Its number of bytes; 0: no chunk at all.
    """

    log: str
    name: str
    offset: int
    size: int


NOWHERE = Place("", "", 0, 0)


def cut_by_shard(
    log: str, tables: Iterable[pa.Table], count: int, scratch: str
) -> Iterator[tuple[int, Place]]:
    """Writes records of a log in chunks, each of one shard of users.

    Args:
        log: Which.
        tables: They, all of one schema.
        count: The number of shards.
        scratch: The chunks' files go to the folder ``FOLDER`` in it.

    Yields:
        Shards, each with the place of some of what it is of: an Arrow stream (LZ4).
    """
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= _EVENTS_TOGETHER:
            yield from _cut(log, waiting, count, scratch)
            waiting, rows = [], 0
    if rows:
        yield from _cut(log, waiting, count, scratch)


def _cut(log: str, tables: list[pa.Table], count: int, scratch: str) -> list[tuple[int, Place]]:
    # Of each table by itself: to put them together first would double what is held.
    parts = [_sorted_by_shard(table, count) for table in tables]
    name = f"{uuid.uuid4().hex}.arrows"
    places: list[tuple[int, Place]] = []
    path = os.path.join(scratch, FOLDER, name)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        for shard in range(count):
            slices = [table.slice(bounds[shard], _length(bounds, shard)) for table, bounds in parts]
            chunk = pa.concat_tables(slices)
            if len(chunk):
                start = file.tell()
                with pa.ipc.new_stream(file, chunk.schema, options=_OPTIONS) as writer:
                    writer.write_table(chunk.combine_chunks())
                places.append((shard, Place(log, name, start, file.tell() - start)))
    return places


def _sorted_by_shard(table: pa.Table, count: int) -> tuple[pa.Table, np.ndarray]:
    """Returns a table by shard, and where each shard begins, int64 [count + 1]."""
    shards = hashes.shards(table["user_hash"].to_numpy(), count)
    order = np.argsort(shards, kind="stable")
    return table.take(pa.array(order)), np.searchsorted(shards[order], np.arange(count + 1))


def _length(bounds: np.ndarray, shard: int) -> int:
    return int(bounds[shard + 1] - bounds[shard])


def read_chunks(places: Iterable[Place], log: str, scratch: str, schema: pa.Schema) -> pa.Table:
    """Returns a log's chunks as one table, in the order the places come."""
    tables = [schema.empty_table()]
    for of, name, offset, size in places:
        if size and of == log:
            with storage.open_input(os.path.join(scratch, FOLDER, name)) as file:
                file.seek(offset)
                with pa.ipc.open_stream(file.read(size)) as reader:
                    tables.append(reader.read_all())
    return pa.concat_tables(tables).combine_chunks()
