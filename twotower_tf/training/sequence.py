"""Which days to train on, in which order: a range, or each new day as it appears."""

import datetime
import time
from collections.abc import Iterator, Sequence

from absl import logging

from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir
from twotower_tf.training.backfill import log_waiting, window_of
from twotower_tf.training.day_trainer import DayTrainer
from twotower_tf.training.retraining import ValidateWith, challenge_of
from twotower_tf.training.trainer import Trainer


def days_left(trainer: DayTrainer, days: Sequence[datetime.date]) -> list[datetime.date]:
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


def trainings(trainer: DayTrainer, days: Sequence[datetime.date]) -> list[list[datetime.date]]:
    """Returns the days to train on together, oldest first: the backfill's, then each alone.

    There are none while the backfill waits for its last day.

    Raises:
        InputError: As ``days_left``.
    """
    left = days_left(trainer, days)
    if trainer.last_day is not None or not trainer.has_backfill:
        return [[day] for day in left]
    window = window_of(trainer.config, trainer.workdir, trainer.examples)
    if not window or not days or window[-1] > days[-1]:
        log_waiting(trainer.config, trainer.workdir, trainer.examples)
        return []
    return [window, *([day] for day in left if day > window[-1])]


def train_together(
    trainer: DayTrainer, days: Sequence[datetime.date], validate_with: ValidateWith | None = None
) -> dict:
    """Trains on what ``trainings`` gives; returns the metrics of the last day.

    Args:
        trainer: What to train.
        days: The backfill's, or one.
        validate_with: Measures a trainer's model, for ``patience`` and ``retrain``.
    """
    if trainer.last_day is None and trainer.has_backfill:
        return trainer.train_backfill(days, validate_with and validate_with(trainer))
    return trainer.train_day(days[0], challenge_of(trainer, days[0], validate_with))


def train_days(
    config: Config,
    workdir: Workdir,
    days: Sequence[datetime.date],
    validate_with: ValidateWith | None = None,
    kind: type[DayTrainer] = Trainer,
) -> Iterator[tuple[datetime.date, dict]]:
    """Trains on those of the days that were not trained yet; yields each one's metrics.

    Of the days of a backfill the last one's are yielded.

    Raises:
        InputError: If a day has no examples, or was passed over.
    """
    missing = sorted(set(days) - set(workdir.days(kind.examples)))
    if missing:
        raise InputError(f"there are no examples of {missing[0]}: run build_examples for it first")
    trainer = kind(config, workdir)
    if not days_left(trainer, days):
        logging.info("nothing to do: trained up to %s already, each day once", trainer.last_day)
    for together in trainings(trainer, days):
        yield together[-1], train_together(trainer, together, validate_with)


def follow_days(
    followers: Sequence[tuple[DayTrainer, ValidateWith | None]], poll_seconds: float
) -> Iterator[tuple[DayTrainer, datetime.date, dict]]:
    """Trains on every day there is after the last one trained, then waits for more; endless.

    Args:
        followers: Trainers of a work directory, and what measures the model of each.
        poll_seconds: How long to wait between two looks.

    Yields:
        Who was trained, the day, and its metrics.
    """
    while True:
        for trainer, validate_with in followers:
            last = trainer.last_day or datetime.date.min
            days = [day for day in trainer.workdir.days(trainer.examples) if day > last]
            for together in trainings(trainer, days):
                yield trainer, together[-1], train_together(trainer, together, validate_with)
        newest = " and ".join(str(trainer.last_day) for trainer, _ in followers)
        logging.info("waiting for examples of a day after %s", newest)
        time.sleep(poll_seconds)
