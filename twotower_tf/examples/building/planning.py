"""Decides what a build has to do, before any event is read: days, files and snapshots."""

import dataclasses
import datetime
import os
from collections import Counter
from collections.abc import Collection

import numpy as np

from twotower_tf import storage
from twotower_tf.config import Config, dated_paths
from twotower_tf.config_loader import examples_fingerprint
from twotower_tf.datasets.files import SourceFile, find_files
from twotower_tf.datasets.splits import SourceSplit, splits_of
from twotower_tf.errors import InputError
from twotower_tf.examples.building.hours import check_hours
from twotower_tf.examples.building.snapshots import CATALOGUE, PROFILES, Snapshot, snapshots
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.items import item_lookup
from twotower_tf.examples.plan import CatalogueFile, Plan, ProfileFiles
from twotower_tf.examples.source_columns import check_columns
from twotower_tf.examples.users import histories

# Small enough that a few workers share a day's files evenly, large enough for whole columns.
_SPLIT_BYTES = 32 << 20
# Days are built at once whose files hold so much at most: 10 million events of a video log are 130
# MB of Parquet, a million items 170 MB of JSON lines, which take a worker 350 MB.
_EVENT_BYTES_A_SHARD = 16 << 20
_ITEM_BYTES = 128 << 20


@dataclasses.dataclass(frozen=True)
class Logs:
    """The files of the source's logs that some days need.

    Attributes:
        events: Those of the events.
        searches: Those of the searches, none if the source has no such log.
        impressions: Those of the impressions, likewise.
    """

    events: list[SourceFile]
    searches: list[SourceFile]
    impressions: list[SourceFile]

    def of(self, days: Collection[datetime.date]) -> "Logs":
        """Returns the files that some of the days need."""
        logs = (self.events, self.searches, self.impressions)
        return Logs(*(_of_days(files, days) for files in logs))


def find_logs(config: Config, source: str, days: Collection[datetime.date]) -> Logs:
    """Returns the files of the logs to read: those of the days, and those that no day divides.

    Raises:
        InputError: If a log has no files, if a day of one with ``{date}`` has none (an empty file
            makes an empty day), if hours of one are missing and that is an error, or if a column
            is missing.
    """
    return Logs(
        **{
            log.name: _find_log(source, config, log.name, days)
            if getattr(config.source, log.name) is not None
            else []
            for log in dataclasses.fields(Logs)
        }
    )


def make_plan(
    config: Config,
    workdir: storage.Workdir,
    source: str,
    days: list[datetime.date],
    logs: Logs,
    scratch: str,
) -> tuple[Plan, list[Snapshot]]:
    """Returns the plan of the days to build, and the snapshots it joins with.

    Args:
        config: The deployment.
        workdir: Where the partitions go.
        source: The folder of the logs and of what they join with.
        days: The days to build, ascending.
        logs: What ``find_logs`` found for these days, and maybe others.
        scratch: Where new snapshots, and the workers, are to write.

    Raises:
        InputError: If the source lacks something that a day needs.
    """
    logs = logs.of(days)
    where = (config, workdir, source, days, scratch)
    catalogues = list(snapshots(CATALOGUE, *where))
    profiles = list(snapshots(PROFILES, *where)) if config.source.users is not None else []
    plan = Plan(
        config_json=config.model_dump_json(by_alias=True),
        root=source,
        scratch=scratch,
        days=tuple(day.toordinal() for day in days),
        events=tuple(logs.events),
        splits=_splits(logs.events),
        catalogues=tuple(map(_catalogue_of, catalogues)),
        profiles=tuple(ProfileFiles(one.day.toordinal(), one.folder) for one in profiles),
        chains=tuple(map(tuple, _chains(config, workdir, days[0]))),
        searches=tuple(logs.searches),
        search_splits=_splits(logs.searches),
        impressions=tuple(logs.impressions),
        impression_splits=_splits(logs.impressions),
    )
    return plan, [*catalogues, *profiles]


def portions(
    config: Config, source: str, days: list[datetime.date], logs: Logs
) -> list[list[datetime.date]]:
    """Splits the days of a call into portions that are built at once, in bounded memory.

    A worker holds the events and the impressions of a shard, and the catalogues of all days, of its
    portion. Small days are built together, since a pipeline has costs of its own.

    Args:
        config: The deployment.
        source: The folder of the items.
        days: The days to build, ascending.
        logs: What ``find_logs`` found for them.

    Raises:
        InputError: If there are no items.
    """
    events = _bytes_by_day([*logs.events, *logs.impressions])
    items = _bytes_by_day(find_files(source, config.source.items, "items", config.source.homepage))
    most = (_EVENT_BYTES_A_SHARD * config.examples.shards, _ITEM_BYTES, item_lookup.LOOKUPS_KEPT)
    result: list[list[datetime.date]] = []
    held = np.zeros(3)
    for day in days:
        costs = np.array([events[day], items[day], day in items])
        if result and ((costs == 0) | (held + costs <= most)).all():
            result[-1].append(day)
            held += costs
        else:
            result.append([day])
            # The catalogue of a portion's first day may be an older one.
            held = np.maximum(costs, (0, max(items.values(), default=0), 1))
    return result


def _bytes_by_day(files: list[SourceFile]) -> Counter[datetime.date]:
    """Returns how many bytes of files belong to each day; those that no day divides to none."""
    sizes: Counter[datetime.date] = Counter()
    for file in files:
        if file.day is not None:
            sizes[file.day] += storage.size(file.path)
    return sizes


def days_to_build(
    config: Config, workdir: storage.Workdir, days: list[datetime.date]
) -> list[datetime.date]:
    """Returns the days whose examples are not there yet, ascending.

    Raises:
        InputError: If a day is in the future, was built by another configuration, or lies before a
            day that was built.
    """
    wanted = sorted(set(days))
    check_past(config, wanted)
    fingerprint = examples_fingerprint(config)
    missing = []
    for day in wanted:
        partition = workdir.partition(storage.EXAMPLES, day)
        if not partition.exists():
            missing.append(day)
        elif partition.manifest()["configuration"] != fingerprint:
            raise InputError(
                f"the examples of {day} in {workdir.root} were built by another configuration; "
                "use that configuration, or a new folder"
            )
    later = [day for day in workdir.days(histories.KIND) if missing and day > missing[0]]
    if later:
        raise InputError(
            f"{missing[0]} is a day before the last built one, {later[-1]}: its events would be "
            "missing from the histories since; build days oldest first, or into a new folder"
        )
    return missing


def check_past(config: Config, days: Collection[datetime.date]) -> None:
    """Checks that no day is in the future; raises InputError that names the last one that is."""
    calendar = Calendar.of(config)
    today = calendar.today()
    last = max(days, default=today)
    if last > today:
        raise InputError(f"{last} is in the future (today is {today}; days start at {calendar})")


def _splits(files: list[SourceFile]) -> tuple[tuple[int, SourceSplit], ...]:
    return tuple(
        (number, split)
        for number, file in enumerate(files)
        for split in splits_of(file, _SPLIT_BYTES)
    )


def _find_log(
    root: str, config: Config, what: str, days: Collection[datetime.date]
) -> list[SourceFile]:
    """Returns the files of a log that days need."""
    log = getattr(config.source, what)
    files = find_files(root, log, what, config.source.homepage)
    by_day = {file.day for file in files}
    for day in days:
        if None not in by_day and day not in by_day:
            raise InputError(
                f"there are no {what} of {day}: no file matches "
                f"{os.path.join(root, dated_paths.on(log.path, day))} "
                "(an empty file makes an empty day)"
            )
    chosen = _of_days(files, days)
    for file in chosen:
        check_columns(file, config, what)
    check_hours(config, what, chosen, days)
    return chosen


def _of_days(files: list[SourceFile], days: Collection[datetime.date]) -> list[SourceFile]:
    wanted = set(days)
    return [file for file in files if file.day is None or file.day in wanted]


def _catalogue_of(snapshot: Snapshot) -> CatalogueFile:
    (file,) = snapshot.manifest["shards"]
    path = os.path.join(snapshot.folder, file["file"])
    return CatalogueFile(snapshot.day.toordinal(), path, file["sha256"])


def _chains(
    config: Config, workdir: storage.Workdir, first: datetime.date
) -> list[list[histories.Link]]:
    """Returns where the latest histories before the first day to build are, by shard."""
    before = workdir.latest(histories.KIND, first - datetime.timedelta(days=1))
    return [] if before is None else histories.chains_of(workdir, before)
