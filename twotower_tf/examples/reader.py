"""Reads the examples of a day back as batches, in the order they were written."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.schema import (
    has_own_items,
    impression_features,
    own_features,
    raw_features,
)
from twotower_tf.storage import EXAMPLES, RANKING, Partition, for_tensorflow

# So many files are read in turn where days are shuffled, and so many records wait for their turn.
_FILES_AT_ONCE = 16
_SHUFFLED_RECORDS = 131_072
# Of each shard: an object store is asked for so much at a time, and takes a while to answer.
_READ_BUFFER_BYTES = 2 << 20


class ExampleReader:
    """Reads partitions of examples; the graph that parses them is traced once for all days.

    Args:
        config: Says which features there are.
        kind: Of the partitions: ``examples``, or ``ranking``.
    """

    def __init__(self, config: Config, kind: str = EXAMPLES):
        # Held-out examples have more than those that are trained on.
        self._parse = {split: _Parser(_SPECS[kind](config, split)) for split in ("train", "eval")}
        number, texts = tf.TensorSpec([], tf.int64), tf.TensorSpec([None], tf.string)
        trace = tf.autograph.experimental.do_not_convert(self._trace_dataset)
        self._make_dataset = {
            split: tf.function(
                functools.partial(trace, split),
                input_signature=[texts, number, number],
                autograph=False,
            )
            for split in self._parse
        }
        self._make_shuffled = tf.function(
            tf.autograph.experimental.do_not_convert(self._trace_shuffled),
            input_signature=[texts, number, texts, number, number, number],
            autograph=False,
        )

    def read_shuffled(
        self,
        partitions: Sequence[Partition],
        batch_size: int,
        seed: Sequence[int],
        others: Sequence[Partition] = (),
        of_others: int = 0,
    ) -> tuple[tf.data.Dataset, int]:
        """Returns the training examples of several days, shuffled together.

        The files come in a random order, some at a time, and their records through a buffer: an
        order that is the same for the same seed, and as good as any for days that fit into it.

        Args:
            partitions: Of the reader's kind; every example of theirs comes once.
            batch_size: Examples per batch.
            seed: Numbers >= 0; other ones, another order.
            others: Partitions of which some examples come too.
            of_others: How many, at most.

        Returns:
            Batches, as of ``read``; and how many examples they hold.
        """
        rng = np.random.default_rng(list(seed))
        paths, examples = _training_files(partitions, rng)
        other_paths, other_examples = _training_files(others, rng)
        other_examples = min(of_others, other_examples)
        batches = self._make_shuffled(
            paths, examples, other_paths, other_examples, batch_size, int(rng.integers(2**31))
        )
        return batches, examples + other_examples

    def read(self, partition: Partition, split: str, batch_size: int) -> tf.data.Dataset:
        """Returns the examples of a day in batches, neither shuffled nor repeated.

        The shards, each roughly in time order, are read in turn, a record of each, so that the
        whole is roughly in time order too. The last batch may be smaller. The number of batches
        is known from the manifest; shards that hold another number of records fail the reading.

        Args:
            partition: Of the reader's kind.
            split: ``train`` or ``eval``.
            batch_size: Examples per batch.

        Returns:
            Batches as ``models.two_tower.TwoTowerModel`` takes them, with ``user_id`` and
            ``seed_item_id`` (string) and ``timestamp`` (int64) beside; of held-out examples, where
            own items are counted, also those of ``schema.own_features``, ragged. Of ranking
            examples ``query``, ``candidate``, ``impression``, and beside these what ``schema``
            says a ranking example has.

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
        return self._make_dataset[split](paths, batch_size, batch_count)

    def _trace_shuffled(
        self, paths, examples, other_paths, other_examples, batch_size, seed
    ) -> tf.data.Dataset:
        def records(files) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensor_slices(files).interleave(
                lambda path: tf.data.TFRecordDataset(path, "GZIP", _READ_BUFFER_BYTES),
                cycle_length=_FILES_AT_ONCE,
                block_length=1,
            )

        def shuffled(dataset: tf.data.Dataset) -> tf.data.Dataset:
            return dataset.shuffle(_SHUFFLED_RECORDS, seed, reshuffle_each_iteration=False)

        some = shuffled(records(other_paths)).take(other_examples)
        both = shuffled(records(paths).concatenate(some))
        count = examples + other_examples
        return self._in_batches("train", both, batch_size, -(-count // batch_size))

    def _trace_dataset(self, split, paths, batch_size, batch_count) -> tf.data.Dataset:
        shard_count = tf.size(paths, out_type=tf.int64)
        records = tf.data.Dataset.from_tensor_slices(paths).interleave(
            lambda path: tf.data.TFRecordDataset(path, "GZIP", _READ_BUFFER_BYTES),
            # Not in parallel: threads that hand over a record at a time cost twice what reading
            # does. What waits for a disk is hidden by the prefetched batches.
            cycle_length=shard_count,
            block_length=1,
        )
        return self._in_batches(split, records, batch_size, batch_count)

    def _in_batches(self, split, records, batch_size, batch_count) -> tf.data.Dataset:
        batches = records.batch(batch_size).map(
            self._parse[split], num_parallel_calls=2, deterministic=True
        )
        # Keras stops by the count. It would otherwise run a step into the end of the data, in
        # which step counters may advance before the missing batch fails it.
        return batches.apply(tf.data.experimental.assert_cardinality(batch_count)).prefetch(2)


def _training_files(
    partitions: Sequence[Partition], rng: np.random.Generator
) -> tuple[list[str], int]:
    """Returns the files of training examples in a random order, and how many records they hold."""
    files = [
        (for_tensorflow(partition.file(shard["file"])), shard["records"])
        for partition in partitions
        for shard in partition.manifest()["shards"]
        if shard["file"].startswith("train-")
    ]
    return [files[place][0] for place in rng.permutation(len(files))], sum(n for _, n in files)


def _common_spec(config: Config) -> dict:
    """Returns what examples of events and of impressions share."""
    spec = {
        "user_id": tf.io.FixedLenFeature([], tf.string),
        "item_id": tf.io.FixedLenFeature([], tf.string),
        "seed_item_id": tf.io.FixedLenFeature([], tf.string),
        "timestamp": tf.io.FixedLenFeature([], tf.int64),
    }
    for tower in ("query", "candidate"):
        for raw in raw_features(config, tower):
            spec[raw.key] = raw.type.parsing_spec
    return spec


def _example_spec(config: Config, split: str) -> dict:
    spec = {**_common_spec(config), "reward": tf.io.FixedLenFeature([], tf.float32)}
    if split == "eval" and has_own_items(config):
        for raw in own_features():
            spec[raw.name] = raw.type.parsing_spec
    return spec


def _ranking_spec(config: Config, split: str) -> dict:
    spec = {**_common_spec(config), "page": tf.io.FixedLenFeature([], tf.int64)}
    for name in ("clicked", "watched_seconds", "weight"):
        spec[name] = tf.io.FixedLenFeature([], tf.float32)
    for raw in impression_features(config):
        spec[raw.key] = raw.type.parsing_spec
    return spec


# What to parse of an example of a split, by the kind of its partition.
_SPECS = {EXAMPLES: _example_spec, RANKING: _ranking_spec}


class _Parser:
    """Parses a batch of serialised examples into the nested dictionary the model takes."""

    def __init__(self, spec: dict):
        self._spec = spec

    def __call__(self, serialised: tf.Tensor) -> dict:
        batch: dict = {"query": {}, "candidate": {}}
        for key, value in tf.io.parse_example(serialised, self._spec).items():
            group, slash, name = key.partition("/")
            if slash:
                batch.setdefault(group, {})[name] = value
            else:
                batch[key] = value
        return batch
