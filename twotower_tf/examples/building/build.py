"""The example build: a range of days, as many together as fit, partitions of each day.

Workers write to a scratch folder of the work directory; when all is there, days are published
oldest first, each in the order rejected, catalogue, profiles, histories, counts, statistics,
ranking, examples. So a day whose examples exist is whole, and a build that dies goes on where it
stopped.

A day of which more than ``examples.max_rejected_share`` was rejected ends the build: of it only
``rejected/`` is published, for people to look at, and of later days nothing.
"""

import contextlib
import datetime
import os
import time
from collections.abc import Sequence

from twotower_tf import beam_runs, storage
from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples import build_progress
from twotower_tf.examples.building.planning import (
    days_to_build,
    find_logs,
    make_plan,
    portions,
)
from twotower_tf.examples.building.publish import PUBLISHED, Publisher, count_names
from twotower_tf.examples.building.steps import run_here
from twotower_tf.examples.items import item_lookup
from twotower_tf.examples.outcome import Outcome, Report
from twotower_tf.examples.plan import Plan

JOB = "build_examples"


def build_examples(
    config: Config,
    workdir: storage.Workdir,
    source: str,
    days: list[datetime.date],
    beam_args: Sequence[str] = (),
) -> dict[datetime.date, dict]:
    """Builds the examples of days, and with them histories, catalogue and rejected records.

    Days whose examples are there are left as they are.

    Args:
        config: The deployment.
        workdir: Where the partitions go.
        source: The folder that holds the events, items and user profiles.
        days: In any order.
        beam_args: Beam's own flags; without any this process runs the steps, without Beam.

    Returns:
        The counts of each day: ``events`` read = ``examples`` to train on + ``held_out`` +
        ``history_only`` + ``duplicates`` + ``rejected``; and ``users`` who had a valid event. If
        the source has searches, ``searches`` read = ``searches_used`` + ``searches_duplicates`` +
        ``searches_rejected``; of impressions likewise.

    Raises:
        InputError: If a day can't be built from this source into this work directory; names it.
            If an option is none of Beam's.
        JobError: If another build is running, or if the workers left nothing here.
    """
    started = time.monotonic()
    if days_to_build(config, workdir, days):
        if beam_args:
            beam_runs.check_options(beam_args)
        with storage.scratch(workdir.path(JOB)) as scratch:
            _clear_away(workdir)
            # Asked again, as another build may have published them until now.
            missing = days_to_build(config, workdir, days)
            logs = find_logs(config, source, missing)
            for portion in portions(config, source, missing, logs):
                folder = os.path.join(scratch, str(portion[0]))
                plan, snapshots = make_plan(config, workdir, source, portion, logs, folder)
                publisher = Publisher(config, workdir, plan, _run(plan, beam_args), snapshots)
                for day in portion:
                    metrics = publisher.publish(day)
                    metrics["seconds"] = round(time.monotonic() - started, 3)
                    storage.write_json(workdir.metrics_path(JOB, day), metrics)
                storage.remove_folder(folder)
    elif storage.has_leftovers(workdir.root):
        # Unless they are of a build that is running.
        with contextlib.suppress(JobError), storage.scratch(workdir.path(JOB)):
            _clear_away(workdir)
    return {day: _counts(config, workdir, day) for day in sorted(set(days))}


def _counts(config: Config, workdir: storage.Workdir, day: datetime.date) -> dict:
    """Returns the counts of a day that is built."""
    manifest = workdir.partition(storage.EXAMPLES, day).manifest()
    counts = {name: manifest["counts"][name] for name in count_names(config)}
    if storage.read_json(workdir.metrics_path(JOB, day)) is None:
        # A build that died between the day's partition and its metrics. Partitions are older than
        # matches.
        metrics = {**counts, "matches": manifest.get("matches", {})}
        storage.write_json(workdir.metrics_path(JOB, day), metrics)
    return counts


def _clear_away(workdir: storage.Workdir) -> None:
    """Removes what killed builds left; the caller has the lock that keeps other builds out."""
    for folder in (workdir.root, workdir.path("metrics", JOB)):
        storage.remove_temporary(folder)
    for kind in PUBLISHED:
        storage.clear_away(workdir.path(kind))


def _run(plan: Plan, beam_args: Sequence[str]) -> Outcome:
    """Runs the steps to their end: by Beam where options for it say how, else in this process."""
    try:
        with build_progress.shown():
            reports = _run_by_beam(plan, beam_args) if beam_args else run_here(plan)
    finally:
        # What runs after the build in this process needs the memory.
        item_lookup.shared_lookup.cache_clear()
    outcome = Outcome(reports)
    if outcome.problems:
        raise InputError(outcome.problems[0])
    return outcome


def _run_by_beam(plan: Plan, beam_args: Sequence[str]) -> list[Report]:
    beam_runs.load_beam()
    from twotower_tf.examples.building.transforms import OUTCOME_FILE, BuildExamples

    with beam_runs.pipeline(beam_args) as pipeline:
        pipeline | BuildExamples(plan)
    reports = storage.read_json(os.path.join(plan.scratch, OUTCOME_FILE))
    if reports is None:
        raise JobError(
            f"the pipeline left nothing in {plan.scratch}: it was cancelled or not waited for, or "
            "its workers write to another --workdir of this name; all must see the same one"
        )
    return list(map(tuple, reports))
