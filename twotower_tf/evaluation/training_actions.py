"""Who acted on what in a day's training examples: all that the baseline ``item_knn`` reads."""

import datetime

import pyarrow as pa
import tensorflow as tf

from twotower_tf.storage import EXAMPLES, Workdir, for_tensorflow

_KEYS = ("user_id", "item_id")
_BATCH = 4096
_READ_BUFFER_BYTES = 2 << 20


def training_actions(workdir: Workdir, day: datetime.date) -> pa.Table:
    """Reads a day's training examples, as far as to know ``user_id`` and ``item_id`` (text).

    Raises:
        InputError: If the day has no examples.
    """
    partition = workdir.partition(EXAMPLES, day)
    files = [
        for_tensorflow(partition.file(shard["file"]))
        for shard in partition.manifest()["shards"]
        if shard["file"].startswith("train-")
    ]
    spec = {key: tf.io.FixedLenFeature([], tf.string) for key in _KEYS}
    records = tf.data.TFRecordDataset(files, "GZIP", _READ_BUFFER_BYTES).batch(_BATCH)
    parsed = records.map(lambda serialised: tf.io.parse_example(serialised, spec))
    parts: dict[str, list[pa.Array]] = {key: [] for key in _KEYS}
    for batch in parsed:
        for key, part in parts.items():
            part.append(pa.array(batch[key].numpy(), pa.binary()).cast(pa.string()))
    return pa.table({key: pa.chunked_array(part, pa.string()) for key, part in parts.items()})
