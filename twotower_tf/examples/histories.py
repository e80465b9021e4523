"""History snapshots: every user's last items at the end of a day.

A snapshot is a few Parquet files, split by a hash of the user id and sorted by it, a row a user
who has acted so far: ``user_id``, ``item_ids`` and ``timestamps`` (Unix seconds), oldest first, at
most ``examples.history_length`` of each, and ``query``, the user's own query features as JSON.
Every valid event counts as acted on, whatever its reward.
"""

import dataclasses
import hashlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from twotower_tf.storage import Partition

KIND = "histories"
_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("timestamps", pa.list_(pa.int64())),
        ("query", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """A user's row of a snapshot; see the module for the meaning of its columns."""

    user_id: str
    item_ids: list[str]
    timestamps: list[int]
    query: str


def user_hash(user_id: str) -> tuple[int, float]:
    """Returns a user's hash twice, independent: a whole number, and a share in [0, 1)."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:14], "big") / 2**48


def shard_name(user_number: int, shards: int) -> str:
    """Returns the file of a snapshot that holds a user, by the number of ``user_hash``."""
    return f"histories-{user_number % shards:05d}-of-{shards:05d}.parquet"


def write_histories(path: str, rows: list[tuple]) -> None:
    """Writes a shard.

    Args:
        path: Where.
        rows: ``(user_id, item_ids, timestamps, query)`` each, sorted by user.
    """
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def read_histories(path: str) -> Iterator[History]:
    """Yields the rows of a shard in order."""
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield History(*row)


def find_history(partition: Partition, user_id: str) -> History | None:
    """Returns a user's history in a snapshot, None for a user who has not acted so far.

    Raises:
        InputError: If the snapshot was not published.
    """
    shards = len(partition.manifest()["shards"])
    if not shards:
        return None
    number, _ = user_hash(user_id)
    path = partition.file(shard_name(number, shards))
    rows = pyarrow.parquet.read_table(path, filters=pyarrow.compute.field("user_id") == user_id)
    for row in rows.to_pylist():
        return History(**row)
    return None
