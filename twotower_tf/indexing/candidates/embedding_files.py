"""The embeddings of a day as Parquet files.

A file of ``embeddings/dt=YYYY-MM-DD/``, ``embeddings-00000-of-000NN.parquet``, has a row an item:
``item_id`` (string), ``embedding`` (fixed_size_list of float32, of length 1) and ``version``
(int64).
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twotower_tf.storage import Partition, arrow_input

KIND = "embeddings"


def embedding_table(item_ids: np.ndarray, embeddings: np.ndarray, version: int) -> pa.Table:
    """Returns what a file holds of N items: ids [N] (str), vectors float32 [N, d], a version."""
    element = pa.field("element", pa.float32(), nullable=False)
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(embeddings.ravel()), type=pa.list_(element, embeddings.shape[1])
    )
    return pa.table(
        {
            "item_id": pa.array(item_ids, pa.string()),
            "embedding": vectors,
            "version": np.full(len(item_ids), version, np.int64),
        }
    )


def read_embeddings(partition: Partition) -> tuple[np.ndarray, np.ndarray]:
    """Reads a day's embeddings back: item ids [N] (str) and vectors float32 [N, d]."""
    manifest = partition.manifest()
    count = sum(shard["records"] for shard in manifest["shards"])
    item_ids = np.empty(count, object)
    embeddings = np.empty((count, manifest["dim"]), np.float32)
    row = 0
    for shard in manifest["shards"]:
        with pq.ParquetFile(arrow_input(partition.file(shard["file"]))) as file:
            for batch in file.iter_batches(columns=["item_id", "embedding"]):
                rows = slice(row, row + len(batch))
                item_ids[rows] = batch["item_id"].to_numpy(zero_copy_only=False)
                embeddings[rows] = batch["embedding"].flatten().to_numpy().reshape(len(batch), -1)
                row += len(batch)
    return item_ids, embeddings
