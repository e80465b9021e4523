"""Writes a shard's examples: encoded in their final order, straight into the files of the days."""

import itertools
import os
from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from twotower_tf import storage
from twotower_tf.examples import build_progress, counts, statistics
from twotower_tf.examples.encoding.tfrecord import RecordWriter
from twotower_tf.examples.outcome import Report, written
from twotower_tf.examples.plan import SPLITS, Plan, example_shard_name, shard_path
from twotower_tf.examples.shards import choice
from twotower_tf.examples.shards.example_encoder import ExampleEncoder
from twotower_tf.examples.shards.shard_joins import JoinedDays, OrderedExamples, joined_days
from twotower_tf.examples.shards.timeline import group_starts
from twotower_tf.examples.statistics_sources import StatisticsMaker
from twotower_tf.storage.whole_files import whole_file

# So many examples are encoded at once: enough for whole columns to pay, few enough for the memory.
_EXAMPLES_TOGETHER = 1 << 13
# A day, a split, and examples of them, encoded.
Piece = tuple[int, int, pa.LargeBinaryArray]


class MoreFeatures(Protocol):
    """Encodes what examples have beside the towers' features."""

    def of(self, examples: OrderedExamples) -> pa.LargeBinaryArray:
        """Returns the features of some examples, [n], as ``FeatureColumns.features`` does."""


class ExampleFiles:
    """Writes the files of examples; of those of events also their counts and their statistics.

    Args:
        plan: What to build.
        kind: Of the partitions that they are for.
    """

    def __init__(self, plan: Plan, kind: str = storage.EXAMPLES):
        self._plan = plan
        self._kind = kind
        config = plan.config
        self._statistics = StatisticsMaker(config) if statistics.are_needed(config) else None

    def write(
        self, shard: int, examples: OrderedExamples, more: MoreFeatures | None = None
    ) -> Iterator[Report]:
        """Writes a shard's files of each day and split that has examples; reports them."""
        encoder: ExampleEncoder | None = None
        for joined in joined_days(self._plan, shard, examples):
            if encoder is None:
                encoder = ExampleEncoder(self._plan.config, joined.items)
            encoder = encoder.with_items(joined.items)
            yield from self._write_examples(shard, _pieces(joined, encoder, more))
            if self._kind != storage.EXAMPLES:
                continue
            for day, of_day in joined.days():
                # Training examples come before held-out ones.
                count = int((joined.examples.splits[of_day] == choice.TRAIN).sum())
                training = slice(of_day.start, of_day.start + count)
                table = joined.examples[training].table()
                yield self._write_counts(shard, day, joined.examples[training], table)
                yield from joined.profiles.matches(day, joined.examples[of_day])
                if self._statistics is not None:
                    yield self._write_statistics(shard, day, joined, training, table)

    def _write_examples(self, shard: int, pieces: Iterator[Piece]) -> Iterator[Report]:
        for (day, split), of_file in itertools.groupby(pieces, key=lambda piece: piece[:2]):
            name = example_shard_name(SPLITS[split], shard, self._plan.config.examples.shards)
            path = shard_path(self._kind, day, name)
            target = os.path.join(self._plan.scratch, path)
            with whole_file(target) as temporary, RecordWriter(temporary) as writer:
                for *_, encoded in of_file:
                    writer.write(encoded)
                    if self._kind == storage.EXAMPLES:
                        build_progress.advance("made", len(encoded))
            yield written(path, writer.count, storage.checksum(target))

    def _write_counts(
        self, shard: int, day: int, training: OrderedExamples, table: pa.Table
    ) -> Report:
        """Writes the counts of a day's training examples, a part of the whole day's."""
        histories = training.histories
        if histories is None and "history" in table.column_names:
            histories = table["history"].combine_chunks()
        seed_items = table["seed_item_id"].combine_chunks()
        seed_items = counts.seed_items_of(self._plan.config, seed_items, histories)
        made = counts.of_examples(seed_items, table["item_id"].combine_chunks())
        path = shard_path(counts.KIND, day, counts.part_name(shard))
        target = os.path.join(self._plan.scratch, path)
        counts.write(target, made)
        return written(path, len(made), storage.checksum(target))

    def _write_statistics(
        self, shard: int, day: int, joined: JoinedDays, training: slice, table: pa.Table
    ) -> Report:
        """Writes the statistics of a day's training examples, a part of the whole day's."""
        examples = joined.examples[training]
        made = self._statistics.make(
            table,
            examples.event_hash,
            joined.profiles.of(examples),
            self._statistics.items(joined.items, joined.item_rows[training]),
        )
        path = shard_path(statistics.KIND, day, statistics.part_name(shard))
        target = os.path.join(self._plan.scratch, path)
        with whole_file(target) as temporary:
            statistics.write(temporary, made)
        return written(path, made.examples, storage.checksum(target))


def _pieces(
    joined: JoinedDays, encoder: ExampleEncoder, more: MoreFeatures | None
) -> Iterator[Piece]:
    """Yields encoded examples in order, each piece with its day and split."""
    for start in range(0, len(joined.examples), _EXAMPLES_TOGETHER):
        piece = slice(start, start + _EXAMPLES_TOGETHER)
        some = joined.examples[piece]
        encoded = encoder.encode(
            some.table(),
            joined.item_rows[piece],
            some.histories,
            joined.profiles.of(some),
            some.searches,
            more.of(some) if more is not None else None,
            some.history_times,
            some.baskets,
            some.history_traits,
        )
        bounds = [*group_starts(some.days, some.splits).tolist(), len(some)]
        for begin, end in itertools.pairwise(bounds):
            day, split = int(some.days[begin]), int(some.splits[begin])
            yield day, split, encoded.slice(begin, end - begin)
