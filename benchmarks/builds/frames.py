"""The same build as a script on data frames (polars), in one process: a bound, not a system.

Sorting, joins, histories and rewards are polars expressions; encoding and writing are a loop.
"""

import glob
import os
import struct

import google_crc32c
import polars as pl
from isal import igzip

from benchmarks.builds import definition
from benchmarks.builds.definition import (
    HIGH,
    HISTORY_LENGTH,
    HOLDOUT_SHARE,
    LOW,
    SPLITS,
    WINDOW_SECONDS,
    share,
    text_hash,
)
from benchmarks.builds.encoding import encode

_READERS = {".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson, ".csv": pl.read_csv}


def build(source: str, out: str, shards: int) -> None:
    """Builds all days of a source whose catalogue is one snapshot."""
    frame = _joined(source)
    frame = _with_places(frame, shards)
    for (day, split, shard), rows in frame.group_by("day", "split", "shard", maintain_order=True):
        _write(os.path.join(out, f"{day}-{SPLITS[split]}-{shard:05d}.tfrecord.gz"), rows)


def _joined(source: str) -> pl.DataFrame:
    paths = sorted(glob.glob(os.path.join(source, "events", "*", "*")))
    read = _READERS[os.path.splitext(paths[0])[1]]
    events = pl.concat([read(path) for path in paths], how="vertical_relaxed")
    events = events.unique(["user_id", "item_id", "timestamp"], keep="first", maintain_order=True)
    (items,) = glob.glob(os.path.join(source, "items", "*", "*"))
    users = pl.read_ndjson(os.path.join(source, "users.jsonl"))
    return events.join(pl.read_ndjson(items), on="item_id").join(users, on="user_id", how="left")


def _with_places(frame: pl.DataFrame, shards: int) -> pl.DataFrame:
    hashes = {name: _hashes(frame[name]) for name in ("user_id", "item_id")}
    times = frame["timestamp"].to_list()
    hashed = [
        definition.event_hash(user, item, time)
        for user, item, time in zip(hashes["user_id"], hashes["item_id"], times, strict=True)
    ]
    users = frame["user_id"].unique()
    places = {user: share(text_hash(user), definition.PLACE) for user in users}
    frame = frame.with_columns(
        pl.Series("hash", hashed, pl.UInt64),
        pl.Series("shard", [user % shards for user in hashes["user_id"]]),
        pl.Series(
            "split", [share(one, definition.HOLD_OUT) < HOLDOUT_SHARE for one in hashed]
        ).cast(pl.Int8),
        pl.col("user_id").replace_strict(places, return_dtype=pl.Float64).alias("user_share"),
        (pl.col("timestamp") // 86_400).alias("day"),
        (pl.col("timestamp") // WINDOW_SECONDS).alias("window"),
        ((pl.col("watched_seconds") / pl.col("duration_seconds") - LOW) / (HIGH - LOW))
        .clip(0.0, 1.0)
        .alias("reward"),
    ).sort("user_id", "timestamp", "hash")
    # How many of the user's events came strictly before.
    frame = frame.with_columns(
        pl.int_range(pl.len()).over("user_id").alias("number"),
        pl.int_range(pl.len()).over("user_id", "day", "window").alias("rank"),
        pl.len().over("user_id", "day", "window").alias("count"),
        pl.col("item_id").implode().over("user_id", mapping_strategy="join").alias("all_items"),
    ).with_columns(pl.col("number").min().over("user_id", "timestamp").alias("before"))
    start = pl.max_horizontal(pl.col("before") - HISTORY_LENGTH, 0)
    return frame.with_columns(
        pl.col("all_items").list.slice(start, pl.col("before") - start).alias("history"),
        ((pl.col("rank") + pl.col("user_share")) / pl.col("count")).alias("place"),
    ).sort("day", "split", "shard", "window", "place", "hash")


def _hashes(ids: pl.Series) -> list[int]:
    known = {one: text_hash(one) for one in ids.unique()}
    return [known[one] for one in ids]


def _write(path: str, rows: pl.DataFrame) -> None:
    with igzip.open(path, "wb", compresslevel=1) as file:
        for row in rows.iter_rows(named=True):
            record = encode(*_features(row))
            length = struct.pack("<Q", len(record))
            file.write(b"".join((length, _masked_crc(length), record, _masked_crc(record))))


def _features(row: dict) -> tuple:
    profile = {name: row[name] for name in ("country", "age") if row[name] is not None}
    return definition.features(row["user_id"], row, row["history"], profile, row)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
