"""Candidate selection: which items of a day's catalogue go into the index, with raw features."""

import dataclasses
import datetime
import glob
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.schema import RawFeature, raw_features
from twotower_tf.storage import Partition


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


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The N items that may be recommended, in the catalogue's order.

    Attributes:
        item_ids: [N] objects (str), each once.
        titles: [N] objects (str), ``""`` where there is none.
        features: The candidate tower's raw features by name: [N] objects (str) or float32, or
            ``Lists`` of N.
    """

    item_ids: np.ndarray
    titles: np.ndarray
    features: dict[str, np.ndarray | Lists]

    def __len__(self) -> int:
        return len(self.item_ids)


def load_candidates(
    catalogue_partition: Partition, config: Config, day: datetime.date
) -> Candidates:
    """Selects the candidates of a day and reads their raw features.

    An item that is published after the end of ``day`` (UTC) is none. Of rows with the same id the
    last one counts. Missing values get their declared defaults, ages their serving value.

    Raises:
        InputError: If the catalogue was not published.
        JobError: If no item is left.
    """
    raws = raw_features(config, "candidate")
    columns = {"item_id", "title", "published_at", *(raw.column for raw in raws)}
    rows = _read_catalogue(catalogue_partition, columns)
    # The id may be asked for under the name the source gives it.
    own_name = config.source.items.columns.item_id
    if own_name not in rows.column_names:
        rows = rows.append_column(own_name, rows["item_id"])
    rows = _published(_last_of_each_id(rows), day)
    if not len(rows):
        raise JobError(
            f"the catalogue of {day} has no item published by then: there is nothing to index"
        )
    return Candidates(
        item_ids=_strings(rows["item_id"], ""),
        titles=_strings(_column(rows, "title"), ""),
        features={raw.name: _feature(rows, raw) for raw in raws},
    )


def load_titles(catalogue_partition: Partition) -> dict[str, str]:
    """Returns the titles of a catalogue's items by item id, of those that have one.

    Raises:
        InputError: If the catalogue was not published.
    """
    rows = _read_catalogue(catalogue_partition, {"item_id", "title"})
    ids, titles = rows["item_id"].to_pylist(), _strings(_column(rows, "title"), "")
    return {item_id: title for item_id, title in zip(ids, titles, strict=True) if title}


def _read_catalogue(partition: Partition, columns: set[str]) -> pa.Table:
    shards = partition.manifest().get("shards")
    if shards is None:
        paths = sorted(glob.glob(os.path.join(glob.escape(partition.path), "*.parquet")))
    else:
        paths = [partition.file(shard["file"]) for shard in shards]
    tables = []
    for path in paths:
        present = set(pq.read_schema(path).names)
        tables.append(pq.read_table(path, columns=sorted(columns & present)))
    if not tables:
        return pa.table({"item_id": pa.array([], pa.string())})
    return pa.concat_tables(tables, promote_options="permissive")


def _last_of_each_id(rows: pa.Table) -> pa.Table:
    last = {item_id: row for row, item_id in enumerate(rows["item_id"].to_pylist()) if item_id}
    return rows.take(pa.array(sorted(last.values()), pa.int64()))


def _published(rows: pa.Table, day: datetime.date) -> pa.Table:
    if "published_at" not in rows.column_names:
        return rows
    next_day = datetime.datetime.combine(
        day + datetime.timedelta(days=1), datetime.time(), datetime.timezone.utc
    )
    published = pc.less(rows["published_at"].cast(pa.int64()), int(next_day.timestamp()))
    return rows.filter(pc.fill_null(published, True))


def _feature(rows: pa.Table, raw: RawFeature) -> np.ndarray | Lists:
    if raw.since is not None:
        return np.full(len(rows), raw.default, np.float32)
    column = _column(rows, raw.column)
    if raw.is_list:
        return _lists(column, raw)
    if raw.dtype == "float":
        return _floats(column, raw.default)
    return _strings(column, raw.default)


def _column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    if name in rows.column_names:
        return rows[name]
    return pa.chunked_array([pa.nulls(len(rows))])


def _strings(column: pa.ChunkedArray, default: str) -> np.ndarray:
    return pc.fill_null(column.cast(pa.string()), default).to_numpy()


def _floats(column: pa.ChunkedArray, default: float) -> np.ndarray:
    return pc.fill_null(column.cast(pa.float64()), default).to_numpy().astype(np.float32)


def _lists(column: pa.ChunkedArray, raw: RawFeature) -> Lists:
    if pa.types.is_string(column.type):
        column = pc.split_pattern(column, raw.separator)
    column = column.cast(pa.list_(pa.string() if raw.dtype == "bytes" else pa.float64()))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    flat = pc.list_flatten(column)
    values = _strings(flat, "") if raw.dtype == "bytes" else _floats(flat, 0.0)
    return _keep_last(Lists(values, _splits(lengths)), raw.max_length)


def _keep_last(lists: Lists, max_length: int | None) -> Lists:
    lengths = np.diff(lists.row_splits)
    if max_length is None or not len(lengths) or lengths.max() <= max_length:
        return lists
    kept = np.minimum(lengths, max_length)
    splits = _splits(kept)
    first = np.repeat(lists.row_splits[1:] - kept - splits[:-1], kept)
    return Lists(lists.values[first + np.arange(splits[-1])], splits)


def _splits(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
