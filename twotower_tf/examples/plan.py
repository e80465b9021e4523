"""What a build has to do, as every worker has to know it."""

import bisect
import dataclasses
import datetime
import functools
import math
import os

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.items import item_lookup
from twotower_tf.examples.users.histories import Link

SPLITS = ("train", "eval")
# The logs beside the events, as far as the source has them.
_OTHER_LOGS = ("searches", "impressions")


def logs(config: Config) -> list[str]:
    """Returns the logs that are read: ``events`` and the others that the source has."""
    others = (log for log in _OTHER_LOGS if getattr(config.source, log) is not None)
    return ["events", *others]


def shard_path(kind: str, day: int, name: str) -> str:
    """Returns where below the scratch folder a file of a day's partition is."""
    return os.path.join(kind, f"dt={datetime.date.fromordinal(day)}", name)


def example_shard_name(split: str, shard: int, shards: int) -> str:
    """Returns the file of a partition of examples that holds a shard of a split."""
    return f"{split}-{shard:05d}-of-{shards:05d}.tfrecord.gz"


@dataclasses.dataclass(frozen=True)
class CatalogueFile:
    """Where a snapshot of the catalogue is, for workers to join events with.

    Attributes:
        day: The first day it holds for.
        path: Its Parquet file.
        checksum: The file's SHA-256.
    """

    day: int
    path: str
    checksum: str


@dataclasses.dataclass(frozen=True)
class ProfileFiles:
    """Where a snapshot of the user profiles is, for workers to join events with.

    Attributes:
        day: The first day it holds for.
        folder: Holds a keyed file for every shard there was when it was made (``profiles``).
        names: Of the files, by their shards.
    """

    day: int
    folder: str
    names: tuple[str, ...]

    def files(self, shard: int, shards: int) -> list[str]:
        """Returns the files that may hold users of a shard, of so many."""
        common = math.gcd(shards, len(self.names))
        return [
            os.path.join(self.folder, name)
            for number, name in enumerate(self.names)
            if (number - shard) % common == 0
        ]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a build does; days are ``date.toordinal`` numbers.

    Attributes:
        config_json: The configuration as JSON, which travels to workers cheaply.
        root: The source folder.
        scratch: Where workers write; not seen by readers.
        days: The days to build, ascending.
        events: The event files to read.
        splits: The parts of them to read apart from each other, each with its file's number.
        catalogues: The catalogue snapshots, ascending.
        profiles: The user profiles' snapshots, ascending.
        chains: Where the histories to go on from are: every shard's chain, none on the first day.
        searches: The search files to read.
        search_splits: The parts of them, as of the events.
        impressions: The impression files to read.
        impression_splits: The parts of them, likewise.
    """

    config_json: str
    root: str
    scratch: str
    days: tuple[int, ...]
    events: tuple[SourceFile, ...]
    splits: tuple[tuple[int, SourceSplit], ...]
    catalogues: tuple[CatalogueFile, ...]
    profiles: tuple[ProfileFiles, ...]
    chains: tuple[tuple[Link, ...], ...]
    searches: tuple[SourceFile, ...] = ()
    search_splits: tuple[tuple[int, SourceSplit], ...] = ()
    impressions: tuple[SourceFile, ...] = ()
    impression_splits: tuple[tuple[int, SourceSplit], ...] = ()

    @functools.cached_property
    def config(self) -> Config:
        """The configuration."""
        return Config.model_validate_json(self.config_json)

    @functools.cached_property
    def calendar(self) -> Calendar:
        """When days start and end."""
        return Calendar.of(self.config)

    @property
    def carries(self) -> bool:
        """Whether histories are carried from day to day: not if the log gives them."""
        return self.config.source.events.columns.history is None

    @property
    def has_searches(self) -> bool:
        """Whether examples have the searches before them."""
        return self.config.source.searches is not None

    @functools.cached_property
    def day_set(self) -> frozenset[int]:
        """The days to build, to look up."""
        return frozenset(self.days)

    def catalogue_of(self, day: int) -> CatalogueFile:
        """Returns the catalogue snapshot that holds on a day."""
        return latest(self.catalogues, day, key=lambda snapshot: snapshot.day)

    def items_of(self, day: int) -> item_lookup.ItemLookup:
        """Returns the look-up in the catalogue as of a day."""
        snapshot = self.catalogue_of(day)
        return item_lookup.shared_lookup(snapshot.path, snapshot.checksum, self.config_json)

    def profiles_of(self, day: int) -> ProfileFiles | None:
        """Returns the user profiles' snapshot that holds on a day, None without profiles."""
        return latest(self.profiles, day, key=lambda snapshot: snapshot.day)

    def chain_of(self, shard: int) -> tuple[Link, ...]:
        """Returns where the histories of a shard's users are, newest first."""
        return self.chains[shard] if self.chains else ()

    def inputs_of(self, day: int) -> list[SourceFile]:
        """Returns the files of logs that may hold records of a day."""
        files = (*self.events, *self.searches, *self.impressions)
        return [file for file in files if file.day is None or file.day.toordinal() == day]


def latest(snapshots, day: int, key):
    """Returns the last of ascending snapshots that is not after a day, None if there is none."""
    position = bisect.bisect_right(snapshots, day, key=key)
    return snapshots[position - 1] if position else None
