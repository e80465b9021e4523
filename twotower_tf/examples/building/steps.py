"""The steps of the example build: Beam spreads them over workers, or this process runs them all.

The records of all logs are grouped once, by shard of users: what moves between workers are the
places of chunks of columns (``event_chunks``), rejected records, and a few plain values.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from twotower_tf import storage
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError
from twotower_tf.examples import build_progress, rejects
from twotower_tf.examples.outcome import Report, count, merged, problem, written
from twotower_tf.examples.plan import Plan, shard_path
from twotower_tf.examples.reading.event_reading import (
    EventReader,
    LogReader,
    Rejected,
    SearchReader,
)
from twotower_tf.examples.reading.impression_reading import ImpressionReader
from twotower_tf.examples.shards.event_chunks import Place, cut_by_shard
from twotower_tf.examples.shards.shard import ShardMaker
from twotower_tf.storage.whole_files import whole_file

# What a step yields, by what becomes of it; what the driver has to know goes to the outcome.
CHUNKS, REJECTED, OUTCOME = "chunks", "rejected", "outcome"

NumberedSplit = tuple[int, SourceSplit]
ChunkOfShard = tuple[int, Place]
RejectedOfFile = tuple[int, list[Rejected]]


class LogSplitter:
    """Cuts parts of a log's files into chunks of records by shard.

    Args:
        plan: What to build.
        reader: Of the log.
    """

    def __init__(self, plan: Plan, reader: type[LogReader]):
        self._reader = reader(plan)
        self._scratch = plan.scratch
        self._shards = plan.config.examples.shards

    def split(self, element: NumberedSplit) -> Iterator[tuple[str, Any]]:
        """Reads a part of a file.

        Yields:
            ``CHUNKS`` with a shard and the place of its records, ``REJECTED`` with the path of the
            file they belong to and some of them, ``OUTCOME`` with a report.
        """
        file_number, split = element
        others: list[tuple[str, Any]] = []
        try:
            valid = self._valid(file_number, split, others)
            for chunk in cut_by_shard(self._reader.log, valid, self._shards, self._scratch):
                yield CHUNKS, chunk
                yield from others
                others.clear()
        except InputError as error:
            yield OUTCOME, problem(str(error))
        yield from others

    def _valid(self, file_number: int, split: SourceSplit, others: list) -> Iterator[pa.Table]:
        """Yields the valid records; appends the other outputs to ``others``."""
        log = self._reader.log
        told: list[Report] = []
        for batch in self._reader.read(file_number, split):
            build_progress.advance(log, sum(batch.read.values()))
            for day, read in batch.read.items():
                others.append((OUTCOME, count(day, log, read)))
            told = merged([*told, *batch.reports])
            for day, rejected in itertools.groupby(batch.rejected, key=lambda one: one.day):
                path = shard_path(rejects.KIND, day, rejects.file_name(log))
                others.append((REJECTED, (path, (file_number, list(rejected)))))
            yield batch.valid
        others += [(OUTCOME, report) for report in told]


def write_rejected(scratch: str, name: str, parts: Iterable[RejectedOfFile]) -> Report:
    """Writes rejected records of a log as JSON lines, in the order they were delivered.

    Args:
        scratch: The folder to write to.
        name: The file's path below it.
        parts: The records with the numbers of their files, in any order.
    """
    rejected = sorted(
        (file_number, one.position, one.line) for file_number, some in parts for one in some
    )
    path = os.path.join(scratch, name)
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for *_, line in rejected)
    return written(name, len(rejected), storage.checksum(path))


def run_here(plan: Plan) -> list[Report]:
    """Runs all steps in this process, one after the other; returns the reports."""
    chunks: dict[int, list[Place]] = {shard: [] for shard in range(plan.config.examples.shards)}
    rejected: dict[str, list[RejectedOfFile]] = {}
    reports: list[Report] = []
    logs = (
        (EventReader, plan.splits),
        (SearchReader, plan.search_splits),
        (ImpressionReader, plan.impression_splits),
    )
    for reader, splits in logs:
        if splits:
            splitter = LogSplitter(plan, reader)
            for kind, value in itertools.chain.from_iterable(map(splitter.split, splits)):
                if kind == OUTCOME:
                    reports.append(value)
                else:
                    of, part = value
                    (chunks if kind == CHUNKS else rejected).setdefault(of, []).append(part)
    maker = ShardMaker(plan)
    for shard, places in chunks.items():
        reports += maker.make(shard, places)
    reports += [write_rejected(plan.scratch, name, parts) for name, parts in rejected.items()]
    return reports
