"""Finds the items of events in a catalogue snapshot, with their features encoded once an item.

What an item takes in a process: about 180 bytes to find it by (its id as a Python text, its place
in a dictionary), 8 for the reward's divisor and for each age, and, from the first time that
features are asked for, the bytes of its features in an example: 270 with configs/youtube.yaml.
"""

import functools
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.examples.encoding.list_columns import Ranges, TextLists, float_bytes
from twotower_tf.examples.encoding.wire_format import BINARY, FeatureColumns
from twotower_tf.examples.event_table import arrow_type
from twotower_tf.examples.records import DIVISOR
from twotower_tf.examples.schema import RawFeature, raw_features
from twotower_tf.examples.values import SECONDS_PER_DAY

UNKNOWN = -1
# So many look-ups a process keeps.
LOOKUPS_KEPT = 8
# So many items are read and encoded at a time.
_ITEMS = 65_536


def ages_in_days(timestamps: np.ndarray, since: pa.Array, default: float) -> np.ndarray:
    """Returns the days from ``since`` to ``timestamps`` (Unix seconds both), at least 0.

    Args:
        timestamps: int64 [n].
        since: [n], ``default`` is the age where it is null.
        default: An age in days.

    Returns:
        float64 [n].
    """
    days = np.maximum(0, timestamps - pc.fill_null(since, 0).to_numpy()) / SECONDS_PER_DAY
    return np.where(since.is_null().to_numpy(zero_copy_only=False), default, days)


def add_column(
    columns: FeatureColumns, key: str, raw: RawFeature, values: pa.Array, lists: TextLists
) -> None:
    """Adds the column of a raw feature to the features of an example.

    Args:
        columns: What to add to.
        key: The feature's key in the example.
        raw: The feature; not an age.
        values: Of type ``arrow_type(raw)``; null stands for its default, or for an empty list.
        lists: Encodes lists of texts.
    """
    if raw.is_list:
        ranges = Ranges.of(values).last(raw.max_length)
        if raw.dtype == "bytes":
            columns.add_text_lists(key, lists.encoded(ranges))
        else:
            columns.add_float_lists(key, float_bytes(ranges))
    elif raw.dtype == "bytes":
        columns.add_texts(key, pc.fill_null(values, raw.default))
    else:
        columns.add_floats(key, pc.fill_null(values, raw.default).to_numpy())


class ItemLookup:
    """Finds items in a snapshot, and what events need of them.

    Args:
        path: The snapshot's Parquet file (see ``catalogue``).
        config: Says which features there are.
    """

    def __init__(self, path: str, config: Config):
        self._path = path
        features = raw_features(config, "candidate")
        self._features = [raw for raw in features if raw.since is None]
        self._ages = [(_key(raw), raw) for raw in features if raw.since is not None]
        self._id_column = config.source.items.columns.item_id
        with pyarrow.parquet.ParquetFile(storage.arrow_input(path)) as file:
            divisor = [DIVISOR] if DIVISOR in file.schema_arrow.names else []
            table = file.read(["item_id", *divisor, *(key for key, _ in self._ages)])
        ids = table["item_id"].to_pylist()
        self._rows = dict(zip(ids, range(len(ids)), strict=True))
        self._divisors = np.full(len(ids), np.nan)
        if divisor:
            self._divisors = pc.fill_null(table[DIVISOR], np.nan).to_numpy()
        self._since = {key: table[key].combine_chunks() for key, _ in self._ages}
        self._columns: dict[tuple[str, ...], pa.Table] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def rows_of(self, item_ids: pa.Array) -> np.ndarray:
        """Returns the row of each item in the snapshot, int32 [n], ``UNKNOWN`` without one."""
        encoded = item_ids.dictionary_encode()
        distinct = encoded.dictionary
        rows = map(self._rows.get, distinct.to_pylist(), itertools.repeat(UNKNOWN))
        found = np.fromiter(rows, np.int32, len(distinct))
        return found[encoded.indices.to_numpy()]

    def divisors(self, rows: np.ndarray) -> np.ndarray:
        """Returns the numbers to divide the items' rewards by, float64 [n], NaN where missing."""
        return _taken(self._divisors, rows, np.nan)

    def ages(self, rows: np.ndarray, timestamps: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the candidate features that depend on the time.

        Args:
            rows: From ``rows_of``, [n].
            timestamps: int64 [n], Unix seconds.

        Returns:
            Ages in days by the feature's key in an example, float64 [n].
        """
        known = pa.array(rows, mask=rows == UNKNOWN)
        return {
            key: ages_in_days(timestamps, self._since[key].take(known), raw.default)
            for key, raw in self._ages
        }

    def columns(self, names: tuple[str, ...], rows: np.ndarray) -> pa.Table:
        """Returns columns of the snapshot for some items, null where one is not in it.

        Args:
            names: Of the columns; they are read when first asked for, and kept.
            rows: From ``rows_of``, [n].
        """
        if names not in self._columns:
            with pyarrow.parquet.ParquetFile(storage.arrow_input(self._path)) as file:
                self._columns[names] = file.read(list(names)).combine_chunks()
        return self._columns[names].take(pa.array(rows, mask=rows == UNKNOWN))

    def features(self, rows: np.ndarray, item_ids: pa.Array) -> pa.LargeBinaryArray:
        """Returns the features of an example that depend on its item alone, encoded.

        These are ``item_id`` and ``candidate/<name>`` without the ages. An item that is not in
        the snapshot gets the features' defaults, and its id where a feature is the id.

        Args:
            rows: From ``rows_of``, [n].
            item_ids: [n].
        """
        unknown = rows == UNKNOWN
        if not unknown.any():
            return self._encoded.take(pa.array(rows))
        known = self._encoded.take(pa.array(rows, mask=unknown))
        distinct = item_ids.filter(pa.array(unknown)).dictionary_encode()
        places = np.zeros(len(rows), np.int64)
        places[unknown] = distinct.indices.to_numpy()
        defaults = self._encode(self._defaults(distinct.dictionary))
        return pc.coalesce(known, defaults.take(pa.array(places, mask=~unknown)))

    @functools.cached_property
    def _encoded(self) -> pa.LargeBinaryArray:
        names = ["item_id", *map(_key, self._features)]
        with pyarrow.parquet.ParquetFile(storage.arrow_input(self._path)) as file:
            parts = [self._encode(part) for part in file.iter_batches(_ITEMS, columns=names)]
        encoded = pa.concat_arrays(parts) if parts else pa.array([], BINARY)
        del parts
        # What it took to read and encode would otherwise stay with the process.
        pa.default_memory_pool().release_unused()
        return encoded

    def _encode(self, items: pa.RecordBatch) -> pa.LargeBinaryArray:
        columns, lists = FeatureColumns(len(items)), TextLists()
        columns.add_texts("item_id", items["item_id"])
        for raw in self._features:
            add_column(columns, _key(raw), raw, items[_key(raw)], lists)
        return columns.features()

    def _defaults(self, item_ids: pa.Array) -> pa.RecordBatch:
        columns = {"item_id": item_ids}
        for raw in self._features:
            columns[_key(raw)] = pa.nulls(len(item_ids), arrow_type(raw))
            if raw.column == self._id_column and raw.dtype == "bytes":
                columns[_key(raw)] = each_alone(item_ids) if raw.is_list else item_ids
        return pa.RecordBatch.from_pydict(columns)


def each_alone(values: pa.Array) -> pa.ListArray:
    """Returns lists of one value each."""
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32), values)


def _key(raw: RawFeature) -> str:
    return f"candidate/{raw.name}"


def _taken(values: np.ndarray, rows: np.ndarray, missing: float) -> np.ndarray:
    if not len(values):
        return np.full(len(rows), missing)
    return np.where(rows == UNKNOWN, missing, values[rows])


@functools.lru_cache(maxsize=LOOKUPS_KEPT)
def shared_lookup(path: str, checksum: str, config: str) -> ItemLookup:
    """Returns the look-up of a snapshot, one a process: its bundles and threads share it.

    Args:
        path: The snapshot's Parquet file.
        checksum: Its SHA-256, since another build may put another file there.
        config: The configuration as JSON.
    """
    return ItemLookup(path, Config.model_validate_json(config))
