"""Reads the examples of a day back as batches, in the order they were written."""

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.schema import raw_features
from twotower_tf.storage import Partition, for_tensorflow

# Of each shard: an object store is asked for so much at a time, and takes a while to answer.
_READ_BUFFER_BYTES = 2 << 20


class ExampleReader:
    """Reads partitions of examples; the graph that parses them is traced once for all days.

    Args:
        config: Says which features there are.
    """

    def __init__(self, config: Config):
        self._parse = _Parser(config)
        self._make_dataset = tf.function(
            tf.autograph.experimental.do_not_convert(self._trace_dataset),
            input_signature=[
                tf.TensorSpec([None], tf.string),
                tf.TensorSpec([], tf.int64),
                tf.TensorSpec([], tf.int64),
            ],
            autograph=False,
        )

    def read(self, partition: Partition, split: str, batch_size: int) -> tf.data.Dataset:
        """Returns the examples of a day in batches, neither shuffled nor repeated.

        The shards, each roughly in time order, are read in turn, a record of each, so that the
        whole is roughly in time order too. The last batch may be smaller. The number of batches
        is known from the manifest; shards that hold another number of records fail the reading.

        Args:
            partition: Of kind ``examples``.
            split: ``train`` or ``eval``.
            batch_size: Examples per batch.

        Returns:
            Batches as ``models.two_tower.TwoTowerModel`` takes them, with ``user_id`` and
            ``seed_item_id`` (string) and ``timestamp`` (int64) beside.

        Raises:
            InputError: If the partition was not published.
        """
        shards = [
            shard
            for shard in partition.manifest()["shards"]
            if shard["file"].startswith(f"{split}-")
        ]
        paths = [for_tensorflow(partition.file(shard["file"])) for shard in shards]
        batch_count = -(-sum(shard["records"] for shard in shards) // batch_size)
        return self._make_dataset(paths, batch_size, batch_count)

    def _trace_dataset(self, paths, batch_size, batch_count) -> tf.data.Dataset:
        shard_count = tf.size(paths, out_type=tf.int64)
        records = tf.data.Dataset.from_tensor_slices(paths).interleave(
            lambda path: tf.data.TFRecordDataset(path, "GZIP", _READ_BUFFER_BYTES),
            # Not in parallel: threads that hand over a record at a time cost twice what reading
            # does. What waits for a disk is hidden by the prefetched batches.
            cycle_length=shard_count,
            block_length=1,
        )
        batches = records.batch(batch_size).map(
            self._parse, num_parallel_calls=2, deterministic=True
        )
        # Keras stops by the count. It would otherwise run a step into the end of the data, in
        # which step counters may advance before the missing batch fails it.
        return batches.apply(tf.data.experimental.assert_cardinality(batch_count)).prefetch(2)


class _Parser:
    """Parses a batch of serialised examples into the nested dictionary the model takes."""

    def __init__(self, config: Config):
        self._spec = {
            "user_id": tf.io.FixedLenFeature([], tf.string),
            "item_id": tf.io.FixedLenFeature([], tf.string),
            "seed_item_id": tf.io.FixedLenFeature([], tf.string),
            "timestamp": tf.io.FixedLenFeature([], tf.int64),
            "reward": tf.io.FixedLenFeature([], tf.float32),
        }
        for tower in ("query", "candidate"):
            for raw in raw_features(config, tower):
                self._spec[raw.key] = raw.type.parsing_spec

    def __call__(self, serialised: tf.Tensor) -> dict:
        batch: dict = {"query": {}, "candidate": {}}
        for key, value in tf.io.parse_example(serialised, self._spec).items():
            tower, slash, name = key.partition("/")
            if slash:
                batch[tower][name] = value
            else:
                batch[key] = value
        return batch
