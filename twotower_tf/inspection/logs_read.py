"""The sampled records of the logs, through the build's own reading."""

import dataclasses
import datetime
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError
from twotower_tf.examples import matches, rejects
from twotower_tf.examples.building.limits import check_day
from twotower_tf.examples.event_table import SEARCH_SCHEMA, event_schema, impression_schema
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.outcome import Outcome, Report, count, problem, unreadable, written
from twotower_tf.examples.plan import Plan, logs, shard_path
from twotower_tf.examples.reading.event_columns import EventColumns, SearchColumns
from twotower_tf.examples.reading.event_reading import EventReader, LogReader, SearchReader
from twotower_tf.examples.reading.impression_columns import ImpressionColumns
from twotower_tf.examples.reading.impression_reading import ImpressionReader
from twotower_tf.examples.reading.item_joins import UNKNOWN_ITEM, id_in
from twotower_tf.examples.reading.log_columns import LogColumns
from twotower_tf.inspection.sample import Sample

_READERS: dict[str, type[LogReader]] = {
    "events": EventReader,
    "searches": SearchReader,
    "impressions": ImpressionReader,
}
_COLUMNS = {
    "events": EventColumns,
    "searches": SearchColumns,
    "impressions": ImpressionColumns,
}
# A day of which fewer were sampled is not judged alone.
_ENOUGH = 1000


def columns_parsed(config: Config, log: str) -> LogColumns:
    """Returns what parses the records of a log."""
    return _COLUMNS[log](config)


@dataclasses.dataclass(frozen=True)
class SamplePlan(Plan):
    """The plan of a build that joins with catalogues in memory.

    Attributes:
        lookups: In the catalogues, by their days.
    """

    lookups: Mapping[int, ItemLookup] = dataclasses.field(default_factory=dict)

    def items_of(self, day: int) -> ItemLookup:
        """See ``Plan``."""
        return self.lookups[self.catalogue_of(day).day]


@dataclasses.dataclass(frozen=True)
class LogsRead:
    """What became of the sampled records.

    Attributes:
        valid: The valid ones by log, as the build has them.
        rejected: The lines of the others, by log and day.
        outcome: What a build's driver would be told.
    """

    valid: dict[str, pa.Table]
    rejected: dict[str, dict[int, list[str]]]
    outcome: Outcome

    def rejected_of(self, log: str) -> list[str]:
        """Returns the lines of all rejected records of a log, by day."""
        return [line for _, lines in sorted(self.rejected[log].items()) for line in lines]


def read_logs(plan: Plan, samples: Mapping[str, Sample]) -> LogsRead:
    """Reads sampled records as a build reads all.

    Args:
        plan: What it would do.
        samples: The records, by log.
    """
    schemas = {"events": event_schema(plan.config), "searches": SEARCH_SCHEMA}
    if "impressions" in samples:
        schemas["impressions"] = impression_schema(plan.config)
    reports: list[Report] = []
    valid, rejected = {}, {}
    for log, sample in samples.items():
        tables, rejected[log] = [schemas[log].empty_table()], {}
        reports += [problem(text) for text in sample.problems]
        reader = _READERS[log](plan)
        for one in sample.read:
            split = SourceSplit(one.file)
            try:
                for batch in reader.read_batches(one.number, split, iter(one.batches)):
                    tables.append(batch.valid)
                    reports += [count(day, log, read) for day, read in batch.read.items()]
                    reports += batch.reports
                    for record in batch.rejected:
                        rejected[log].setdefault(record.day, []).append(record.line)
            except InputError as error:
                reports.append(problem(str(error)))
            reports += [
                unreadable(day, log, path, why) for day, path, why in reader.unreadable(one.file)
            ]
        reports += [
            written(shard_path(rejects.KIND, day, rejects.file_name(log)), len(lines), "")
            for day, lines in rejected[log].items()
        ]
        valid[log] = pa.concat_tables(tables)
    return LogsRead(valid, rejected, Outcome(reports))


def matches_of(plan: Plan, read: LogsRead) -> dict[str, matches.Match]:
    """Returns how many of the logs' ids find what they name, of all days together.

    Profiles are not among it.
    """
    found: dict[str, matches.Match] = {}
    for day in plan.days:
        for what, one in matches.of_day(read.outcome, datetime.date.fromordinal(day)).items():
            before = found.get(what, matches.Match(0, 0))
            found[what] = matches.Match(
                before.given + one.given,
                before.matched + one.matched,
                before.example or one.example,
            )
    if plan.config.examples.unknown_items == "reject":
        unknown = [
            record
            for records in rejects.by_reason(read.rejected_of("events"))
            for record in records
            if record["reason"].endswith(UNKNOWN_ITEM)
        ]
        known = len(read.valid["events"])
        example = id_in(unknown[0]["reason"]) if unknown else None
        if known or unknown:
            of_items = matches.Match(known + len(unknown), known, example)
            found = {matches.ITEMS: of_items, **found}
    return found


def matched(what: str, ids: pa.Array, known: np.ndarray) -> dict[str, matches.Match]:
    """Returns how many of some ids are known, as ``matches_of`` does."""
    if not len(ids):
        return {}
    missed = np.flatnonzero(~known)
    example = ids[int(missed[0])].as_py() if len(missed) else None
    return {what: matches.Match(len(ids), int(known.sum()), example)}


def refusal_of(plan: Plan, read: LogsRead, samples: Mapping[str, Sample]) -> str | None:
    """Returns why a build would refuse what was read, in the build's words; None: it would not.

    Of a sample that is not all, days of which little was read are judged together.
    """
    if read.outcome.problems:
        return read.outcome.problems[0]
    whole = all(sample.is_whole for sample in samples.values())
    counts = read.outcome.counts

    def lines(path: str) -> list[str]:
        return by_path[path]

    by_path = {
        shard_path(rejects.KIND, day, rejects.file_name(log)): found
        for log, days in read.rejected.items()
        for day, found in days.items()
    }
    try:
        for number in plan.days:
            if whole or all(counts[number, log] >= _ENOUGH for log in samples):
                check_day(plan, read.outcome, datetime.date.fromordinal(number), lines)
        if not whole:
            _check_together(plan.config, read)
    except InputError as error:
        return str(error) if whole else f"{error} (of a sample)"
    return None


def _check_together(config: Config, read: LogsRead) -> None:
    """Checks that not too much was rejected of all that was read; raises InputError."""
    for log in logs(config):
        lines = read.rejected_of(log)
        records = sum(n for (_, name), n in read.outcome.counts.items() if name == log)
        if rejects.are_too_many(len(lines), records, config.examples):
            most = config.examples.max_rejected_share
            raise InputError(rejects.too_many(log, lines, records, most))
