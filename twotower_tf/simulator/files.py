"""The simulator's ids and files: rows of numbers in, lines of ids and names out."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.pages import SOURCES
from twotower_tf.simulator.world import COUNTRIES, DAY_SECONDS, DEVICES, World

_ROWS_AT_ONCE = 50_000


def user_id(row: int) -> str:
    """Returns the id of a user's row, such as u00012."""
    return f"u{row:05d}"


def item_id(row: int) -> str:
    """Returns the id of a video's row, such as v000123."""
    return f"v{row:06d}"


def item_row(name: str) -> int:
    """Returns the row of a video by its id, which must be one."""
    return int(name[1:])


def row_of(name: str, name_of: Callable[[int], str], count: int, kind: str) -> int:
    """Returns the row that `name_of` gives this name.

    Args:
      name: the id.
      name_of: `user_id` or `item_id`.
      count: rows below this exist.
      kind: what the id names, for the message.

    Raises:
      ValueError: no row has that name.
    """
    digits = name[1:] if isinstance(name, str) else ""
    row = int(digits) if digits.isascii() and digits.isdigit() else count
    if row >= count or name_of(row) != name:
        raise ValueError(
            f"no {kind} has the id {name!r}: ids go from {name_of(0)} to {name_of(count - 1)}"
        )
    return row


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Gives a temporary path to write, which takes the name `path` when the block succeeds.

    Args:
      path: the final path; its folder is made if it is not there.

    Yields:
      A hidden path in the same folder; it is removed if the block fails.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def write_users(path: str, world: World) -> None:
    """Writes one JSON object a user: user_id, country, age."""
    columns = (world.users.country.tolist(), world.users.age.tolist())
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row, (country, age) in enumerate(zip(*columns, strict=True)):
            record = {"user_id": user_id(row), "country": COUNTRIES[country], "age": age}
            file.write(json.dumps(record) + "\n")


def write_items(path: str, world: World, published: int) -> None:
    """Writes one JSON object for each of the first `published` videos.

    The fields are item_id, title, channel_id, topics (its topic, perhaps a second), and
    duration_seconds and published_at (Unix seconds).
    """
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for first in range(0, published, _ROWS_AT_ONCE):
            rows = range(first, min(first + _ROWS_AT_ONCE, published))
            file.writelines(json.dumps(item) + "\n" for item in _items(world, rows))


def _items(world: World, rows: range) -> Iterator[dict[str, Any]]:
    videos, here = world.videos, slice(rows.start, rows.stop)
    start = int(np.datetime64(world.settings.start, "s").astype(np.int64))
    published_at = start + videos.publish_day[here] * DAY_SECONDS + videos.publish_second[here]
    columns = (
        videos.title[here],
        videos.channel[here],
        videos.topic[here],
        videos.second_topic[here],
        videos.duration[here],
        published_at,
    )
    for row, title, channel, topic, second, duration, published in zip(
        rows, *(column.tolist() for column in columns), strict=True
    ):
        yield {
            "item_id": item_id(row),
            "title": " ".join(world.words[word] for word in title),
            "channel_id": f"c{channel:04d}",
            "topics": [f"topic_{t:02d}" for t in (topic, second) if t >= 0],
            "duration_seconds": duration,
            "published_at": published,
        }


def _event_rows(events: npt.NDArray[np.void]) -> Iterator[tuple]:
    names = ("user", "item", "timestamp", "seed", "watched_seconds", "device")
    columns = (events[name].tolist() for name in names)
    for user, item, timestamp, seed, watched, device in zip(*columns, strict=True):
        seed_item = item_id(seed) if seed >= 0 else None
        yield user_id(user), item_id(item), timestamp, seed_item, watched, DEVICES[device]


def _event_line(row: tuple) -> str:
    user, item, timestamp, seed, watched, device = row
    return (
        f'{{"user_id": "{user}", "item_id": "{item}", "timestamp": {timestamp}, '
        f'"seed_item_id": {"null" if seed is None else chr(34) + seed + chr(34)}, '
        f'"watched_seconds": {watched}, "device": "{device}"}}\n'
    )


def _impression_rows(impressions: npt.NDArray[np.void]) -> Iterator[tuple]:
    names = ("user", "item", "timestamp", "page", "position", "source", "score", "device")
    columns = (impressions[name].tolist() for name in names)
    for user, item, timestamp, page, position, source, score, device in zip(*columns, strict=True):
        yield (
            user_id(user),
            item_id(item),
            timestamp,
            # Pages are numbered anew each day, which is 86,400 seconds long.
            f"p{timestamp // DAY_SECONDS}-{page:06d}",
            position,
            SOURCES[source],
            score,
            DEVICES[device],
        )


def _impression_line(row: tuple) -> str:
    user, item, timestamp, page, position, source, score, device = row
    return (
        f'{{"user_id": "{user}", "item_id": "{item}", "timestamp": {timestamp}, '
        f'"page_id": "{page}", "position": {position}, "source": "{source}", '
        f'"score": {score}, "device": "{device}"}}\n'
    )


class Log(NamedTuple):
    """How the records of a log are written.

    Attributes:
      columns: the Arrow type of each column, by its name.
      rows: turns an array of records into rows of values.
      line: turns a row into a line of JSON. Ids and names need no escaping, so this is several
        times json.dumps' speed.
    """

    columns: dict[str, str]
    rows: Callable[[npt.NDArray[np.void]], Iterator[tuple]]
    line: Callable[[tuple], str]


EVENTS = Log(
    {
        "user_id": "string",
        "item_id": "string",
        "timestamp": "int64",
        "seed_item_id": "string",
        "watched_seconds": "float64",
        "device": "string",
    },
    _event_rows,
    _event_line,
)
IMPRESSIONS = Log(
    {
        "user_id": "string",
        "item_id": "string",
        "timestamp": "int64",
        "page_id": "string",
        "position": "int64",
        "source": "string",
        "score": "float64",
        "device": "string",
    },
    _impression_rows,
    _impression_line,
)

Chunks = Iterable[npt.NDArray[np.void]]


def _write_jsonl(path: str, log: Log, chunks: Chunks) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for chunk in chunks:
            file.writelines(map(log.line, log.rows(chunk)))


def _write_csv(path: str, log: Log, chunks: Chunks) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(log.columns)
        for chunk in chunks:
            writer.writerows(log.rows(chunk))


def _write_parquet(path: str, log: Log, chunks: Chunks) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [pa.type_for_alias(kind) for kind in log.columns.values()]
    schema = pa.schema(list(zip(log.columns, kinds, strict=True)))
    with pq.ParquetWriter(path, schema) as writer:
        for chunk in chunks:
            columns = zip(*log.rows(chunk), strict=True)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
            if arrays:
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


LOG_WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
