"""The Beam transforms of the example build.

Events and searches are grouped once, by shard of users: what moves between workers are the places
of chunks of columns (``event_chunks``), rejected records, and a few plain values.
"""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam import pvalue

from twotower_tf import storage
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError
from twotower_tf.examples import build_progress, rejects
from twotower_tf.examples.outcome import Report, count, problem, written
from twotower_tf.examples.plan import Plan, shard_path
from twotower_tf.examples.reading.event_reading import (
    EventReader,
    LogReader,
    Rejected,
    SearchReader,
)
from twotower_tf.examples.shards.event_chunks import NOWHERE, Place, cut_by_shard
from twotower_tf.examples.shards.shard import ShardMaker
from twotower_tf.storage.whole_files import whole_file

# What the driver has to know goes to the outcome.
_CHUNKS, _REJECTED, _OUTCOME = "chunks", "rejected", "outcome"
OUTCOME_FILE = "outcome.json"

NumberedSplit = tuple[int, SourceSplit]
ChunkOfShard = tuple[int, Place]
RejectedOfFile = tuple[int, list[Rejected]]
_OUTPUTS = {_CHUNKS: ChunkOfShard, _REJECTED: tuple[str, RejectedOfFile], _OUTCOME: Report}


@beam.typehints.with_input_types(NumberedSplit)
@beam.typehints.with_output_types(Any, **_OUTPUTS)
class ReadLog(beam.DoFn):
    """Parts of a log's files to chunks of records by shard, rejects, counts, each with its tag.

    All outputs have tags, since Beam's runtime checks hold also those that have one against the
    type of the output without.
    """

    reader: type[LogReader]

    def __init__(self, plan: Plan):
        self._plan = plan

    def setup(self) -> None:
        """Makes the reader, once a worker."""
        self._reader = self.reader(self._plan)
        self._shards = self._plan.config.examples.shards

    def process(self, element: NumberedSplit) -> Iterator[Any]:
        """Takes a split and its file's number; yields chunks, rejected records, reports, tagged."""
        file_number, split = element
        others: list[pvalue.TaggedOutput] = []
        try:
            valid = self._valid(file_number, split, others)
            scratch = self._plan.scratch
            for chunk in cut_by_shard(self._reader.log, valid, self._shards, scratch):
                yield pvalue.TaggedOutput(_CHUNKS, chunk)
                yield from others
                others.clear()
        except InputError as error:
            yield _outcome(problem(str(error)))
        yield from others

    def _valid(self, file_number: int, split: SourceSplit, others: list) -> Iterator[pa.Table]:
        """Yields the valid records; appends the other outputs to ``others``."""
        log = self._reader.log
        for batch in self._reader.read(file_number, split):
            build_progress.advance(log, sum(batch.read.values()))
            for day, read in batch.read.items():
                others.append(_outcome(count(day, log, read)))
            for day, rejected in itertools.groupby(batch.rejected, key=lambda one: one.day):
                path = shard_path(rejects.KIND, day, rejects.file_name(log))
                element = (path, (file_number, list(rejected)))
                others.append(pvalue.TaggedOutput(_REJECTED, element))
            yield batch.valid


class ReadEvents(ReadLog):
    """Parts of event files to chunks of events by shard."""

    reader = EventReader


class ReadSearches(ReadLog):
    """Parts of search files to chunks of searches by shard."""

    reader = SearchReader


@beam.typehints.with_input_types(tuple[int, Iterable[Place]])
@beam.typehints.with_output_types(Report)
class MakeShards(beam.DoFn):
    """The chunks of a shard to its files of all days: examples, histories, statistics, counts."""

    def __init__(self, plan: Plan):
        self._plan = plan

    def setup(self) -> None:
        """Makes the maker, once a worker."""
        self._maker = ShardMaker(self._plan)

    def process(self, element: tuple[int, Iterable[Place]]) -> Iterator[Report]:
        """Takes a shard and the places of its chunks; yields a report of each file it writes."""
        yield from self._maker.make(*element)


@beam.typehints.with_input_types(tuple[str, Iterable[RejectedOfFile]])
@beam.typehints.with_output_types(Report)
class WriteRejected(beam.DoFn):
    """Rejected records of a log to a file of JSON lines, in the order they were delivered."""

    def __init__(self, plan: Plan):
        self._scratch = plan.scratch

    def process(self, element: tuple[str, Iterable[RejectedOfFile]]) -> Iterator[Report]:
        """Takes a file's name and its records, in any order; writes it and yields its report."""
        name, parts = element
        rejected = sorted(
            (file_number, one.position, one.line) for file_number, some in parts for one in some
        )
        path = os.path.join(self._scratch, name)
        with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for *_, line in rejected)
        yield written(name, len(rejected), storage.checksum(path))


@beam.typehints.with_input_types(str, Iterable[Report])
@beam.typehints.with_output_types(str)
class WriteOutcome(beam.DoFn):
    """All that the driver has to know, to one file."""

    def process(self, element: str, reports: Iterable[Report]) -> Iterator[str]:
        """Writes the file of this path."""
        with whole_file(element) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(list(reports), file)
        yield element


class BuildExamples(beam.PTransform):
    """From a plan to files of examples, histories and rejected events, in its scratch folder."""

    def __init__(self, plan: Plan):
        super().__init__()
        self._plan = plan

    def expand(self, pbegin: pvalue.PBegin) -> beam.PCollection:
        """Returns the path of the file with all reports, once all files are written."""
        plan = self._plan
        logs = [_read(pbegin, plan.splits, ReadEvents(plan))]
        if plan.has_searches:
            logs.append(_read(pbegin, plan.search_splits, ReadSearches(plan)))
        # A shard without events has histories all the same.
        all_shards = [(shard, NOWHERE) for shard in range(plan.config.examples.shards)]
        shards = pbegin | "AllShards" >> beam.Create(all_shards).with_output_types(ChunkOfShard)
        made = (
            (*(log[_CHUNKS] for log in logs), shards)
            | "ChunksOfShards" >> beam.Flatten().with_output_types(ChunkOfShard)
            | "GroupByShard" >> beam.GroupByKey()
            | "MakeShards" >> beam.ParDo(MakeShards(plan))
        )
        rejected = (
            [log[_REJECTED] for log in logs]
            | "AllRejected" >> beam.Flatten().with_output_types(_OUTPUTS[_REJECTED])
            | "GroupRejected" >> beam.GroupByKey()
            | "WriteRejected" >> beam.ParDo(WriteRejected(plan))
        )
        reports = (
            *(log[_OUTCOME] for log in logs),
            made,
            rejected,
        ) | "AllReports" >> beam.Flatten().with_output_types(Report)
        path = os.path.join(plan.scratch, OUTCOME_FILE)
        return (
            pbegin
            | "OutcomeFile" >> beam.Create([path]).with_output_types(str)
            | "WriteOutcome" >> beam.ParDo(WriteOutcome(), pvalue.AsIter(reports))
        )


def _read(
    pbegin: pvalue.PBegin, splits: Sequence[NumberedSplit], read: ReadLog
) -> pvalue.DoOutputsTuple:
    """Applies the reading of a log."""
    name = type(read).__name__
    return (
        pbegin
        | f"SplitsFor{name}" >> beam.Create(splits).with_output_types(NumberedSplit)
        # Without it, runners fuse the reading to the one worker that lists the splits.
        | f"SpreadSplitsFor{name}" >> beam.Reshuffle()
        | name >> beam.ParDo(read).with_outputs(*_OUTPUTS).with_output_types(Any, **_OUTPUTS)
    )


def _outcome(report: Report) -> pvalue.TaggedOutput:
    return pvalue.TaggedOutput(_OUTCOME, report)
