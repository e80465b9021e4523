"""What ends a build after its logs were read: a column that no record has, too much rejected."""

import datetime
from collections.abc import Callable, Mapping, Sequence

from absl import logging

from twotower_tf.errors import InputError
from twotower_tf.examples import rejects, unreadable_files
from twotower_tf.examples.outcome import Outcome
from twotower_tf.examples.plan import Plan, logs, shard_path
from twotower_tf.examples.reading.columns_read import columns_seen


def none_is_meant(log: str, where: Mapping[str, Sequence[str]]) -> str:
    """Says that no record of a log is one of those that are meant."""
    meant = " and ".join(f"{column} in ({', '.join(texts)})" for column, texts in where.items())
    return f"no record has {meant} (source.{log}.where)"


def check_day(
    plan: Plan, outcome: Outcome, day: datetime.date, rejected: Callable[[str], list[str]]
) -> None:
    """Checks that what was read of a day can be used.

    Args:
        plan: What is built.
        outcome: What came of it.
        day: The day.
        rejected: Gives the lines of the rejected records of a file, by its path below the scratch
            folder.

    Raises:
        InputError: If too many records of a log were rejected, or not one has a column that is
            needed.
    """
    number, config = day.toordinal(), plan.config
    for log in logs(config):
        seen = columns_seen(outcome, number, log, config)
        seen.check(f"{log} of {day}", config, log)
    for log in logs(config):
        what = f"{log} of {day}"
        files = [file for file in getattr(plan, log) if file.day in (None, day)]
        lost = outcome.unreadable[number, log]
        unreadable_files.check_share(config, what, plan.root, lost, files)
        path = shard_path(rejects.KIND, number, rejects.file_name(log))
        read = outcome.counts[number, log]
        where = getattr(config.source, log).where
        if where and files and not read:
            logging.warning("%s: %s", what, none_is_meant(log, where))
        if rejects.are_too_many(outcome.records(path), read, config.examples):
            most = config.examples.max_rejected_share
            raise InputError(rejects.too_many(what, rejected(path), read, most))
