"""Which hours of its days a log has files of, where its path says hours (``{hour}``)."""

import datetime
from collections.abc import Collection

from absl import logging

from twotower_tf.config import Config, dated_paths
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples.calendar import Calendar


def missing_hours(
    config: Config, log: str, files: Collection[SourceFile], day: datetime.date
) -> list[int] | None:
    """Returns the hours of a day that none of a log's files is of, as the day has them.

    An hour that the clocks skip on that day is none of it. None: the path says no hours.
    """
    section = getattr(config.source, log)
    if section is None or not dated_paths.has_hours(section.path):
        return None
    there = {file.hour for file in files if file.day == day}
    return [hour for hour in Calendar.of(config).hours_of(day) if hour not in there]


def check_hours(
    config: Config, log: str, files: Collection[SourceFile], days: Collection[datetime.date]
) -> None:
    """Warns of days that lack hours; raises InputError where that is an error."""
    for day in days:
        hours = missing_hours(config, log, files, day)
        if not hours:
            continue
        number = "1 hour" if len(hours) == 1 else f"{len(hours)} hours"
        lacking = ", ".join(f"{hour:02}" for hour in hours)
        path = dated_paths.on(getattr(config.source, log).path, day)
        said = f"the {log} of {day} lack {number}, {lacking}: no file of them matches {path}"
        if config.examples.missing_hours == "error":
            raise InputError(
                f"{said} (an empty file makes an empty hour; examples.missing_hours: warn)"
            )
        logging.warning("%s", said)
