"""Reads a day's catalogue back: item ids, the candidate tower's raw features, and titles."""

import dataclasses
import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.items.catalogue import KIND
from twotower_tf.examples.schema import RawFeature, raw_features
from twotower_tf.storage import Partition, Workdir, arrow_input


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

    def take(self, rows: np.ndarray) -> "Lists":
        """Returns the lists of some items, by position."""
        lengths = np.diff(self.row_splits)[rows]
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        # The place of each value: where its list began, and how far in it is.
        shift = np.repeat(self.row_splits[:-1][rows] - splits[:-1], lengths)
        return Lists(self.values[np.arange(splits[-1]) + shift], splits)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The N items that there are on a day, in the order of their ids.

    Attributes:
        item_ids: [N] objects (str), each once.
        features: The candidate tower's raw features by name, as they are served: [N] objects (str)
            or float32, or ``Lists`` of N. Of an age it is the serving value, the same for all.
        since: When each item's age began, by the name of the age: float64 [N], Unix seconds, NaN
            where it is not known, and the age always its serving value.
    """

    item_ids: np.ndarray
    features: dict[str, np.ndarray | Lists]
    since: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item_ids)

    def take(self, rows: np.ndarray) -> "Catalogue":
        """Returns the catalogue of some of the items only, by position."""
        features = {
            name: values.take(rows) if isinstance(values, Lists) else values[rows]
            for name, values in self.features.items()
        }
        since = {name: times[rows] for name, times in self.since.items()}
        return Catalogue(self.item_ids[rows], features, since)


@dataclasses.dataclass(frozen=True)
class RowGroup:
    """A part of a catalogue that can be read alone.

    Attributes:
        path: The Parquet file.
        number: Which of its row groups.
        rows: How many rows it has.
    """

    path: str
    number: int
    rows: int


def load_catalogue(workdir: Workdir, config: Config, day: datetime.date) -> Catalogue:
    """Reads the latest catalogue that is not after a day.

    An item that is published after the end of ``day`` (UTC) is left out. Ages get their serving
    value; what else is missing got its declared default when the catalogue was built.

    Raises:
        InputError: If there is no catalogue up to the day.
        JobError: If no item is left.
    """
    partition = latest_catalogue(workdir, day)
    rows = read_columns(partition, ["item_id", "published_at", *_stored_columns(config)])
    current = _current(rows, day)
    if not len(current):
        raise nothing_published(day)
    return _catalogue(rows.take(pa.array(current)), config)


def current_rows(partition: Partition, day: datetime.date) -> np.ndarray:
    """Returns the positions, int64, of a catalogue's items that are published by the end of a day.

    Of several rows with the same id the last one holds.
    """
    return _current(read_columns(partition, ["item_id", "published_at"]), day)


def nothing_published(day: datetime.date) -> JobError:
    """Returns the error for a catalogue none of whose items is published by the end of a day."""
    return JobError(
        f"the catalogue of {day} has no item published by then: there is nothing to recommend"
    )


def read_catalogue(partition: Partition, config: Config) -> Catalogue:
    """Returns all rows of a catalogue, in the order of its row groups."""
    return _catalogue(read_columns(partition, ["item_id", *_stored_columns(config)]), config)


def latest_catalogue(workdir: Workdir, day: datetime.date) -> Partition:
    """Returns the latest catalogue that is not after a day; raises InputError if there is none."""
    partition = workdir.latest(KIND, day)
    if partition is None:
        raise InputError(f"there is no catalogue of {day} or before: run build_examples first")
    return partition


def read_columns(partition: Partition, columns: list[str]) -> pa.Table:
    """Returns some columns of all rows of a catalogue, in the order of its row groups."""
    paths = _paths(partition)
    return pa.concat_tables(pq.read_table(arrow_input(path), columns=columns) for path in paths)


def row_groups(partition: Partition) -> list[RowGroup]:
    """Returns the row groups of a catalogue, in order."""
    groups = []
    for path in _paths(partition):
        described = pq.read_metadata(arrow_input(path))
        for number in range(described.num_row_groups):
            groups.append(RowGroup(path, number, described.row_group(number).num_rows))
    return groups


def read_row_group(group: RowGroup, rows: np.ndarray, config: Config) -> Catalogue:
    """Reads some rows of a row group, given their positions in it, ascending."""
    with pq.ParquetFile(arrow_input(group.path)) as file:
        table = file.read_row_group(group.number, ["item_id", *_stored_columns(config)])
    return _catalogue(table.take(pa.array(rows)), config)


def last_of_each_id(item_ids: pa.ChunkedArray) -> np.ndarray:
    """Returns [N] bool: whether no later row has the same id; such a row replaces this one."""
    if pc.count_distinct(item_ids).as_py() == len(item_ids):
        return np.ones(len(item_ids), bool)
    numbered = pa.table({"item_id": item_ids, "row": np.arange(len(item_ids))})
    last = numbered.group_by("item_id").aggregate([("row", "max")])["row_max"]
    result = np.zeros(len(item_ids), bool)
    result[last.to_numpy()] = True
    return result


def end_of(day: datetime.date) -> int:
    """Returns the Unix seconds at which a day (UTC) ends."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)
    return int((midnight + datetime.timedelta(days=1)).timestamp())


def published_by(published_at: pa.ChunkedArray, day: datetime.date) -> np.ndarray:
    """Returns [N] bool: whether an item is published by the end of a day, or it isn't known."""
    return pc.fill_null(pc.less(published_at, end_of(day)), True).to_numpy()


def load_titles(partition: Partition) -> dict[str, str]:
    """Returns the titles of a catalogue's items by item id, of those that have one.

    Raises:
        InputError: If the catalogue was not published.
    """
    rows = read_columns(partition, ["item_id", "title"])
    ids, titles = rows["item_id"].to_pylist(), rows["title"].to_pylist()
    return {item_id: title for item_id, title in zip(ids, titles, strict=True) if title}


def _current(rows: pa.Table, day: datetime.date) -> np.ndarray:
    current = last_of_each_id(rows["item_id"]) & published_by(rows["published_at"], day)
    return np.flatnonzero(current)


def _stored(raw: RawFeature) -> str:
    return f"candidate/{raw.name}"


def _stored_columns(config: Config) -> list[str]:
    return [_stored(raw) for raw in raw_features(config, "candidate")]


def _paths(partition: Partition) -> list[str]:
    return [partition.file(shard["file"]) for shard in partition.manifest()["shards"]]


def _catalogue(rows: pa.Table, config: Config) -> Catalogue:
    return Catalogue(
        item_ids=_values(rows["item_id"]),
        features={raw.name: _feature(rows, raw) for raw in raw_features(config, "candidate")},
        since={
            raw.name: pc.fill_null(rows[_stored(raw)].cast(pa.float64()), np.nan).to_numpy()
            for raw in raw_features(config, "candidate")
            if raw.since is not None
        },
    )


def _feature(rows: pa.Table, raw: RawFeature) -> np.ndarray | Lists:
    if raw.since is not None:
        return np.full(len(rows), raw.default, np.float32)
    column = rows[_stored(raw)]
    if not raw.is_list:
        return _values(column)
    lengths = pc.list_value_length(column).to_numpy()
    splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    return Lists(_values(pc.list_flatten(column)), splits)


def _values(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_string(column.type):
        return pc.fill_null(column, "").to_numpy()
    return column.to_numpy().astype(np.float32)
