"""The embeddings of a day as Parquet files.

A file of ``embeddings/dt=YYYY-MM-DD/``, ``embeddings-00000-of-000NN.parquet``, has a row an item:
``item_id`` (string), ``embedding`` (fixed_size_list of float32, of length 1) and ``version``
(int64).
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twotower_tf.storage import Partition, arrow_input
from twotower_tf.storage.whole_files import whole_file

KIND = "embeddings"


def write_embeddings(path: str, item_ids: np.ndarray, embeddings: np.ndarray, version: int) -> None:
    """Writes a file of N items: ids [N] (str), vectors float32 [N, d], a version."""
    element = pa.field("element", pa.float32(), nullable=False)
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(embeddings.ravel()), type=pa.list_(element, embeddings.shape[1])
    )
    table = pa.table(
        {
            "item_id": pa.array(item_ids, pa.string()),
            "embedding": vectors,
            "version": np.full(len(item_ids), version, np.int64),
        }
    )
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)


def read_embeddings(partition: Partition) -> tuple[np.ndarray, np.ndarray]:
    """Reads a day's embeddings back: item ids [N] (str) and vectors float32 [N, d]."""
    manifest = partition.manifest()
    paths = [partition.file(shard["file"]) for shard in manifest["shards"]]
    parts = zip(*(read_file(path, manifest["dim"]) for path in paths), strict=True)
    item_ids, embeddings = map(np.concatenate, parts)
    return item_ids, embeddings


def read_file(path: str, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads a file back: item ids [N] (str) and vectors float32 [N, dim]."""
    with pq.ParquetFile(arrow_input(path)) as file:
        table = file.read(["item_id", "embedding"])
    vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, dim)
    return table["item_id"].to_numpy(), vectors
