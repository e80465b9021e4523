"""Which days to train on, in which order: a range, or each new day as it appears."""

import datetime
import time
from collections.abc import Iterator, Sequence

from absl import logging

from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir
from twotower_tf.training.trainer import Trainer


def days_left(trainer: Trainer, days: Sequence[datetime.date]) -> list[datetime.date]:
    """Returns the days still to train on, oldest first.

    Raises:
        InputError: If a day was passed over: it is before the last day trained, but was not
            trained itself. The model can't go back.
    """
    done = set(trainer.days_trained)
    left = sorted(set(days) - done)
    if left and trainer.last_day is not None and left[0] < trainer.last_day:
        raise InputError(
            f"{left[0]} is before {trainer.last_day}, the last day trained: days are trained in "
            "order; start from the day after it, or train anew in an empty --workdir"
        )
    return left


def train_days(
    config: Config, workdir: Workdir, days: Sequence[datetime.date]
) -> Iterator[tuple[datetime.date, dict]]:
    """Trains on those of the days that were not trained yet; yields each one's metrics.

    Raises:
        InputError: If a day has no examples, or was passed over.
    """
    missing = sorted(set(days) - set(workdir.days("examples")))
    if missing:
        raise InputError(f"there are no examples of {missing[0]}: run build_examples for it first")
    trainer = Trainer(config, workdir)
    left = days_left(trainer, days)
    if not left:
        logging.info("nothing to do: trained up to %s already, each day once", trainer.last_day)
    for day in left:
        yield day, trainer.train_day(day)


def follow_days(
    config: Config, workdir: Workdir, poll_seconds: float
) -> Iterator[tuple[datetime.date, dict]]:
    """Trains on every day there is after the last one trained, then waits for more; endless."""
    trainer = Trainer(config, workdir)
    while True:
        last = trainer.last_day or datetime.date.min
        for day in [day for day in workdir.days("examples") if day > last]:
            yield day, trainer.train_day(day)
        logging.info("waiting for examples of a day after %s", trainer.last_day)
        time.sleep(poll_seconds)
