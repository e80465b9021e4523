"""Writes a shard's examples: encoded in their final order, straight into the files of the days."""

import itertools
import os
from collections.abc import Iterator

import pyarrow as pa

from twotower_tf import storage
from twotower_tf.examples import build_progress, statistics
from twotower_tf.examples.encoding.tfrecord import RecordWriter
from twotower_tf.examples.outcome import Report, written
from twotower_tf.examples.plan import SPLITS, Plan, example_shard_name, shard_path
from twotower_tf.examples.shards import choice
from twotower_tf.examples.shards.example_encoder import ExampleEncoder
from twotower_tf.examples.shards.own_features import OwnFeatures
from twotower_tf.examples.shards.shard_joins import JoinedDays, OrderedExamples, joined_days
from twotower_tf.examples.shards.timeline import group_starts
from twotower_tf.examples.statistics_sources import StatisticsMaker
from twotower_tf.storage.whole_files import whole_file

# So many examples are encoded at once: enough for whole columns to pay, few enough for the memory.
_EXAMPLES_TOGETHER = 1 << 13
# A day, a split, and examples of them, encoded.
Piece = tuple[int, int, pa.LargeBinaryArray]


class ExampleFiles:
    """Writes the files of examples, and of their statistics.

    Args:
        plan: What to build.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        config = plan.config
        self._statistics = StatisticsMaker(config) if statistics.are_needed(config) else None

    def write(self, shard: int, examples: OrderedExamples) -> Iterator[Report]:
        """Writes a shard's files of each day and split that has examples; reports them."""
        encoder: ExampleEncoder | None = None
        own = OwnFeatures(examples.own) if examples.own is not None else None
        for joined in joined_days(self._plan, shard, examples):
            items = self._plan.items_of(int(joined.examples.days[0]))
            config = self._plan.config
            encoder = encoder.with_items(items) if encoder else ExampleEncoder(config, items)
            yield from self._write_examples(shard, _pieces(joined, encoder, own))
            if self._statistics is not None:
                yield from self._write_statistics(shard, joined)

    def _write_examples(self, shard: int, pieces: Iterator[Piece]) -> Iterator[Report]:
        for (day, split), of_file in itertools.groupby(pieces, key=lambda piece: piece[:2]):
            name = example_shard_name(SPLITS[split], shard, self._plan.config.examples.shards)
            path = shard_path("examples", day, name)
            target = os.path.join(self._plan.scratch, path)
            with whole_file(target) as temporary, RecordWriter(temporary) as writer:
                for *_, encoded in of_file:
                    writer.write(encoded)
            yield written(path, writer.count, storage.checksum(target))

    def _write_statistics(self, shard: int, joined: JoinedDays) -> Iterator[Report]:
        """Writes the statistics of each day's training examples, parts of the whole day's."""
        for day, of_day in joined.days():
            # Training examples come before held-out ones.
            examples = of_day[: int((of_day.splits == choice.TRAIN).sum())]
            table = examples.table()
            rows = self._plan.items_of(day).rows_of(table["item_id"].combine_chunks())
            made = self._statistics.make(
                table,
                examples.event_hash,
                joined.profiles.of(examples),
                self._statistics.items(joined.catalogue, rows),
            )
            path = shard_path(statistics.KIND, day, statistics.part_name(shard))
            target = os.path.join(self._plan.scratch, path)
            with whole_file(target) as temporary:
                statistics.write(temporary, made)
            yield written(path, made.examples, storage.checksum(target))


def _pieces(
    joined: JoinedDays, encoder: ExampleEncoder, own: OwnFeatures | None
) -> Iterator[Piece]:
    """Yields encoded examples in order, each piece with its day and split."""
    for start in range(0, len(joined.examples), _EXAMPLES_TOGETHER):
        some = joined.examples[start : start + _EXAMPLES_TOGETHER]
        encoded = encoder.encode(
            some.table(),
            some.histories,
            joined.profiles.of(some),
            some.searches,
            own.of(some) if own is not None else None,
        )
        build_progress.advance("made", len(some))
        bounds = [*group_starts(some.days, some.splits).tolist(), len(some)]
        for begin, end in itertools.pairwise(bounds):
            day, split = int(some.days[begin]), int(some.splits[begin])
            yield day, split, encoded.slice(begin, end - begin)
