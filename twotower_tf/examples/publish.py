"""Moves what a build's workers wrote into day partitions, oldest first."""

import datetime
import os
import shutil
from collections import Counter

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import examples_fingerprint
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples import catalogue, histories, rejects, tfrecord
from twotower_tf.examples.plan import Plan, latest, rejected_users_path, shard_path
from twotower_tf.examples.planning import KIND, StagedCatalogue


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
        if self._config.source.events.columns.history is None:
            self._publish_histories(day)
        else:
            self._publish_no_histories(day)
        return self._publish_examples(day, events, self._outcome.records(rejected_events))

    def _check_share(self, what: str, rejected_path: str, read: int) -> None:
        rejected = self._outcome.records(rejected_path)
        most = self._config.examples.max_rejected_share
        if rejected > most * read:
            with open(os.path.join(self._plan.scratch, rejected_path), encoding="utf-8") as file:
                lines = file.readlines()
            raise InputError(rejects.too_many(what, lines, read, most))
