"""A model of the night: trained on days, and evaluated before and after each."""

import datetime
import time
from collections.abc import Sequence

from absl import logging

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
                self._evaluate_before(day)
            train_together(self.trainer, together, self._validate_with)
            self._evaluate_after(day)
            if len(left) > 1:
                seconds = time.monotonic() - start
                to_go = seconds / number * (len(left) - number)
                logging.info("%s done, %d of %d days, %.0f s left", day, number, len(left), to_go)
        return [day for together in left for day in together]

    def _is_evaluated(self, day: datetime.date) -> bool:
        """Says whether a day was evaluated after training on it."""
        raise NotImplementedError

    def _evaluate_before(self, day: datetime.date) -> None:
        """Evaluates a day that the model is about to be trained on."""
        raise NotImplementedError

    def _evaluate_after(self, day: datetime.date) -> None:
        """Evaluates the day that the model was last trained on."""
        raise NotImplementedError
