"""Moves what a build's workers wrote into day partitions, oldest first."""

import datetime
import os
import shutil
from collections import Counter
from collections.abc import Callable

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import examples_fingerprint
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples import catalogue, histories, rejects, tfrecord
from twotower_tf.examples.plan import (
    SPLITS,
    Plan,
    example_shard_name,
    rejected_users_path,
    shard_path,
)
from twotower_tf.examples.planning import KIND, StagedCatalogue

# What is counted of a day, in the order people read it: events read are the next four together.
COUNTS = ("events", "examples", "held_out", "duplicates", "rejected", "users")


class Outcome:
    """What the workers of a build report.

    Attributes:
        counts: By day and name.
        written: What manifests say of the files in the scratch folder, by their path there.
        problems: Why the build can't go on, one line each.
    """

    def __init__(self, reported: list[list]):
        self.counts: Counter[tuple[int, str]] = Counter()
        self.written: dict[str, dict] = {}
        self.problems: list[str] = []
        for kind, *values in sorted(reported):
            if kind == "count":
                day, name, count = values
                self.counts[day, name] += count
            elif kind == "problem":
                self.problems += values
            else:
                path, records, checksum = values
                self.written[path] = _shard(path, records, checksum)

    def records(self, path: str) -> int:
        """Returns how many records a file of the scratch folder holds, 0 if there is none."""
        return self.written[path]["records"] if path in self.written else 0


def _shard(path: str, records: int, checksum: str) -> dict:
    return {"file": os.path.basename(path), "records": records, "sha256": checksum}


class Publisher:
    """Publishes the days of a build.

    Args:
        config: The deployment.
        workdir: Where the partitions go.
        plan: What was built.
        outcome: What came of it.
        staged: The new catalogue snapshots.
    """

    def __init__(
        self,
        config: Config,
        workdir: storage.Workdir,
        plan: Plan,
        outcome: Outcome,
        staged: list[StagedCatalogue],
    ):
        self._config = config
        self._workdir = workdir
        self._plan = plan
        self._outcome = outcome
        self._due = list(staged)
        self._fingerprint = examples_fingerprint(config)

    def check_profiles(self) -> None:
        """Checks how many user profiles were rejected.

        Raises:
            InputError: If there were too many.
        """
        for day, _ in self._plan.profiles:
            read = self._outcome.counts[day, "profiles"]
            date = datetime.date.fromordinal(day)
            self._check_share(f"user profiles of {date}", rejected_users_path(day), read)

    def publish(self, day: datetime.date) -> dict:
        """Publishes the partitions of a day, the examples last, and returns its counts.

        Raises:
            InputError: If too many of its events were rejected; then only those are published.
        """
        number = day.toordinal()
        events = self._outcome.counts[number, "events"]
        rejected_events = shard_path(rejects.KIND, number, "events.jsonl")
        due = [staged for staged in self._due if staged.snapshot.day <= number]
        try:
            self._check_share(f"events of {day}", rejected_events, events)
        except InputError:
            self._publish_rejected(day, [])
            raise
        for staged in due:
            self._publish_catalogue(staged)
            self._due.remove(staged)
        self._publish_rejected(day, due)
        self._publish_histories(day)
        return self._publish_examples(day, events, self._outcome.records(rejected_events))

    def _check_share(self, what: str, rejected_path: str, read: int) -> None:
        rejected = self._outcome.records(rejected_path)
        most = self._config.examples.max_rejected_share
        if rejected > most * read:
            with open(os.path.join(self._plan.scratch, rejected_path), encoding="utf-8") as file:
                lines = file.readlines()
            raise InputError(rejects.too_many(what, lines, read, most))

    def _publish_catalogue(self, staged: StagedCatalogue) -> None:
        day = datetime.date.fromordinal(staged.snapshot.day)
        items = staged.parsed.items.num_rows
        manifest = {
            "counts": {
                "read": staged.parsed.read,
                "items": items,
                "duplicates": staged.parsed.duplicates,
                "rejected": len(staged.parsed.rejected),
            },
            "shards": [_shard(catalogue.FILE, items, staged.snapshot.checksum)],
            "inputs": self._inputs(staged.files),
        }
        with self._write(catalogue.KIND, day, manifest) as folder:
            os.replace(staged.snapshot.path, os.path.join(folder, catalogue.FILE))

    def _publish_rejected(self, day: datetime.date, due: list[StagedCatalogue]) -> None:
        """Publishes what was rejected of a day's events, its profiles and its new catalogue."""
        number = day.toordinal()
        manifest: dict = {"shards": []}
        with self._write(rejects.KIND, day, manifest) as folder:
            events = shard_path(rejects.KIND, number, "events.jsonl")
            snapshot_day = self._plan.profiles_of(number)
            users = None if snapshot_day is None else rejected_users_path(snapshot_day)
            for path in (events, users):
                if path in self._outcome.written:
                    # Copied, for a snapshot of profiles serves several days.
                    source = os.path.join(self._plan.scratch, path)
                    shutil.copyfile(source, os.path.join(folder, os.path.basename(path)))
                    manifest["shards"].append(self._outcome.written[path])
            lines = [line for staged in due for line in staged.parsed.rejected]
            if lines:
                path = os.path.join(folder, "items.jsonl")
                with open(path, "w", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in lines)
                manifest["shards"].append(_shard(path, len(lines), storage.checksum(path)))
            manifest["counts"] = {
                name: sum(
                    shard["records"]
                    for shard in manifest["shards"]
                    if shard["file"] == f"{name}.jsonl"
                )
                for name in ("events", "items", "users")
            }

    def _publish_histories(self, day: datetime.date) -> None:
        names = []
        if self._config.source.events.columns.history is None:
            shards = self._config.examples.shards
            names = [histories.shard_name(number, shards) for number in range(shards)]
        manifest: dict = {}
        with self._write(histories.KIND, day, manifest) as folder:
            manifest["shards"] = [
                self._moved(histories.KIND, day, name, folder, _write_no_histories)
                for name in names
            ]
            manifest["users"] = sum(shard["records"] for shard in manifest["shards"])

    def _publish_examples(self, day: datetime.date, events: int, rejected: int) -> dict:
        number = day.toordinal()
        shards = self._config.examples.shards
        names = [
            example_shard_name(split, shard, shards) for split in SPLITS for shard in range(shards)
        ]
        manifest: dict = {
            "catalogue": str(datetime.date.fromordinal(self._plan.catalogue_of(number).day)),
            "inputs": self._inputs(self._plan.events_of(number)),
        }
        with self._write(KIND, day, manifest) as folder:
            manifest["shards"] = [
                self._moved(KIND, day, name, folder, _write_no_examples) for name in names
            ]
            manifest["counts"] = {
                "events": events,
                "examples": _records(manifest["shards"], "train"),
                "held_out": _records(manifest["shards"], "eval"),
                "duplicates": self._outcome.counts[number, "duplicates"],
                "rejected": rejected,
                "users": self._outcome.counts[number, "users"],
            }
        return manifest["counts"]

    def _write(self, kind: str, day: datetime.date, manifest: dict):
        manifest["configuration"] = self._fingerprint
        return self._workdir.partition(kind, day).write(manifest)

    def _moved(
        self,
        kind: str,
        day: datetime.date,
        name: str,
        folder: str,
        write_empty: Callable[[str], object],
    ) -> dict:
        """Moves a shard to a folder, or writes an empty one; returns what the manifest says."""
        path = shard_path(kind, day.toordinal(), name)
        target = os.path.join(folder, name)
        if path in self._outcome.written:
            os.replace(os.path.join(self._plan.scratch, path), target)
            return self._outcome.written[path]
        write_empty(target)
        return _shard(name, 0, storage.checksum(target))

    def _inputs(self, files: list[SourceFile]) -> list[dict]:
        return [
            {
                "file": os.path.relpath(file.path, self._plan.root),
                "bytes": os.path.getsize(file.path),
            }
            for file in files
        ]


def _write_no_histories(path: str) -> None:
    histories.write_histories(path, [])


def _write_no_examples(path: str) -> None:
    tfrecord.write_records(path, [])


def _records(shards: list[dict], split: str) -> int:
    return sum(shard["records"] for shard in shards if shard["file"].startswith(f"{split}-"))
