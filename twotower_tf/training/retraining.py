"""A fresh model of a window of days, which takes the place of the running one if it is better.

A model that is trained day after day keeps what it once learnt of items that are long gone, and
the statistics and vocabularies of its first days. From time to time a new one is worth its cost.
"""

import datetime
from collections.abc import Callable

from absl import logging

from twotower_tf.config.training import Retrain
from twotower_tf.training.backfill import Validate
from twotower_tf.training.day_trainer import Challenge, DayTrainer

# Gives what measures a trainer's model on the held-out examples of days.
ValidateWith = Callable[[DayTrainer], Validate]


def challenge_of(
    trainer: DayTrainer, day: datetime.date, validate_with: ValidateWith | None
) -> Challenge | None:
    """Returns what is to challenge the model after a day; None: nothing on this day.

    Args:
        trainer: Of the running model.
        day: The day it is about to be trained on.
        validate_with: Compares the two; without it there is no challenge.
    """
    settings, since = trainer.config.training.retrain, trainer.fresh_since
    if settings is None or validate_with is None or since is None:
        return None
    if (day - since).days < settings.every_days:
        return None
    return lambda running: _challenge(running, day, settings, validate_with)


def _challenge(
    running: DayTrainer, day: datetime.date, settings: Retrain, validate_with: ValidateWith
) -> dict:
    """Trains a fresh model and puts the better one in the trainer; returns what was measured."""
    first = day - datetime.timedelta(days=settings.window_days - 1)
    days = [one for one in running.workdir.days(running.examples) if first <= one <= day]
    judged = days[-settings.validation_days :]
    recall_of_running = validate_with(running)(judged)
    # It begins before all checkpoints: with none.
    fresh = type(running)(running.config, running.workdir, at_or_before=datetime.date.min)
    validate = validate_with(fresh)
    made = fresh.catch_up(days, settings, validate)
    recall = validate(judged)
    is_better = recall > recall_of_running
    logging.info(
        "%s: a fresh model of %d days has recall %.4f where the running one has %.4f: %s",
        day,
        len(days),
        recall,
        recall_of_running,
        "it takes its place" if is_better else "that one stays",
    )
    if is_better:
        running.take_over(days, made["best_pass"])
    return {
        "days": len(days),
        "examples": made["examples"],
        "passes": made["passes"],
        "recall": recall,
        "recall_of_running": recall_of_running,
        "taken": is_better,
    }
