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
from twotower_tf.examples.encoding.list_columns import TextLists
from twotower_tf.examples.encoding.wire_format import BINARY, FeatureColumns
from twotower_tf.examples.records import DIVISOR
from twotower_tf.examples.schema import raw_features

UNKNOWN = -1
# So many look-ups a process keeps.
LOOKUPS_KEPT = 8
# So many items are read and encoded at a time.
_ITEMS = 65_536


class ItemLookup:
    """Finds items in a snapshot, and what events need of them.

    Args:
        snapshot: Its Parquet file (see ``catalogue``): the path, or what the file holds.
        config: Says which features there are.
    """

    def __init__(self, snapshot: str | pa.Buffer, config: Config):
        self._snapshot = snapshot
        features = raw_features(config, "candidate")
        self._features = [raw for raw in features if not raw.type.depends_on_time]
        self._ages = [raw for raw in features if raw.type.depends_on_time]
        self._id_column = config.source.items.columns.item_id
        with self._opened() as file:
            divisor = [DIVISOR] if DIVISOR in file.schema_arrow.names else []
            table = file.read(["item_id", *divisor, *(raw.key for raw in self._ages)])
        ids = table["item_id"].to_pylist()
        self._rows = dict(zip(ids, range(len(ids)), strict=True))
        self._divisors = np.full(len(ids), np.nan)
        if divisor:
            self._divisors = pc.fill_null(table[DIVISOR], np.nan).to_numpy()
        self._since = {raw.key: table[raw.key].combine_chunks() for raw in self._ages}
        self._columns: dict[tuple[str, ...], pa.Table] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def _opened(self) -> pyarrow.parquet.ParquetFile:
        snapshot = self._snapshot
        if isinstance(snapshot, str):
            return pyarrow.parquet.ParquetFile(storage.arrow_input(snapshot))
        return pyarrow.parquet.ParquetFile(pa.BufferReader(snapshot))

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
            raw.key: raw.type.at(self._since[raw.key].take(known), timestamps).to_numpy()
            for raw in self._ages
        }

    def columns(self, names: tuple[str, ...], rows: np.ndarray) -> pa.Table:
        """Returns columns of the snapshot for some items, null where one is not in it.

        Args:
            names: Of the columns; they are read when first asked for, and kept.
            rows: From ``rows_of``, [n].
        """
        if names not in self._columns:
            with self._opened() as file:
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
        names = ["item_id", *(raw.key for raw in self._features)]
        with self._opened() as file:
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
            raw.type.add(columns, raw.key, items[raw.key], lists)
        return columns.features()

    def _defaults(self, item_ids: pa.Array) -> pa.RecordBatch:
        columns = {"item_id": item_ids}
        for raw in self._features:
            columns[raw.key] = pa.nulls(len(item_ids), raw.type.arrow_type)
            if raw.is_id(self._id_column):
                columns[raw.key] = raw.type.each(item_ids)
        return pa.RecordBatch.from_pydict(columns)


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
