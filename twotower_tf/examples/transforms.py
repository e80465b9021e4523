"""The Beam transforms of the example build.

Events are grouped once by user, for the histories, and once by shard, for the order in it. What
moves between workers are tuples of plain values, which Beam encodes fast.
"""

import contextlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from twotower_tf import storage
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.errors import InputError
from twotower_tf.examples import build_progress, histories, tfrecord
from twotower_tf.examples.events import EventReader, Rejected
from twotower_tf.examples.plan import (
    Plan,
    example_shard_name,
    rejected_users_path,
    shard_path,
)
from twotower_tf.examples.records import UserParser
from twotower_tf.examples.rejects import rejected_line
from twotower_tf.examples.timeline import (
    HistoryWalk,
    QueryFeatures,
    TimelineEncoder,
    by_day,
    in_order,
)
from twotower_tf.examples.values import RejectedRecord

# What a user's group holds: the first element of each of its tuples.
_EVENT, _PROFILE, _CARRIED = range(3)
# Side outputs. What the driver has to know goes to the outcome.
_HISTORIES, _REJECTED, _OUTCOME = "histories", "rejected", "outcome"
OUTCOME_FILE = "outcome.json"

UserPart = tuple[str, tuple]
Keyed = tuple[str, tuple]


def _rejected(path: str, delivery: tuple[int, int], line: str) -> pvalue.TaggedOutput:
    return pvalue.TaggedOutput(_REJECTED, (path, (delivery, line)))


def _outcome(*values: Any) -> pvalue.TaggedOutput:
    return pvalue.TaggedOutput(_OUTCOME, values)


@beam.typehints.with_input_types(tuple[int, SourceFile])
@beam.typehints.with_output_types(UserPart)
class ReadEvents(beam.DoFn):
    """Numbered event files to events by user; rejected records and counts beside."""

    def __init__(self, plan: Plan):
        self._plan = plan

    def setup(self) -> None:
        """Makes the reader, once a worker."""
        self._reader = EventReader(self._plan)

    def process(self, element: tuple[int, SourceFile]) -> Iterator[Any]:
        """Reads a file."""
        file_number, file = element
        try:
            for line_number, found in self._reader.read_file(file):
                build_progress.advance("read")
                delivery = (file_number, line_number)
                if isinstance(found, Rejected):
                    path = shard_path("rejected", found.day, "events.jsonl")
                    yield _rejected(path, delivery, found.line)
                else:
                    yield found[0], (_EVENT, delivery, *found[1:])
        except InputError as error:
            yield _outcome("problem", str(error))
        read, self._reader.read = self._reader.read, Counter()
        for day, count in read.items():
            yield _outcome("count", day, "events", count)


@beam.typehints.with_input_types(tuple[int, int, SourceFile])
@beam.typehints.with_output_types(UserPart)
class ReadProfiles(beam.DoFn):
    """Numbered files of user profiles, with their snapshot's day, to profiles by user."""

    def __init__(self, plan: Plan):
        self._plan = plan

    def setup(self) -> None:
        """Makes the parser, once a worker."""
        self._parser = UserParser(self._plan.config)

    def process(self, element: tuple[int, int, SourceFile]) -> Iterator[Any]:
        """Reads a file."""
        file_number, snapshot_day, file = element
        read = 0
        try:
            for number, record in read_records(file):
                read += 1
                try:
                    if isinstance(record, Unreadable):
                        raise RejectedRecord(record.reason)
                    user = self._parser.parse(record)
                    yield user.user_id, (_PROFILE, snapshot_day, (file_number, number), user.values)
                except RejectedRecord as error:
                    shown = record.raw if isinstance(record, Unreadable) else record
                    line = rejected_line(self._plan.root, file.path, number, shown, str(error))
                    yield _rejected(rejected_users_path(snapshot_day), (file_number, number), line)
        except InputError as error:
            yield _outcome("problem", str(error))
        yield _outcome("count", snapshot_day, "profiles", read)


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(UserPart)
class ReadHistories(beam.DoFn):
    """Files of the histories to go on from, to histories by user."""

    def process(self, element: str) -> Iterator[UserPart]:
        """Reads a file."""
        for row in histories.read_histories(element):
            yield row.user_id, (_CARRIED, row.item_ids, row.timestamps)


@beam.typehints.with_input_types(tuple[str, Iterable[tuple]])
@beam.typehints.with_output_types(Keyed)
class MakeExamples(beam.DoFn):
    """A user's events, profiles and history to examples by shard, and to history rows beside.

    A row is made for the days on which the user's history or profile may have changed; whoever
    writes the snapshots keeps it until the next.
    """

    def __init__(self, plan: Plan):
        self._plan = plan

    def setup(self) -> None:
        """Makes the encoders, once a worker."""
        config = self._plan.config
        self._encoder = TimelineEncoder(config)
        self._query = QueryFeatures(config)
        self._length = config.examples.history_length
        self._shards = config.examples.shards
        self._carries = config.source.events.columns.history is None
        days = self._plan.days
        self._profile_days = [
            day
            for before, day in zip((None, *days), days, strict=False)
            if before is None or self._plan.profiles_of(before) != self._plan.profiles_of(day)
        ]

    def start_bundle(self) -> None:
        """Starts counting."""
        self._counts: Counter[tuple[int, str]] = Counter()

    def process(self, element: tuple[str, Iterable[tuple]]) -> Iterator[Any]:
        """Makes a user's examples."""
        user_id, parts = element
        raw_events, profiles, carried = _sorted_parts(parts)
        if not raw_events and carried is None:
            return
        build_progress.advance("made", len(raw_events))
        events, duplicate_days = in_order(user_id, raw_events)
        self._counts.update((day, "duplicates") for day in duplicate_days)
        days = by_day(events)
        self._counts.update((day, "users") for day in days)
        walk = HistoryWalk(self._length, *(carried or ((), ())))
        first = min(days) if carried is None else self._plan.days[0]
        for day in sorted({*days, *(day for day in self._profile_days if day >= first)}):
            profile = profiles.get(self._plan.profiles_of(day))
            for example in self._encoder.examples(user_id, days.get(day, ()), walk, profile):
                name = example_shard_name(example.split, example.shard, self._shards)
                yield shard_path("examples", day, name), (*example.order, example.record)
            if self._carries:
                shard = histories.shard_name(histories.user_hash(user_id)[0], self._shards)
                row = (day, user_id, *walk.state(), self._query.of_user(user_id, profile))
                yield pvalue.TaggedOutput(_HISTORIES, (shard, row))

    def finish_bundle(self) -> Iterator[Any]:
        """Hands the counts on."""
        for (day, name), count in self._counts.items():
            window = GlobalWindow()
            counted = WindowedValue(("count", day, name, count), window.max_timestamp(), [window])
            yield pvalue.TaggedOutput(_OUTCOME, counted)


def _sorted_parts(parts: Iterable[tuple]) -> tuple[list[tuple], dict[int, dict], tuple | None]:
    """Returns a user's events, profiles by snapshot (the last delivered holds), and history."""
    events: list[tuple] = []
    profiles: dict[int, tuple] = {}
    carried = None
    for part in parts:
        if part[0] == _EVENT:
            events.append(part[1:])
        elif part[0] == _PROFILE:
            _, snapshot_day, delivery, values = part
            if snapshot_day not in profiles or profiles[snapshot_day][0] < delivery:
                profiles[snapshot_day] = (delivery, values)
        else:
            carried = part[1:]
    return events, {day: values for day, (_, values) in profiles.items()}, carried


@contextlib.contextmanager
def _whole_file(path: str) -> Iterator[str]:
    """Gives a path to write to, moved to ``path`` at the end: a bundle may be tried twice."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex}"
    yield temporary
    os.replace(temporary, path)


@beam.typehints.with_input_types(tuple[str, Iterable[tuple]])
@beam.typehints.with_output_types(tuple)
class WriteShard(beam.DoFn):
    """A shard's examples to a TFRecord file, in their order."""

    def __init__(self, plan: Plan):
        self._scratch = plan.scratch

    def process(self, element: tuple[str, Iterable[tuple]]) -> Iterator[tuple]:
        """Writes a shard; yields what the manifest says of it."""
        name, examples = element
        path = os.path.join(self._scratch, name)
        with _whole_file(path) as temporary:
            # The hash before the record tells all examples apart: records are never compared.
            count = tfrecord.write_records(temporary, (row[-1] for row in sorted(examples)))
        yield ("shard", name, count, storage.checksum(path))


@beam.typehints.with_input_types(tuple[str, Iterable[tuple]])
@beam.typehints.with_output_types(tuple)
class WriteHistories(beam.DoFn):
    """The history rows of a shard's users to a snapshot for every day to build."""

    def __init__(self, plan: Plan):
        self._plan = plan

    def process(self, element: tuple[str, Iterable[tuple]]) -> Iterator[tuple]:
        """Writes a file a day; yields what their manifests say of them."""
        shard, rows = element
        changed: dict[int, list[tuple]] = {}
        for day, *row in rows:
            changed.setdefault(day, []).append(row)
        state: dict[str, list] = {}
        for day in self._plan.days:
            state.update((row[0], row) for row in changed.get(day, ()))
            name = shard_path("histories", day, shard)
            path = os.path.join(self._plan.scratch, name)
            with _whole_file(path) as temporary:
                histories.write_histories(temporary, [state[user] for user in sorted(state)])
            yield ("shard", name, len(state), storage.checksum(path))


@beam.typehints.with_input_types(tuple[str, Iterable[tuple]])
@beam.typehints.with_output_types(tuple)
class WriteRejected(beam.DoFn):
    """Rejected records to a file of JSON lines, in the order they were delivered."""

    def __init__(self, plan: Plan):
        self._scratch = plan.scratch

    def process(self, element: tuple[str, Iterable[tuple]]) -> Iterator[tuple]:
        """Writes a file; yields what the manifest says of it."""
        name, rejected = element
        lines = [line for _, line in sorted(rejected)]
        path = os.path.join(self._scratch, name)
        with _whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        yield ("shard", name, len(lines), storage.checksum(path))


@beam.typehints.with_input_types(list[tuple])
@beam.typehints.with_output_types(str)
class WriteOutcome(beam.DoFn):
    """All that the driver has to know, to one file."""

    def __init__(self, plan: Plan):
        self._path = os.path.join(plan.scratch, OUTCOME_FILE)

    def process(self, element: list[tuple]) -> Iterator[str]:
        """Writes the file."""
        with _whole_file(self._path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(element, file)
        yield self._path


class BuildExamples(beam.PTransform):
    """From a plan to the files of all partitions, in the plan's scratch folder."""

    def __init__(self, plan: Plan):
        super().__init__()
        self._plan = plan

    def expand(self, pbegin: pvalue.PBegin) -> beam.PCollection:
        """Applies the transforms."""
        plan = self._plan
        events = self._sources(pbegin, "Events", list(enumerate(plan.events)), ReadEvents(plan))
        profiles = self._sources(
            pbegin,
            "Profiles",
            [
                (number, snapshot_day, file)
                for snapshot_day, files in plan.profiles
                for number, file in enumerate(files)
            ],
            ReadProfiles(plan),
        )
        carried = self._sources(pbegin, "Histories", list(plan.carried), ReadHistories())
        parts = [source for source in (events, profiles, carried) if source is not None]
        made = (
            [part.users for part in parts]
            | "AllOfUsers" >> beam.Flatten()
            | "GroupByUser" >> beam.GroupByKey()
            | "MakeExamples"
            >> beam.ParDo(MakeExamples(plan)).with_outputs(_HISTORIES, _OUTCOME, main="examples")
        )
        rejected = [part[_REJECTED] for part in parts] | "AllRejected" >> beam.Flatten()
        outcomes = [
            *(part[_OUTCOME] for part in parts),
            made[_OUTCOME],
            _written(made.examples, "Examples", WriteShard(plan)),
            _written(made[_HISTORIES], "Snapshots", WriteHistories(plan)),
            _written(rejected, "Rejected", WriteRejected(plan)),
        ]
        return (
            outcomes
            | "AllOutcomes" >> beam.Flatten()
            | "OneList" >> beam.combiners.ToList()
            | "WriteOutcome" >> beam.ParDo(WriteOutcome(plan))
        )

    @staticmethod
    def _sources(pbegin: pvalue.PBegin, name: str, files: list, reader: beam.DoFn):
        """Reads files in parallel, None if there are none."""
        if not files:
            return None
        return (
            pbegin
            | f"{name}Files" >> beam.Create(files)
            # Without it, runners fuse the reading to the one worker that lists the files.
            | f"Spread{name}" >> beam.Reshuffle()
            | f"Read{name}" >> beam.ParDo(reader).with_outputs(_REJECTED, _OUTCOME, main="users")
        )


def _written(rows: beam.PCollection, name: str, writer: beam.DoFn) -> beam.PCollection:
    return rows | f"Group{name}" >> beam.GroupByKey() | f"Write{name}" >> beam.ParDo(writer)
