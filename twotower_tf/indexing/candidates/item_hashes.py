"""Which items a release was made with, and a hash of each one's features, kept in the release.

``refresh`` finds out by it which items are new, gone or changed. There are two files: the items of
the index, which is the same in all releases refreshed from it, and the fresh ones beside it.
"""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twotower_tf.errors import JobError
from twotower_tf.examples.hashes import mixed, text_hash, text_hashes
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.value_types.lists import Lists

# The folder that TensorFlow leaves to the users of a SavedModel.
EXTRA = "assets.extra"
INDEXED_FILE = os.path.join(EXTRA, "items.parquet")
FRESH_FILE = os.path.join(EXTRA, "fresh_items.parquet")


@dataclasses.dataclass(frozen=True)
class ItemHashes:
    """The items of an index, or of the fresh ones, in their order.

    Attributes:
        item_ids: string [N].
        hashes: uint64 [N], see ``item_hashes``.
    """

    item_ids: pa.Array
    hashes: np.ndarray


def item_hashes(catalogue: Catalogue) -> np.ndarray:
    """Returns a hash of each item's raw features, uint64 [N]: other features, another hash."""
    total = np.zeros(len(catalogue), np.uint64)
    for name, values in sorted(catalogue.features.items()):
        salt = np.uint64(text_hash(name))
        total = mixed(mixed(total ^ salt) ^ _hashes(values))
    return total


def write(path: str, items: ItemHashes) -> None:
    """Writes items as Parquet."""
    table = pa.table({"item_id": items.item_ids, "version": pa.array(items.hashes, pa.uint64())})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def read(path: str) -> ItemHashes:
    """Reads what ``write`` wrote; raises JobError where there is nothing."""
    if not os.path.exists(path):
        raise JobError(f"there is no {path}: the release can't be refreshed; run build_index")
    table = pq.read_table(path)
    ids, hashes = (table[name].combine_chunks() for name in ("item_id", "version"))
    return ItemHashes(ids, hashes.to_numpy())


def _hashes(values: np.ndarray | Lists) -> np.ndarray:
    if not isinstance(values, Lists):
        if values.ndim == 2:
            count, length = values.shape
            return _hashes(Lists(values.reshape(-1), np.arange(count + 1) * length))
        if values.dtype == np.float32:
            return values.view(np.uint32).astype(np.uint64)
        return text_hashes(pa.array(values, pa.string()))
    splits = values.row_splits
    lengths = np.diff(splits)
    place = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
    placed = mixed(_hashes(values.values) ^ mixed(place.astype(np.uint64)))
    # Sums wrap around, and so do their differences: those are right again.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(placed, dtype=np.uint64)])
    return mixed(sums[splits[1:]] - sums[splits[:-1]]) ^ lengths.astype(np.uint64)
