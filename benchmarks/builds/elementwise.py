"""The straightforward Beam pipeline: an event is an element, all the way.

Read, parse, group by user, join with a dictionary of items, encode with TensorFlow's messages,
group by shard, sort, write with Beam's own TFRecord sink.
"""

import csv
import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
from apache_beam.io.tfrecordio import _TFRecordUtil
from apache_beam.options.pipeline_options import PipelineOptions

from benchmarks.builds.definition import examples_of_user, text_hash
from benchmarks.builds.encoding import encode


@beam.typehints.with_output_types(tuple[tuple, tuple])
class MakeExamples(beam.DoFn):
    """A user's events and profile to examples by file."""

    def __init__(self, items_path: str, shards: int):
        self._items_path = items_path
        self._shards = shards

    def setup(self):
        """Reads the catalogue, once a worker."""
        with open(self._items_path, encoding="utf-8") as file:
            rows = map(json.loads, file)
            self._items = {row["item_id"]: row for row in rows}

    def process(self, element: tuple[str, dict]) -> Iterator:
        """Makes a user's examples."""
        user_id, parts = element
        profile = next(iter(parts["profiles"]), {})
        shard = text_hash(user_id) % self._shards
        events = list(parts["events"])
        for where, place, features in examples_of_user(user_id, events, profile, self._items):
            yield (*where, shard), (place, encode(*features))


class WriteShard(beam.DoFn):
    """The examples of a shard to its file, in their order."""

    def __init__(self, out: str):
        self._out = out

    def process(self, element: tuple[tuple, Iterable[tuple]]) -> Iterator[str]:
        """Writes a file."""
        import gzip

        (day, split, shard), examples = element
        path = os.path.join(self._out, f"{day}-{split}-{shard:05d}.tfrecord.gz")
        with gzip.open(path, "wb", compresslevel=4) as file:
            for _, record in sorted(examples):
                _TFRecordUtil.write_record(file, record)
        yield path


def _csv_record(line: str, header: list[str]) -> dict:
    """Parses a line of the simulator's CSV, in which only numbers of two columns are no text."""
    (fields,) = csv.reader([line])
    record = {name: field or None for name, field in zip(header, fields, strict=True)}
    record["timestamp"] = int(record["timestamp"])
    record["watched_seconds"] = float(record["watched_seconds"])
    return record


def build(source: str, out: str, shards: int, beam_args: Sequence[str]) -> None:
    """Builds all days of a source whose catalogue is one snapshot."""
    events = sorted(glob.glob(os.path.join(source, "events", "*", "*")))
    (items,) = glob.glob(os.path.join(source, "items", "*", "*"))
    with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
        files = pipeline | "Files" >> beam.Create(events)
        if events[0].endswith(".parquet"):
            records = files | beam.io.ReadAllFromParquet()
        elif events[0].endswith(".jsonl"):
            records = files | beam.io.ReadAllFromText() | beam.Map(json.loads)
        else:
            with open(events[0], encoding="utf-8") as file:
                header = file.readline().strip().split(",")
            lines = files | beam.io.ReadAllFromText(skip_header_lines=1)
            records = lines | beam.Map(_csv_record, header)
        profiles = (
            pipeline
            | beam.io.ReadFromText(os.path.join(source, "users.jsonl"))
            | "ParseProfile" >> beam.Map(json.loads)
        )
        parts = {
            "events": records | "EventUser" >> beam.Map(lambda row: (row["user_id"], row)),
            "profiles": profiles | "ProfileUser" >> beam.Map(lambda row: (row["user_id"], row)),
        }
        _ = (
            parts
            | beam.CoGroupByKey()
            | beam.ParDo(MakeExamples(items, shards))
            | "GroupByShard" >> beam.GroupByKey()
            | beam.ParDo(WriteShard(out))
        )
