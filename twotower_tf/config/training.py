"""The estimator, the optimiser, the sequential protocol and the evaluation."""

import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from twotower_tf.config.section import Positive, Section


class Estimator(Section):
    """The streaming frequency estimator: size H, m hash functions, rate alpha, first gap.

    ``kind``: ``adaptive`` is ours, ``paper`` the algorithms of the paper to the letter; see
    docs/estimator.md.
    """

    kind: Literal["adaptive", "paper"] = "adaptive"
    buckets: Positive = 1_000_000
    hashes: Annotated[int, Field(ge=1, le=16)] = 1
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    initial_gap: Annotated[float, Field(ge=1.0)] = 100.0


class Optimizer(Section):
    """Which Keras optimiser, and its learning rate.

    ``initial_accumulator`` is where Adagrad's sums of squared gradients start. The loss is a mean
    over the batch, so an embedding's gradients are of the order of 1 / batch: at the 0.1 that is
    usual elsewhere, rows that are seen a few times hardly move.
    """

    kind: Literal["adagrad", "adam", "sgd"] = "adagrad"
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.05
    initial_accumulator: Annotated[float, Field(ge=0.0)] = 1e-6


class Backfill(Section):
    """The days that a new model starts from, trained on several times, shuffled.

    They are the first ``days`` built days, or those up to ``until``. Nothing is trained before the
    last of them is built; from the day after it each day comes once, in order.
    """

    days: Positive | None = Field(None, description="How many of the first built days.")
    until: datetime.date | None = Field(None, description="The last day, in place of ``days``.")
    passes: Positive = Field(5, description="How often each example is trained on, at most.")
    shuffle: bool = Field(True, description="Whether each pass has an order of its own.")
    patience: Positive | None = Field(
        None,
        description="Stop after so many passes without a better recall of the held-out examples "
        "of the last ``validation_days`` days, and keep the best pass.",
    )
    validation_days: Positive = Field(7, description="See ``patience``.")
    learning_rate_after: Annotated[float, Field(gt=0.0)] = Field(
        0.3, description="The days after it are trained at so much of the learning rate."
    )

    @model_validator(mode="after")
    def _check_end(self):
        if (self.days is None) == (self.until is None):
            raise ValueError("give one of days (how many) and until (the last one)")
        return self


class Training(Section):
    """The sequential protocol: days in order, in batches; before them, if given, a backfill."""

    batch_size: Positive = 1024
    backfill: Backfill | None = None
    passes_per_day: Positive = Field(
        1, description="How often a day's examples are trained on, in the order of the day."
    )
    replay: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Examples of earlier days, drawn anew for each, that are mixed into a day, as "
        "a share of its own: they keep a small day from undoing what was learnt before.",
    )
    keep_checkpoints: Positive = 3
    tensorboard: bool = True


class Evaluation(Section):
    """Recall, NDCG at ``at``; baselines count the last ``baseline_days`` days."""

    at: list[Positive] = Field(default=[10, 50, 100], min_length=1)
    batch_size: Positive = 512
    baseline_days: Positive = 7

    @field_validator("at")
    @classmethod
    def _ascending(cls, at):
        if at != sorted(set(at)):
            raise ValueError(f"must be ascending, each once, got {at}")
        return at
