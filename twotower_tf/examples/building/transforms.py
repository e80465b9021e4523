"""The Beam transforms of the example build: its steps, spread over workers."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from twotower_tf.examples.building.steps import (
    CHUNKS,
    OUTCOME,
    REJECTED,
    ChunkOfShard,
    LogSplitter,
    NumberedSplit,
    RejectedOfFile,
    write_rejected,
)
from twotower_tf.examples.outcome import Report
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.event_reading import EventReader, LogReader, SearchReader
from twotower_tf.examples.reading.impression_reading import ImpressionReader
from twotower_tf.examples.shards.event_chunks import NOWHERE, Place
from twotower_tf.examples.shards.shard import ShardMaker
from twotower_tf.storage.whole_files import whole_file

OUTCOME_FILE = "outcome.json"
_OUTPUTS = {CHUNKS: ChunkOfShard, REJECTED: tuple[str, RejectedOfFile], OUTCOME: Report}


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
        """Makes the splitter, once a worker."""
        self._splitter = LogSplitter(self._plan, self.reader)

    def process(self, element: NumberedSplit) -> Iterator[Any]:
        """Takes a split and its file's number; yields chunks, rejected records, reports, tagged."""
        for tag, value in self._splitter.split(element):
            yield pvalue.TaggedOutput(tag, value)


class ReadEvents(ReadLog):
    """Parts of event files to chunks of events by shard."""

    reader = EventReader


class ReadSearches(ReadLog):
    """Parts of search files to chunks of searches by shard."""

    reader = SearchReader


class ReadImpressions(ReadLog):
    """Parts of impression files to chunks of impressions by shard."""

    reader = ImpressionReader


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
        yield write_rejected(self._scratch, *element)


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
        if plan.config.source.impressions is not None:
            logs.append(_read(pbegin, plan.impression_splits, ReadImpressions(plan)))
        # A shard without events has histories all the same.
        all_shards = [(shard, NOWHERE) for shard in range(plan.config.examples.shards)]
        shards = pbegin | "AllShards" >> beam.Create(all_shards).with_output_types(ChunkOfShard)
        made = (
            (*(log[CHUNKS] for log in logs), shards)
            | "ChunksOfShards" >> beam.Flatten().with_output_types(ChunkOfShard)
            | "GroupByShard" >> beam.GroupByKey()
            | "MakeShards" >> beam.ParDo(MakeShards(plan))
        )
        rejected = (
            [log[REJECTED] for log in logs]
            | "AllRejected" >> beam.Flatten().with_output_types(_OUTPUTS[REJECTED])
            | "GroupRejected" >> beam.GroupByKey()
            | "WriteRejected" >> beam.ParDo(WriteRejected(plan))
        )
        reports = (
            *(log[OUTCOME] for log in logs),
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
