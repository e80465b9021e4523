"""Looks at a source as a build would, at some of it, and writes nothing.

All that says what is valid is the build's own: its search for files, its reading of logs,
catalogue and profiles, its limits. Only what is read of large logs is less.
"""

import datetime
from collections.abc import Iterable, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile, find_files
from twotower_tf.datasets.record_batches import RecordBatch, read_batches
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.datasets.where import meant_batches
from twotower_tf.errors import InputError
from twotower_tf.examples import matches
from twotower_tf.examples.building.planning import check_past, find_logs
from twotower_tf.examples.building.snapshots import CATALOGUE, PROFILES, needed_files
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.plan import CatalogueFile, logs
from twotower_tf.examples.source_columns import named_columns
from twotower_tf.inspection.columns import columns_of
from twotower_tf.inspection.examples_made import examples_made
from twotower_tf.inspection.expected import expected
from twotower_tf.inspection.features import Values, features_found, tables_found
from twotower_tf.inspection.findings import Findings, Part, part_of, rejected_of
from twotower_tf.inspection.logs_read import (
    LogsRead,
    SamplePlan,
    columns_parsed,
    matched,
    matches_of,
    read_logs,
    refusal_of,
)
from twotower_tf.inspection.sample import Sample, take_sample
from twotower_tf.inspection.snapshots_read import (
    ReadCatalogue,
    ReadProfiles,
    read_catalogues,
    read_profiles,
)
from twotower_tf.inspection.times import times_of
from twotower_tf.inspection.warnings import warnings_of


def check_source(config: Config, source: str, date: datetime.date | None, most: int) -> Findings:
    """Looks at a source.

    Args:
        config: The deployment.
        source: The folder of the logs and of what they join with.
        date: The day that would be built; None: all days that there are.
        most: About how many records of each log to look at.

    Returns:
        What was found. If a build would refuse the source, its ``refusal`` says why, and what was
        found until then is there.
    """
    findings = Findings()
    try:
        _Check(config, source, most, findings).run(date)
    except InputError as error:
        findings.refusal = str(error)
    findings.warnings = warnings_of(config, findings)
    return findings


class _Check:
    """The steps of a check, in the order of a build's.

    Args:
        config: The deployment.
        source: The source folder.
        most: About how many records of each log to look at.
        findings: Is filled in.
    """

    def __init__(self, config: Config, source: str, most: int, findings: Findings):
        self._config = config
        self._source = source
        self._most = most
        self._findings = findings
        self._calendar = Calendar.of(config)

    def run(self, date: datetime.date | None) -> None:
        """Looks at everything; raises InputError where a build would, and it can't go on."""
        named = [date] if date else self._dated_days()
        check_past(self._config, named)
        found = find_logs(self._config, self._source, named)
        samples = {"events": self._look_at_log("events", found.events)}
        days = [date] if date else self._days_of(samples["events"])
        for log in logs(self._config)[1:]:
            samples[log] = self._look_at_log(log, getattr(found, log), days)
        ends = named or days
        self._findings.days = str(ends[0]), str(ends[-1])
        catalogues = self._read_catalogues(days)
        profiles = self._read_profiles(days) if self._config.source.users is not None else {}
        plan = self._plan(days, catalogues, samples)
        read = read_logs(plan, samples)
        self._note_logs(read)
        self._findings.refusal = refusal_of(plan, read, samples)
        newest = catalogues[max(catalogues)]
        self._join(plan, read, newest, profiles[max(profiles)] if profiles else None)

    def _dated_days(self) -> list[datetime.date]:
        """Returns the days that the events' files have, or those of another log."""
        for log in logs(self._config):
            section = getattr(self._config.source, log)
            files = find_files(self._source, section, log, self._config.source.homepage)
            days = {file.day for file in files} - {None}
            if days:
                return sorted(days)
        return []

    def _look_at_log(
        self, log: str, files: list[SourceFile], days: list[datetime.date] | None = None
    ) -> Sample:
        columns = columns_parsed(self._config, log)
        sample = self._look_at(log, files, columns.needed, days)
        unit = getattr(self._config.source, log).timestamp_unit
        self._findings.part(log).times = times_of(columns, unit, sample, self._calendar)
        return sample

    def _look_at(
        self,
        what: str,
        files: list[SourceFile],
        needed: Sequence[str],
        days: list[datetime.date] | None = None,
    ) -> Sample:
        sample = take_sample(partial(_read, columns=needed), files, self._most, days)
        columns = columns_of(self._config, what, needed, sample)
        self._findings.parts.append(part_of(what, files, sample, columns))
        return sample

    def _days_of(self, events: Sample) -> list[datetime.date]:
        """Returns the days that are looked at, where none is given."""
        days = {one.file.day for one in events.read} - {None}
        if not days:
            found = self._findings.part("events").times.days
            days = set(map(datetime.date.fromordinal, found))
        # Without a readable time the reading says so.
        return sorted(days) or [self._calendar.today()]

    def _read_catalogues(self, days: list[datetime.date]) -> dict[datetime.date, ReadCatalogue]:
        needed = needed_files(CATALOGUE, self._config, self._source, days)
        part = self._look_at_snapshots("items", needed)
        read = read_catalogues(self._config, self._source, needed)
        part.read = sum(one.parsed.read for one in read.values())
        lines = [line for one in read.values() for line in one.parsed.rejected]
        part.rejected = rejected_of(lines)
        return read

    def _read_profiles(self, days: list[datetime.date]) -> dict[datetime.date, ReadProfiles]:
        needed = needed_files(PROFILES, self._config, self._source, days)
        part = self._look_at_snapshots("users", needed)
        read = read_profiles(self._config, self._source, needed)
        part.read = sum(one.read for one in read.values())
        part.rejected = rejected_of([line for one in read.values() for line in one.rejected])
        return read

    def _look_at_snapshots(self, what: str, needed: dict[datetime.date, list[SourceFile]]) -> Part:
        files = [file for of_day in needed.values() for file in of_day]
        named = list(named_columns(self._config, what))
        reward = self._config.examples.reward
        if what == "items" and reward is not None and reward.divided_by is not None:
            # It may be the item's.
            named = list(dict.fromkeys([*named, reward.divided_by]))
        self._look_at(what, files, named)
        return self._findings.part(what)

    def _plan(self, days, catalogues, samples: dict[str, Sample]) -> SamplePlan:
        snapshots = [CatalogueFile(day.toordinal(), "", "") for day in catalogues]
        return SamplePlan(
            config_json=self._config.model_dump_json(by_alias=True),
            root=self._source,
            scratch="",
            days=tuple(day.toordinal() for day in days),
            events=tuple(samples["events"].files),
            splits=(),
            catalogues=tuple(snapshots),
            profiles=(),
            chains=(),
            searches=tuple(samples["searches"].files) if "searches" in samples else (),
            impressions=tuple(samples["impressions"].files) if "impressions" in samples else (),
            lookups={day.toordinal(): one.lookup for day, one in catalogues.items()},
        )

    def _note_logs(self, read: LogsRead) -> None:
        for log, valid in read.valid.items():
            part = self._findings.part(log)
            lines = read.rejected_of(log)
            part.read, part.rejected = len(valid) + len(lines), rejected_of(lines)

    def _join(
        self,
        plan: SamplePlan,
        read: LogsRead,
        newest: ReadCatalogue,
        profiles: ReadProfiles | None,
    ) -> None:
        """Looks at what events name, at what they would make, and at what that would take."""
        findings, events = self._findings, read.valid["events"]
        findings.matches = matches_of(plan, read)
        if profiles is not None:
            users = pc.unique(events["user_id"])
            _, known = profiles.of(users, self._config)
            findings.matches |= matched(matches.PROFILES, users, known)
        searches = read.valid.get("searches")
        if len(events):
            findings.examples = examples_made(plan, events, searches, profiles)
        items = newest.parsed.items
        users_table = None if profiles is None else profiles.rows
        ids = pa.array(items["item_id"].to_pylist(), pa.string())
        values = Values(ids, events, items, users_table)
        findings.features = features_found(self._config, values)
        findings.tables = tables_found(self._config, values)
        part = findings.part("events")
        findings.expected = expected(
            self._config,
            findings.examples,
            part.records,
            len(events) / part.read if part.read else 0.0,
            sorted({file.day for file in plan.events} - {None}),
            newest,
            findings.tables,
        )


def _read(split: SourceSplit, columns: Sequence[str]) -> Iterable[RecordBatch]:
    return meant_batches(read_batches(split, columns), split.file.where)
