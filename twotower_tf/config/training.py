"""The sequential protocol."""

import datetime
from typing import Annotated

from pydantic import Field, model_validator

from twotower_tf.config.section import Days, NotNegative, Positive, Section, Touches


class SeveralPasses(Section):
    """How a model is trained on several days at once."""

    passes: Positive = 5
    """How often each example is trained on, at most."""
    shuffle: bool = True
    """Whether the examples of all days are shuffled, for each pass anew."""
    patience: Positive | None = None
    """Stop after so many passes without a better recall (the mean over ``evaluation.at``) of the
    held-out examples of the last ``validation_days`` days, and keep the best pass."""
    validation_days: Days = 7
    """See ``patience``."""
    learning_rate_after: Annotated[float, Field(gt=0.0)] = 0.3
    """The days after these are trained at so much of the learning rate."""


class Backfill(SeveralPasses):
    """The days that a new model starts from, trained on several times.

    Nothing is trained before the last of them is built; from the day after it each day comes once,
    in order. Give one of ``days`` and ``until``.
    """

    days: Days | None = None
    """The first so many built days."""
    until: Annotated[datetime.date | None, Field(title="day")] = None
    """The last day, in place of ``days``."""

    @model_validator(mode="after")
    def _check_end(self):
        if (self.days is None) == (self.until is None):
            raise ValueError("give one of days (how many) and until (the last one)")
        return self


class Retrain(SeveralPasses):
    """A fresh model every so many days, which takes the place of the running one if it is better.

    It is trained on a window of days up to now, several times, and both are then asked for the
    held-out examples of the last ``validation_days`` of them. The better one goes on. Statistics,
    vocabularies and the catalogue's items of the fresh one are those of now; sizes stay. Memory
    holds two models meanwhile.

    ```yaml
    training:
      retrain: {every_days: 7, window_days: 60}
    ```
    """

    every_days: Days
    """A fresh model is trained on the first day that is so many days after the last fresh one,
    or after the model's start."""
    window_days: Days
    """It is trained on the last so many days, those of them that are built."""


class Training(Section):
    """The sequential protocol: days in order, in batches; before them, if given, a backfill.

    Several passes, shuffled, are worth half of all that a small model learns: give a new model a
    backfill wherever there are logs of the past.

    ```yaml
    training:
      batch_size: 128
      backfill: {until: 2026-09-30, passes: 5}
      replay: 1
    ```
    """

    batch_size: Annotated[Positive | None, Touches.MODEL] = None
    """Examples per step; also the number of in-batch negatives. Without it, so many by the examples
    that a model starts with, 128 to 8,192."""
    backfill: Annotated[Backfill | None, Touches.NOTHING] = None
    """The days before the sequence, trained on several times."""
    retrain: Annotated[Retrain | None, Touches.NOTHING] = None
    """A fresh model from time to time, kept if it is better."""
    passes_per_day: Annotated[Positive, Touches.NOTHING] = 1
    """How often a day's examples are trained on."""
    replay: Annotated[NotNegative, Touches.NOTHING] = 0.0
    """Examples of earlier days, drawn for each day anew, that are mixed into a day's, as a share
    of its own: they keep a small day from undoing what was learnt before."""
    keep_checkpoints: Annotated[Positive, Touches.NOTHING] = 3
    """The newest so many stay."""
    tensorboard: Annotated[bool, Touches.NOTHING] = True
    """Write scalars to ``<workdir>/tensorboard``."""
