"""How many training examples each item has on a day, counted once a day and kept.

``item_counts/dt=YYYY-MM-DD/items.parquet`` has ``item_id`` and ``examples`` (int64), a row an item,
by id. Its manifest names the checksums of the examples it was counted from: other examples of the
day are counted anew.
"""

import datetime
import os
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from twotower_tf.errors import JobError
from twotower_tf.storage import Partition, Workdir, arrow_input, checksum, day_range, for_tensorflow
from twotower_tf.storage.whole_files import whole_file

KIND = "item_counts"
_FILE = "items.parquet"
_SCHEMA = pa.schema({"item_id": pa.string(), "examples": pa.int64()})
_BATCH_SIZE = 4096


def count_items(workdir: Workdir, day: datetime.date, days: int) -> pa.Table:
    """Returns how many training examples items have in a window of days.

    Args:
        workdir: Has the examples; days of the window without any count nothing.
        day: The last day of the window.
        days: Its length.

    Returns:
        ``item_id`` and ``examples``, a row for each item that has any, by id.

    Raises:
        JobError: If a file of examples doesn't hold what its manifest says.
    """
    window = day_range(day - datetime.timedelta(days=days - 1), day)
    partitions = [workdir.partition("examples", one) for one in window]
    counted = [_of_day(workdir, one) for one in partitions if one.exists()]
    together = pa.concat_tables([_SCHEMA.empty_table(), *counted])
    summed = together.group_by("item_id").aggregate([("examples", "sum")])
    return summed.rename_columns({"examples_sum": "examples"}).sort_by("item_id")


def _of_day(workdir: Workdir, examples: Partition) -> pa.Table:
    shards = [
        shard for shard in examples.manifest()["shards"] if shard["file"].startswith("train-")
    ]
    source = [shard["sha256"] for shard in shards]
    kept = workdir.partition(KIND, examples.day)
    if not kept.exists() or kept.manifest()["examples"] != source:
        counts: Counter[bytes] = Counter()
        for item_ids in _read_item_ids([examples.file(shard["file"]) for shard in shards]):
            counts.update(item_ids)
        if counts.total() != sum(shard["records"] for shard in shards):
            raise JobError(
                f"{examples.path} holds {counts.total():,} training examples, and its manifest "
                "says otherwise: build the examples of the day again"
            )
        _write(kept, counts, source)
    return pq.read_table(arrow_input(kept.file(_FILE)))


def _read_item_ids(paths: list[str]) -> Iterator[list[bytes]]:
    # The other features are skipped, which is several times as fast as the whole example's reading.
    import tensorflow as tf

    spec = {"item_id": tf.io.FixedLenFeature([], tf.string)}
    paths = [for_tensorflow(path) for path in paths]
    records = tf.data.TFRecordDataset(paths, compression_type="GZIP")
    batches = records.batch(_BATCH_SIZE).map(lambda batch: tf.io.parse_example(batch, spec))
    for batch in batches.prefetch(2).as_numpy_iterator():
        yield batch["item_id"].tolist()


def _write(partition: Partition, counts: Counter[bytes], source: list[str]) -> None:
    rows = sorted(counts.items())
    table = pa.table(
        {"item_id": [item_id.decode() for item_id, _ in rows], "examples": [n for _, n in rows]},
        schema=_SCHEMA,
    )
    manifest: dict = {"examples": source}
    with partition.write(manifest) as folder:
        path = os.path.join(folder, _FILE)
        with whole_file(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        manifest["shards"] = [{"file": _FILE, "records": len(rows), "sha256": checksum(path)}]
