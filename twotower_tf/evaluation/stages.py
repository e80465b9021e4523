"""A model of the night: trained on days, and evaluated before and after each."""

import datetime
import time
from collections.abc import Sequence

from absl import logging

from twotower_tf.errors import InputError
from twotower_tf.training.day_trainer import DayTrainer
from twotower_tf.training.retraining import ValidateWith
from twotower_tf.training.sequence import train_together, trainings


class Stage:
    """One model, its trainer, and how it is evaluated.

    A subclass says how.

    Args:
        trainer: Of the model.
        validate_with: Measures a trainer's model, for ``patience`` and ``retrain``.
    """

    def __init__(self, trainer: DayTrainer, validate_with: ValidateWith | None = None):
        self.trainer, self._validate_with = trainer, validate_with

    def train_and_evaluate(self, days: Sequence[datetime.date]) -> list[datetime.date]:
        """Trains on those of the days that were not trained yet, evaluating; returns them."""
        left = trainings(self.trainer, days)
        last = self.trainer.last_day
        if last is not None and not self._is_evaluated(last):
            # A run that died between the checkpoint of this day and its evaluation.
            self._evaluate_after(last)
        start = time.monotonic()
        for number, together in enumerate(left, start=1):
            day = together[-1]
            if self.trainer.last_day is not None:
                self._evaluate_before(day, day - datetime.timedelta(days=1))
            train_together(self.trainer, together, self._validate_with)
            self._evaluate_after(day)
            if len(left) > 1:
                seconds = time.monotonic() - start
                to_go = seconds / number * (len(left) - number)
                logging.info("%s done, %d of %d days, %.0f s left", day, number, len(left), to_go)
        return [day for together in left for day in together]

    def evaluate(self, day: datetime.date) -> dict:
        """Evaluates a day by the model as it is, after training on the day or before.

        Returns:
            All that was measured of the day, as it is written.

        Raises:
            InputError: If there is no model yet, or the day has no examples.
        """
        last = self.trainer.last_day
        if last is None:
            raise InputError(f"there is no checkpoint of {day} or before: train first")
        return self._evaluate_after(day) if last == day else self._evaluate_before(day, last)

    def _is_evaluated(self, day: datetime.date) -> bool:
        """Says whether a day was evaluated after training on it."""
        raise NotImplementedError

    def _evaluate_before(self, day: datetime.date, counted_to: datetime.date) -> dict:
        """Evaluates a day that the model was not trained on; baselines know the days up to one."""
        raise NotImplementedError

    def _evaluate_after(self, day: datetime.date) -> dict:
        """Evaluates the day that the model was last trained on."""
        raise NotImplementedError
