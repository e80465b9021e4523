"""The sequence of days that every model is trained in: oldest first, unshuffled, each day once.

Yi et al. 2019, section 5.2.
"""

import datetime
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf
from absl import logging

from twotower_tf import storage
from twotower_tf.binding.settings import settings
from twotower_tf.config import Config
from twotower_tf.config.training import SeveralPasses
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.models.compiled_model import CompiledModel
from twotower_tf.progress import progress
from twotower_tf.training.backfill import Validate, window_of
from twotower_tf.training.callbacks import MeasureSpeed, ShowProgress, WriteScalars
from twotower_tf.training.checkpoints import Checkpoints
from twotower_tf.training.finiteness import calmer, what_is_wrong
from twotower_tf.training.largest_number import largest_number
from twotower_tf.training.preparing import prepare
from twotower_tf.training.sizes import with_sizes

# Given a trainer that was trained on a day, puts a better model in its place if it has one, and
# returns what it measured.
Challenge = Callable[["DayTrainer"], dict]


class DayTrainer:
    """A model and its place in the sequence of days; goes on from the newest checkpoint.

    A subclass says which model, and what its batches and metrics have beside.

    Attributes:
        examples: The kind of the partitions that it is trained on.
        checkpoints: The kind of those that it is saved in.
        job: What its metrics are written under.
        sections: Those of the configuration that say how it is trained.
        tensorboard: The folder of its scalars, below the work directory's.
        optimizer: The path of its optimiser in the configuration.

    Args:
        config: What model, and how it is trained.
        workdir: Where its examples and checkpoints are.
        at_or_before: Go on from the newest checkpoint up to this day rather than the newest.
    """

    examples: ClassVar[str]
    checkpoints: ClassVar[str]
    job: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]
    tensorboard: ClassVar[tuple[str, ...]]
    optimizer: ClassVar[str]

    def __init__(
        self,
        config: Config,
        workdir: storage.Workdir,
        at_or_before: datetime.date | None = None,
    ):
        make_deterministic(config.seed)
        self._settings = settings(config, self.sections)
        own = self.view(config)
        self._config = with_sizes(
            own, workdir, lambda: self._first_days_end(workdir, own), self.examples
        )
        self._workdir = workdir
        self.model = self._make_model()
        self._reader = ExampleReader(config, self.examples)
        self._checkpoints = Checkpoints(
            workdir,
            self.model,
            self._fingerprint(config),
            self._config.training.keep_checkpoints,
            self.checkpoints,
            self._settings,
        )
        self.last_day = self._checkpoints.restore(at_or_before)
        self._scalars: WriteScalars | None = None

    @property
    def config(self) -> Config:
        """The configuration, with a number for every size that it leaves to the data."""
        return self._config

    @property
    def workdir(self) -> storage.Workdir:
        """Where its examples and checkpoints are."""
        return self._workdir

    @property
    def days_trained(self) -> list[datetime.date]:
        """The days the model was trained on, oldest first."""
        return list(self._checkpoints.days_trained)

    @property
    def has_backfill(self) -> bool:
        """Whether the model starts from several days at once."""
        return self._config.training.backfill is not None

    @property
    def fresh_since(self) -> datetime.date | None:
        """The last day on which a fresh model was trained or tried; None: there is no model."""
        return self._checkpoints.fresh_since

    @tf.autograph.experimental.do_not_convert
    def train_day(self, day: datetime.date, challenge: Challenge | None = None) -> dict:
        """Trains on a day's examples, once, and saves the checkpoint.

        A day without examples changes nothing but the last day done.

        Args:
            day: After the last one.
            challenge: Of ``retraining``, if one is due.

        Returns:
            The day's metrics, which are also written to ``metrics/``.

        Raises:
            InputError: If the day, or one after it, was trained already, or has no examples yet;
                or if the model starts with it and it has no statistics.
            JobError: If the loss is not finite; then the last checkpoint stays the newest.
        """
        if self.last_day is not None and day <= self.last_day:
            raise InputError(
                f"{day} is not after {self.last_day}, the last day trained: "
                "each day is trained once, in order"
            )
        partition = self._workdir.partition(self.examples, day)
        examples = partition.manifest()["counts"]["examples"]
        start = time.monotonic()
        speed = None
        if examples:
            self._prepare([day])
            self._set_rate()
            for number in range(self._config.training.passes_per_day):
                batches, count = self._batches_of_day(partition, examples, number)
                speed = self._fit(batches, count, day, f"training on {day}")
        metrics = self._measure(examples, time.monotonic() - start, speed)
        if challenge is not None:
            self._check_loss(str(day), [day], examples)
            metrics |= {"retrain": challenge(self)} | self._state()
        if challenge is not None or self.fresh_since is None:
            self._checkpoints.fresh_since = day
        return self._done([day], metrics)

    def take_over(self, days: Sequence[datetime.date], number: int) -> None:
        """Puts the model as it was after a pass over days (``catch_up``) in place of this one."""
        self._checkpoints.restore_pass(days, number)
        self._checkpoints.caught_up = True

    @tf.autograph.experimental.do_not_convert
    def train_backfill(
        self, days: Sequence[datetime.date], validate: Validate | None = None
    ) -> dict:
        """Trains on the days of the backfill, several times, and saves the checkpoint of the last.

        Args:
            days: Of `backfill.window_of`.
            validate: Measures a pass, for ``patience``.

        Returns:
            The metrics of the last day, with ``passes``, ``best_pass`` and ``recalls``.

        Raises:
            InputError, JobError: As for ``train_day``.
        """
        metrics = self.catch_up(days, self._config.training.backfill, validate)
        self._checkpoints.fresh_since, self._checkpoints.caught_up = days[-1], True
        return self._done(days, metrics)

    def catch_up(
        self,
        days: Sequence[datetime.date],
        settings: SeveralPasses,
        validate: Validate | None = None,
    ) -> dict:
        """Trains a model of no days on several at once, several times.

        The model after each pass is saved until a checkpoint is: what was killed goes on with the
        pass it was in. See ``train_backfill``.
        """
        partitions = [self._workdir.partition(self.examples, day) for day in days]
        examples = sum(one.manifest()["counts"]["examples"] for one in partitions)
        start, speed = time.monotonic(), None
        passes = self._checkpoints.restore_last_pass(days)
        if examples:
            self._prepare(days)
        while examples and not passes.end(settings.passes, settings.patience):
            speed = self._pass_over(partitions, passes.done + 1, settings)
            self._check_loss(f"pass {passes.done + 1}", days, examples)
            passes.done += 1
            if settings.patience is not None:
                passes.recalls.append(validate(days[-settings.validation_days :]))
                logging.info("recall after pass %d: %.4f", passes.done, passes.recalls[-1])
            self._checkpoints.save_pass(days, passes)
        metrics = self._measure(examples, time.monotonic() - start, speed)
        if passes.best != passes.done:
            self._checkpoints.restore_pass(days, passes.best)
        made = {"passes": passes.done, "best_pass": passes.best, "recalls": passes.recalls}
        return metrics | made | self._state()

    def _pass_over(
        self, partitions: Sequence[storage.Partition], number: int, settings: SeveralPasses
    ) -> float | None:
        """Trains on all examples of some days once; returns as ``_fit``."""
        batch_size = self._config.training.batch_size
        title = f"pass {number} of {settings.passes} over {len(partitions)} days"
        if settings.shuffle:
            seed = (self._config.seed, number)
            batches, examples = self._reader.read_shuffled(partitions, batch_size, seed)
            return self._fit(batches, examples, partitions[-1].day, title)
        speed = None
        for partition in partitions:
            examples = partition.manifest()["counts"]["examples"]
            if examples:
                batches = self._reader.read(partition, "train", batch_size)
                speed = self._fit(batches, examples, partition.day, f"{title}: {partition.day}")
        return speed

    def _batches_of_day(
        self, partition: storage.Partition, examples: int, number: int
    ) -> tuple[tf.data.Dataset, int]:
        """Returns a day's batches, and how many examples they hold: with others, if configured."""
        settings = self._config.training
        day, others = partition.day, []
        replayed = round(settings.replay * examples)
        if replayed:
            others = self._days_to_replay(day, replayed, number)
        if not others:
            return self._reader.read(partition, "train", settings.batch_size), examples
        seed = (self._config.seed, day.toordinal(), number)
        return self._reader.read_shuffled([partition], settings.batch_size, seed, others, replayed)

    def _days_to_replay(
        self, day: datetime.date, examples: int, number: int
    ) -> list[storage.Partition]:
        """Returns earlier days trained on, at random, with so many examples if there are."""
        rng = np.random.default_rng([self._config.seed, day.toordinal(), number])
        trained = sorted(set(self.days_trained) & set(self._workdir.days(self.examples)))
        chosen = []
        for place in rng.permutation(len(trained)):
            if examples <= 0:
                break
            chosen.append(self._workdir.partition(self.examples, trained[place]))
            examples -= chosen[-1].manifest()["counts"]["examples"]
        return chosen

    def _set_rate(self) -> None:
        """Sets the learning rate of a day, a lower one after several days at once.

        The checkpoint has that of the day before, which may have been another one.
        """
        training, rate = self._config.training, self._config.optimizer.learning_rate
        several = training.backfill or training.retrain
        if several is not None and self._checkpoints.caught_up:
            rate *= several.learning_rate_after
        self.model.optimizer.learning_rate.assign(rate)

    def _done(self, days: Sequence[datetime.date], metrics: dict) -> dict:
        """Saves the model and what was measured of the days it was trained on now."""
        self._check_loss(str(days[-1]), days, metrics["examples"])
        # The checkpoint is last: a day that has one is not trained again, nor measured.
        storage.write_json(self._workdir.metrics_path(self.job, days[-1]), metrics)
        self._checkpoints.save(days, metrics["last_step"])
        self.last_day = days[-1]
        return metrics

    def _check_loss(self, what: str, days: Sequence[datetime.date], examples: int) -> None:
        """Raises JobError if what was trained on now has spoilt the model."""
        loss = sum(float(one.result()) for one in self._losses())
        wrong = what_is_wrong(what, loss, self.model) if examples else None
        if wrong is None:
            return
        partitions = (self._workdir.partition(self.examples, day) for day in days)
        batch_size = self._config.training.batch_size
        batches = (self._reader.read(one, "train", batch_size) for one in partitions)
        largest = largest_number(itertools.chain.from_iterable(batches))
        advice = calmer(self._config.optimizer, self.optimizer)
        if largest is not None:
            advice = (
                f"{largest}: mend it in the source, or normalise it by its quantile, in a new "
                "--workdir"
            )
        raise JobError(f"{wrong}: it was not trained, the model is as it was before; {advice}")

    @property
    def _step(self) -> int:
        return int(self.model.optimizer.iterations)

    def _fit(
        self, batches: tf.data.Dataset, examples: int, day: datetime.date, title: str
    ) -> float | None:
        """Trains on batches once; returns the examples a second after the first step, if any."""
        self.model.set_day(self._workdir, self._config, day)
        batches = self._completed(batches, examples, day)
        batch_size = self._config.training.batch_size
        speed = MeasureSpeed(batch_size, examples)
        with progress(title, examples, "examples") as shown:
            callbacks = [ShowProgress(shown, batch_size, examples), speed]
            if self._config.training.tensorboard:
                if self._scalars is None:
                    folder = storage.for_tensorflow(self._workdir.path(*self.tensorboard))
                    self._scalars = WriteScalars(folder, self._scalars_of_day)
                callbacks.append(self._scalars)
            self.model.fit(batches, epochs=1, verbose=0, callbacks=callbacks)
        return speed.examples_per_second

    def _measure(self, examples: int, seconds: float, speed: float | None) -> dict:
        metrics = {
            "examples": examples,
            "batches": -(-examples // self._config.training.batch_size),
            "loss": float(self.model.mean_loss.result()) if examples else None,
            **self._state(),
            "seconds": seconds,
            "examples_per_second": speed,
            "settings": self._settings,
        }
        return metrics | self._measured_beside(bool(examples))

    def _first_days_end(self, workdir: storage.Workdir, config: Config) -> datetime.date | None:
        """Returns the last of the days a model starts with, None while they are not built."""
        if config.training.backfill is None:
            return min(workdir.days(self.examples), default=None)
        return max(window_of(config, workdir, self.examples), default=None)

    # --- what a kind of model adds ------------------------------------------------------------

    @staticmethod
    def view(config: Config) -> Config:
        """Returns the configuration with the model's own ``training`` and ``optimizer``."""
        return config

    def _make_model(self) -> CompiledModel:
        """Returns the model of the configuration, built and compiled."""
        raise NotImplementedError

    @staticmethod
    def _fingerprint(config: Config) -> str:
        """Returns that of what a checkpoint depends on."""
        raise NotImplementedError

    def _prepare(self, days: Sequence[datetime.date]) -> None:
        """Sets what the model takes from the data as a whole: before its first step only.

        Args:
            days: Those that it starts with.
        """
        if not self._step:
            prepare(self.model, self._config, self._workdir, days)

    def _completed(
        self, batches: tf.data.Dataset, examples: int, day: datetime.date
    ) -> tf.data.Dataset:
        """Returns batches of a day's examples with all that the model's step takes."""
        return batches

    def _losses(self) -> list[tf.keras.metrics.Mean]:
        """Returns what must be finite after a day."""
        return [self.model.mean_loss]

    def _state(self) -> dict:
        """Returns the metrics of the model as it is, whatever it was trained on."""
        return {"last_step": self._step}

    def _measured_beside(self, is_trained: bool) -> dict:
        """Returns further metrics of a day, None where they are of examples and there were none."""
        return {}

    def _scalars_of_day(self) -> Mapping[str, float]:
        """Returns further scalars of a day for TensorBoard, by their tags."""
        return {}


def make_deterministic(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and chooses TensorFlow's deterministic kernels."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
