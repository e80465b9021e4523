"""Moves what a build's workers wrote into day partitions, oldest first."""

import datetime
import os
from collections.abc import Callable, Iterator

from twotower_tf import storage
from twotower_tf.binding import examples_fingerprint
from twotower_tf.binding.settings import OF_BUILD, settings
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.examples import (
    counts,
    matches,
    rejects,
    statistics,
    statistics_sources,
)
from twotower_tf.examples.building.hours import missing_hours
from twotower_tf.examples.building.limits import check_day
from twotower_tf.examples.building.snapshots import CATALOGUE, PROFILES, Snapshot
from twotower_tf.examples.encoding import tfrecord
from twotower_tf.examples.outcome import Outcome, input_entry, manifest_entry
from twotower_tf.examples.plan import SPLITS, Plan, example_shard_name, logs, shard_path
from twotower_tf.examples.users import histories
from twotower_tf.examples.users.histories import Link
from twotower_tf.storage.whole_files import whole_file

# The kinds of partitions, in the order in which those of a day are published.
PUBLISHED = (
    rejects.KIND,
    CATALOGUE.kind,
    PROFILES.kind,
    histories.KIND,
    counts.KIND,
    statistics.KIND,
    storage.RANKING,
    storage.EXAMPLES,
)
# What is counted of a day, in the order people read it: events read are the next five together.
COUNTS = (
    "events",
    "examples",
    "held_out",
    "history_only",
    "duplicates",
    "rejected",
    "users",
)
# What is counted of ranking examples: used impressions are the first three together.
_RANKING_COUNTS = (
    "examples",
    "held_out",
    "left_out",
    "clicked",
    "pages",
    "pages_again",
    "watched_corrected",
)


def count_names(config: Config) -> tuple[str, ...]:
    """Returns what is counted of a day; of other logs read are the next three together."""
    _, *others = logs(config)
    kinds = ("", "_used", "_duplicates", "_rejected")
    return COUNTS + tuple(f"{log}{kind}" for log in others for kind in kinds)


class Publisher:
    """Publishes the days of a build.

    Args:
        config: The deployment.
        workdir: Where the partitions go.
        plan: What was built.
        outcome: What came of it.
        snapshots: What the days join with.
    """

    def __init__(
        self,
        config: Config,
        workdir: storage.Workdir,
        plan: Plan,
        outcome: Outcome,
        snapshots: list[Snapshot],
    ):
        self._config = config
        self._workdir = workdir
        self._plan = plan
        self._outcome = outcome
        self._due = [snapshot for snapshot in snapshots if snapshot.is_new]
        self._fingerprint = examples_fingerprint(config)
        self._settings = settings(config, OF_BUILD)
        self._chains = list(plan.chains) or [()] * config.examples.shards

    def publish(self, day: datetime.date) -> dict:
        """Publishes the partitions of a day, the examples last.

        Rejected records come before the snapshots they are from: a build that starts anew after
        it died in between finds the records of the published ones there.

        Returns:
            The day's counts, what the build read and wrote for it, how many of its ids found what
            they name (``matches``), and which hours of it are missing.

        Raises:
            InputError: If too many records of a log were rejected, or not one has a column that is
                needed; then only what was rejected is published.
        """
        due = [snapshot for snapshot in self._due if snapshot.day <= day]
        try:
            check_day(self._plan, self._outcome, day, self._rejected)
        except InputError:
            self._publish_rejected(day, [])
            raise
        self._publish_rejected(day, due)
        for snapshot in due:
            self._publish_snapshot(snapshot)
            self._due.remove(snapshot)
        rows_written = self._publish_histories(day)
        self._publish_counts(day)
        if statistics.are_needed(self._config):
            self._publish_statistics(day)
        if self._config.ranking is not None:
            self._publish_ranking(day)
        found = matches.of_day(self._outcome, day)
        shares = {
            what: {"given": one.given, "matched": one.matched, "share": one.share}
            for what, one in found.items()
        }
        of_day = self._publish_examples(day, shares)
        rows_read = self._outcome.counts[day.toordinal(), "history_rows_read"]
        cost = {"history_rows_read": rows_read, "history_rows_written": rows_written}
        matches.tell(found, day, self._config.examples.warn_match_share)
        more = {"matches": shares, **self._missing_hours(day), "settings": self._settings}
        return {**of_day, **cost, **more}

    def _missing_hours(self, day: datetime.date) -> dict:
        """Returns the hours that logs lack, where their paths say hours."""
        found = {
            log: missing_hours(self._config, log, getattr(self._plan, log), day)
            for log in logs(self._config)
        }
        by_log = {log: hours for log, hours in found.items() if hours is not None}
        return {"missing_hours": by_log} if by_log else {}

    def _rejected(self, path: str) -> list[str]:
        """Returns the lines of a file of rejected records that the workers left."""
        with storage.open_input(os.path.join(self._plan.scratch, path)) as file:
            return [line.decode() for line in file]

    def _publish_snapshot(self, snapshot: Snapshot) -> None:
        with self._write(snapshot.kind, snapshot.day, snapshot.manifest) as folder:
            names = [shard["file"] for shard in snapshot.manifest["shards"]]
            storage.move_all(
                {os.path.join(snapshot.folder, name): os.path.join(folder, name) for name in names}
            )

    def _publish_rejected(self, day: datetime.date, due: list[Snapshot]) -> None:
        """Publishes what was rejected of a day's logs and of its new snapshots."""
        sources = {}
        for log in logs(self._config):
            name = rejects.file_name(log)
            path = shard_path(rejects.KIND, day.toordinal(), name)
            sources[name] = os.path.join(self._plan.scratch, path)
        before = self._workdir.partition(rejects.KIND, day)
        for name in (CATALOGUE.rejected, PROFILES.rejected):
            sources[name] = before.file(name)
        for snapshot in due:
            sources[snapshot.rejected] = os.path.join(snapshot.folder, snapshot.rejected)
        manifest: dict = {"shards": [], "counts": {}}
        with self._write(rejects.KIND, day, manifest) as folder:
            for name, source in sources.items():
                lines = rejects.count_lines(source)
                manifest["counts"][name.removesuffix(".jsonl")] = lines
                if lines:
                    target = os.path.join(folder, name)
                    storage.copy(source, target)
                    entry = manifest_entry(target, lines, storage.checksum(target))
                    manifest["shards"].append(entry)

    def _publish_histories(self, day: datetime.date) -> int:
        """Publishes the histories; returns how many rows were written."""
        section = self._config.examples
        shards = section.shards if self._plan.carries else 0
        manifest: dict = {}
        partition = self._workdir.partition(histories.KIND, day)
        with self._write(histories.KIND, day, manifest) as folder:
            for shard in range(shards):
                link = Link(day, partition.file(histories.file_name(shard, shards)), shards)
                self._chains[shard] = histories.with_link(
                    self._chains[shard], link, shard, section.full_histories_every_days
                )
            names = [histories.file_name(shard, shards) for shard in range(shards)]
            manifest["shards"] = self._moved(histories.KIND, day, names, folder)
            manifest["chains"] = histories.chains_entry(self._chains[:shards])
        return sum(shard["records"] for shard in manifest["shards"])

    def _publish_counts(self, day: datetime.date) -> None:
        """Publishes the counts of a day's training examples, put together from its shards."""
        paths = self._parts(counts.KIND, day, counts.part_name)
        pairs = counts.merge([counts.read(path) for path in paths])
        manifest: dict = {"shards": []}
        with self._write(counts.KIND, day, manifest) as folder:
            for name, rows in counts.write_day(folder, pairs).items():
                path = os.path.join(folder, name)
                manifest["shards"].append(manifest_entry(path, rows, storage.checksum(path)))

    def _parts(
        self, kind: str, day: datetime.date, part_name: Callable[[int], str]
    ) -> Iterator[str]:
        """Yields the files that the shards left of a day."""
        for shard in range(self._config.examples.shards):
            path = shard_path(kind, day.toordinal(), part_name(shard))
            if path in self._outcome.written:
                yield os.path.join(self._plan.scratch, path)

    def _publish_statistics(self, day: datetime.date) -> None:
        """Publishes the statistics of a day's training examples, put together from its shards."""
        paths = self._parts(statistics.KIND, day, statistics.part_name)
        parts = map(statistics.read, paths)
        nothing = statistics_sources.of_no_examples(self._config)
        merged = statistics.merge([nothing, *parts]).bounded(self._config)
        manifest: dict = {"shards": []}
        with self._write(statistics.KIND, day, manifest) as folder:
            path = os.path.join(folder, statistics.FILE)
            with whole_file(path) as temporary:
                statistics.write(temporary, merged)
            entry = manifest_entry(path, merged.examples, storage.checksum(path))
            manifest["shards"].append(entry)

    def _publish_examples(self, day: datetime.date, shares: dict) -> dict:
        """Publishes the examples; returns the day's counts."""
        number = day.toordinal()
        manifest: dict = {
            "matches": shares,
            "settings": self._settings,
            "catalogue": str(datetime.date.fromordinal(self._plan.catalogue_of(number).day)),
            "inputs": [input_entry(file, self._plan.root) for file in self._plan.inputs_of(number)],
        }
        with self._write(storage.EXAMPLES, day, manifest) as folder:
            known = self._move_splits(storage.EXAMPLES, day, manifest, folder)
            for log in logs(self._config):
                path = shard_path(rejects.KIND, number, rejects.file_name(log))
                name = "rejected" if log == "events" else f"{log}_rejected"
                known[name] = self._outcome.records(path)
            manifest["counts"] = {
                name: known.get(name, self._outcome.counts[number, name])
                for name in count_names(self._config)
            }
        return manifest["counts"]

    def _publish_ranking(self, day: datetime.date) -> None:
        """Publishes the ranking examples."""
        manifest: dict = {}
        with self._write(storage.RANKING, day, manifest) as folder:
            known = self._move_splits(storage.RANKING, day, manifest, folder)
            counted = self._outcome.counts
            manifest["counts"] = {
                name: known.get(name, counted[day.toordinal(), f"{storage.RANKING}/{name}"])
                for name in _RANKING_COUNTS
            }

    def _move_splits(
        self, kind: str, day: datetime.date, manifest: dict, folder: str
    ) -> dict[str, int]:
        """Moves the shards of both splits to a folder; returns how many examples they have."""
        shards = self._config.examples.shards
        names = [
            example_shard_name(split, shard, shards) for split in SPLITS for shard in range(shards)
        ]
        manifest["shards"] = self._moved(kind, day, names, folder)
        return {
            "examples": _records(manifest["shards"], "train"),
            "held_out": _records(manifest["shards"], "eval"),
        }

    def _write(self, kind: str, day: datetime.date, manifest: dict):
        manifest["configuration"] = self._fingerprint
        return self._workdir.partition(kind, day).write(manifest)

    def _moved(self, kind: str, day: datetime.date, names: list[str], folder: str) -> list[dict]:
        """Moves shards to a folder, or writes ones without examples; returns their entries."""
        entries, moves = [], {}
        for name in names:
            path = shard_path(kind, day.toordinal(), name)
            target = os.path.join(folder, name)
            if path in self._outcome.written:
                moves[os.path.join(self._plan.scratch, path)] = target
                entries.append(self._outcome.written[path])
            else:
                tfrecord.write_records(target, [])
                entries.append(manifest_entry(target, 0, storage.checksum(target)))
        storage.move_all(moves)
        return entries


def _records(shards: list[dict], split: str) -> int:
    return sum(shard["records"] for shard in shards if shard["file"].startswith(f"{split}-"))
