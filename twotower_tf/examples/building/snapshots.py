"""Snapshots of the catalogue and of the user profiles: which ones days need, and staging new ones.

A snapshot is parsed once. Files without ``{date}`` are parsed again only when they changed: the
manifest of what was made of them says their sizes and checksums.
"""

import dataclasses
import datetime
import os
from collections.abc import Callable, Collection, Iterator

from twotower_tf import storage
from twotower_tf.binding import examples_fingerprint, is_same
from twotower_tf.config import Config
from twotower_tf.config.source import Files
from twotower_tf.datasets.files import SourceFile, find_files
from twotower_tf.errors import InputError
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.outcome import input_entry, manifest_entry
from twotower_tf.examples.plan import latest
from twotower_tf.examples.source_columns import check_columns
from twotower_tf.examples.users import profiles


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot, published or waiting for it.

    Attributes:
        kind: The kind of its partition.
        day: The first day it holds for.
        folder: Where its files are.
        manifest: Names its files (``shards``), counts, inputs.
        rejected: The file in the folder, if there is one, that holds the records that can't be
            used; None for a published snapshot.
    """

    kind: str
    day: datetime.date
    folder: str
    manifest: dict
    rejected: str | None

    @property
    def is_new(self) -> bool:
        """Says whether it waits to be published."""
        return self.rejected is not None


@dataclasses.dataclass(frozen=True)
class SnapshotKind:
    """What differs between the catalogue and the profiles.

    Attributes:
        what: The section of ``source``.
        kind: The kind of the partitions.
        rejected: The name of the file with the records that can't be used.
        stage: Parses files into a folder and returns the manifest's counts and shards.
    """

    what: str
    kind: str
    rejected: str
    stage: Callable[[Config, datetime.date, list[SourceFile], str, str], dict]


def _stage_catalogue(
    config: Config, day: datetime.date, files: list[SourceFile], root: str, folder: str
) -> dict:
    parsed = catalogue.parse_catalogue(files, root, config)
    catalogue.check_catalogue(parsed, config, day, files, root)
    path = os.path.join(folder, catalogue.FILE)
    catalogue.write_catalogue(parsed, path)
    with open(os.path.join(folder, CATALOGUE.rejected), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in parsed.rejected)
    items = parsed.items.num_rows
    counts = {
        "read": parsed.read,
        "items": items,
        "duplicates": parsed.duplicates,
        "rejected": len(parsed.rejected),
    }
    return {"counts": counts, "shards": [manifest_entry(path, items, storage.checksum(path))]}


def _stage_profiles(
    config: Config, day: datetime.date, files: list[SourceFile], root: str, folder: str
) -> dict:
    staged = profiles.stage_profiles(config, day, files, root, folder)
    shards = []
    for shard, users in enumerate(staged.users):
        path = os.path.join(folder, profiles.file_name(shard, len(staged.users)))
        shards.append(manifest_entry(path, users, storage.checksum(path)))
    return {"counts": staged.counts(), "shards": shards}


CATALOGUE = SnapshotKind("items", catalogue.KIND, "items.jsonl", _stage_catalogue)
PROFILES = SnapshotKind("users", profiles.KIND, profiles.REJECTED_FILE, _stage_profiles)


def snapshots(
    which: SnapshotKind,
    config: Config,
    workdir: storage.Workdir,
    source: str,
    days: list[datetime.date],
    scratch: str,
) -> Iterator[Snapshot]:
    """Yields the snapshots that days need, ascending; new ones are parsed into ``scratch``.

    A day needs the latest one that is not after it. Files that no day divides are one snapshot, of
    the first day, or the published one if they are what that was made from.

    Raises:
        InputError: If a day has none, or if one can't be used.
    """
    dated = _section(config, which).is_dated
    own = examples_fingerprint(config)
    usable = [
        day
        for day in workdir.days(which.kind)
        if is_same(workdir.partition(which.kind, day).manifest()["configuration"], own)
    ]
    needed = needed_files(which, config, source, days, built=usable if dated else [])
    for day, files in needed.items():
        if not files:
            yield _published(workdir, which, day)
            continue
        before = None if dated else latest(usable, day, key=lambda usable_day: usable_day)
        published = None if before is None else _published(workdir, which, before)
        # With checksums, which say whether a snapshot is to be parsed anew.
        inputs = [
            {**input_entry(file, source), "sha256": storage.checksum(file.path)} for file in files
        ]
        if published is not None and published.manifest["inputs"] == inputs:
            yield published
            continue
        folder = os.path.join(scratch, which.kind, f"dt={day}")
        with storage.filled_on_disk(folder) as local:
            os.makedirs(local, exist_ok=True)
            manifest = {"inputs": inputs, **which.stage(config, day, files, source, local)}
        # What never changes must not cost a copy a day.
        if published is not None and published.manifest["shards"] == manifest["shards"]:
            yield published
        else:
            yield Snapshot(which.kind, day, folder, manifest, which.rejected)


def _published(workdir: storage.Workdir, which: SnapshotKind, day: datetime.date) -> Snapshot:
    partition = workdir.partition(which.kind, day)
    return Snapshot(which.kind, day, partition.path, partition.manifest(), None)


def needed_files(
    which: SnapshotKind,
    config: Config,
    root: str,
    days: list[datetime.date],
    built: Collection[datetime.date] = (),
) -> dict[datetime.date, list[SourceFile]]:
    """Returns the source's files of the snapshots that days need, none for a built one.

    Args:
        which: Which snapshots.
        config: Names the files.
        root: The source folder.
        days: The days to build, ascending.
        built: The snapshots that are in the work directory, whose files are not needed.

    Raises:
        InputError: If a day has none, or a column is missing.
    """
    section = _section(config, which)
    by_day: dict[datetime.date, list[SourceFile]] = {}
    for file in find_files(root, section, which.what, config.source.homepage):
        by_day.setdefault(file.day or days[0], []).append(file)
    known = sorted({*by_day, *built})
    needed: dict[datetime.date, list[SourceFile]] = {}
    for day in days:
        snapshot = latest(known, day, key=lambda known_day: known_day)
        if snapshot is None:
            raise InputError(
                f"{os.path.join(root, section.path)} (source.{which.what}.path) has no "
                f"snapshot of {day} or a day before it"
            )
        needed[snapshot] = [] if snapshot in built else by_day[snapshot]
    for file in (file for chosen in needed.values() for file in chosen):
        check_columns(file, config, which.what)
    return needed


def _section(config: Config, which: SnapshotKind) -> Files:
    return getattr(config.source, which.what)
