"""Reads a day's catalogue back: item ids, the candidate tower's raw features, and titles."""

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.items.catalogue import KIND
from twotower_tf.examples.schema import RawFeature, raw_features
from twotower_tf.examples.value_types.lists import Lists, column_values
from twotower_tf.storage import Partition, Workdir, arrow_input


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

    An item that is published after the end of ``day`` is left out. Ages get their serving
    value; what else is missing got its declared default when the catalogue was built.

    Raises:
        InputError: If there is no catalogue up to the day.
        JobError: If no item is left.
    """
    partition = latest_catalogue(workdir, day)
    rows = read_columns(partition, ["item_id", "published_at", *_stored_columns(config)])
    current = _current(rows, Calendar.of(config).end_of(day))
    if not len(current):
        raise nothing_published(day)
    return _catalogue(rows.take(pa.array(current)), config)


def distinct_ids(partition: Partition) -> list[str]:
    """Returns the ids of all items of a catalogue, each once."""
    return list(dict.fromkeys(read_columns(partition, ["item_id"])["item_id"].to_pylist()))


def whole_catalogue(partition: Partition, config: Config) -> Catalogue:
    """Reads all items of a catalogue, those that are not published yet too."""
    rows = read_columns(partition, ["item_id", *_stored_columns(config)])
    return _catalogue(rows.take(pa.array(np.flatnonzero(last_of_each_id(rows["item_id"])))), config)


def current_rows(partition: Partition, config: Config, day: datetime.date) -> np.ndarray:
    """Returns the positions, int64, of a catalogue's items that are published by the end of a day.

    Of several rows with the same id the last one holds.
    """
    rows = read_columns(partition, ["item_id", "published_at"])
    return _current(rows, Calendar.of(config).end_of(day))


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


def published_before(published_at: pa.ChunkedArray, end: int) -> np.ndarray:
    """Returns [N] bool: whether an item is published before a second, or it isn't known."""
    return pc.fill_null(pc.less(published_at, end), True).to_numpy()


def find_titles(partition: Partition, item_ids: Sequence[str]) -> dict[str, str]:
    """Returns the titles of some of a catalogue's items by item id, of those that have one.

    Raises:
        InputError: If the catalogue was not published.
    """
    return find_texts(partition, "title", item_ids)


def find_texts(partition: Partition, column: str, item_ids: Sequence[str]) -> dict[str, str]:
    """Returns a column of texts of some of a catalogue's items by item id, where there is one.

    Only the row groups that may hold one of them are read.

    Raises:
        InputError: If the catalogue was not published.
    """
    wanted = pa.array(item_ids, pa.string())
    found: dict[str, str] = {}
    for path in _paths(partition):
        with pq.ParquetFile(arrow_input(path)) as file:
            for number in range(file.num_row_groups):
                if not _may_hold(file.metadata.row_group(number), item_ids):
                    continue
                rows = file.read_row_group(number, ["item_id", column])
                rows = rows.filter(pc.is_in(rows["item_id"], wanted))
                ids, texts = rows["item_id"].to_pylist(), rows[column].to_pylist()
                found |= dict(zip(ids, texts, strict=True))
    return {item_id: text for item_id, text in found.items() if text}


def _may_hold(group: pq.RowGroupMetaData, item_ids: Sequence[str]) -> bool:
    """Says whether one of some items may be in a row group, by the ids it says it lies between."""
    columns = (group.column(position) for position in range(group.num_columns))
    ids = next(column for column in columns if column.path_in_schema == "item_id")
    if ids.statistics is None or not ids.statistics.has_min_max:
        return True
    return any(ids.statistics.min <= item_id <= ids.statistics.max for item_id in item_ids)


def _current(rows: pa.Table, end: int) -> np.ndarray:
    current = last_of_each_id(rows["item_id"]) & published_before(rows["published_at"], end)
    return np.flatnonzero(current)


def _stored_columns(config: Config) -> list[str]:
    return [raw.key for raw in raw_features(config, "candidate")]


def _paths(partition: Partition) -> list[str]:
    return [partition.file(shard["file"]) for shard in partition.manifest()["shards"]]


def _catalogue(rows: pa.Table, config: Config) -> Catalogue:
    return Catalogue(
        item_ids=column_values(rows["item_id"]),
        features={raw.name: _feature(rows, raw) for raw in raw_features(config, "candidate")},
        since={
            raw.name: pc.fill_null(rows[raw.key].cast(pa.float64()), np.nan).to_numpy()
            for raw in raw_features(config, "candidate")
            if raw.type.depends_on_time
        },
    )


def _feature(rows: pa.Table, raw: RawFeature) -> np.ndarray | Lists:
    if raw.type.depends_on_time:
        # What is asked for has not happened yet.
        return np.full(len(rows), raw.type.default, np.float32)
    return raw.type.of_catalogue(rows[raw.key])
