"""The example build: a range of days, one Beam pipeline, a set of partitions a day.

Workers write to a scratch folder of the work directory; when all is there, the days are published
oldest first, each in the order catalogue, rejected, histories, examples. So a day whose examples
exist is whole, and a build that dies goes on where it stopped.

A day of which more than ``examples.max_rejected_share`` was rejected ends the build: of it only
``rejected/`` is published, for people to look at, and of later days nothing.
"""

import datetime
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import examples_fingerprint
from twotower_tf.errors import InputError
from twotower_tf.examples import catalogue, histories, rejects, tfrecord
from twotower_tf.examples.outcome import Outcome
from twotower_tf.examples.plan import KIND, Plan, days_to_build, find_events, find_snapshots
from twotower_tf.examples.staging import StagedCatalogue, stage_catalogues

JOB = "build_examples"
Progress = Callable[[datetime.date, dict], None]


def build_examples(
    config: Config,
    workdir: storage.Workdir,
    source: str,
    days: list[datetime.date],
    beam_args: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[datetime.date, dict]:
    """Builds the examples of days, and with them histories, catalogue and rejected records.

    Days whose examples are there are left as they are.

    Args:
        config: The deployment.
        workdir: Where the partitions go.
        source: The folder that holds the events, items and user profiles.
        days: UTC dates, in any order.
        beam_args: Beam's own flags; without ``--runner`` the pipeline runs in this process.
        progress: Called with each day that was published and its counts.

    Returns:
        The counts of each day: ``events`` read = ``examples`` to train on + ``held_out`` +
        ``duplicates`` + ``rejected``; and ``users`` with at least one valid event.

    Raises:
        InputError: If a day can't be built from this source into this work directory; names it.
    """
    started = time.monotonic()
    missing = days_to_build(config, workdir, days)
    counts = {
        day: workdir.partition(KIND, day).manifest()["counts"]
        for day in sorted(set(days) - set(missing))
    }
    if missing:
        with storage.scratch(workdir.path(JOB)) as scratch:
            staged = stage_catalogues(config, workdir, source, missing, scratch)
            plan = _plan(config, workdir, source, missing, scratch, staged)
            outcome = _run(plan, beam_args)
            publisher = _Publisher(config, workdir, plan, outcome, staged)
            publisher.check_profiles()
            for day in missing:
                counts[day] = publisher.publish(day)
                metrics = {**counts[day], "seconds": round(time.monotonic() - started, 3)}
                storage.write_json(workdir.metrics_path(JOB, day), metrics)
                if progress is not None:
                    progress(day, counts[day])
    return dict(sorted(counts.items()))


def _plan(
    config: Config,
    workdir: storage.Workdir,
    source: str,
    days: list[datetime.date],
    scratch: str,
    staged: list[StagedCatalogue],
) -> Plan:
    profiles = {}
    if config.source.users is not None:
        profiles = find_snapshots(source, config, "users", days, built=[])
    carried = None
    if config.source.events.columns.history is None:
        carried = workdir.latest(histories.KIND, days[0] - datetime.timedelta(days=1))
    return Plan(
        config_json=config.model_dump_json(by_alias=True),
        root=source,
        scratch=scratch,
        days=tuple(day.toordinal() for day in days),
        events=tuple(find_events(source, config, days)),
        catalogues=tuple(snapshot.snapshot for snapshot in staged),
        profiles=tuple((day.toordinal(), tuple(files)) for day, files in profiles.items()),
        carried=tuple(carried.file(shard["file"]) for shard in carried.manifest()["shards"])
        if carried is not None
        else (),
    )


def _run(plan: Plan, beam_args: Sequence[str]) -> Outcome:
    """Runs the pipeline to its end."""
    # apache_beam complains about Google Cloud's clients when it is loaded; nobody asked for them.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        from twotower_tf.examples.transforms import OUTCOME_FILE, BuildExamples
    finally:
        logging.disable(before)
    flags = list(beam_args)
    if not any(flag == "--runner" or flag.startswith("--runner=") for flag in flags):
        # By name, since the default runner may try to download the binary of another one.
        flags.append("--runner=FnApiRunner")
    try:
        with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
            pipeline | BuildExamples(plan)
    finally:
        # What runs after the build in this process needs the memory.
        catalogue.shared_lookup.cache_clear()
    outcome = Outcome(storage.read_json(os.path.join(plan.scratch, OUTCOME_FILE)))
    if outcome.problems:
        raise InputError(outcome.problems[0])
    return outcome


class _Publisher:
    """Moves a day's files from the scratch folder to its partitions."""

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
        self._fingerprint = examples_fingerprint(config)
        self._catalogues_due = [snapshot for snapshot in staged if snapshot.parsed is not None]
        self._catalogue_days = {}

    def publish(self, day: datetime.date) -> dict:
        """Publishes a day and returns its counts.

        Raises:
            InputError: If too many of its records were rejected.
        """
        due = [staged for staged in self._catalogues_due if staged.snapshot.day <= day.toordinal()]
        rejected = self._rejected_lines(day, due)
        self._check_share(day)
        return {}
