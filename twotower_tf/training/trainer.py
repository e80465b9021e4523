"""The sequential trainer: oldest day first, unshuffled, each day once (Yi et al. 2019, 5.2)."""

import datetime
import math
import time

import tensorflow as tf

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import model_fingerprint
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples import statistics
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.progress import progress
from twotower_tf.training.batch_counts import BatchCounts
from twotower_tf.training.callbacks import MeasureSpeed, ShowProgress, WriteScalars, sketch_health
from twotower_tf.training.checkpoints import Checkpoints
from twotower_tf.training.uniform_negatives import with_uniform_negatives


class Trainer:
    """A model and its place in the sequence of days; goes on from the newest checkpoint.

    Args:
        config: What model, and how it is trained.
        workdir: Where its examples and checkpoints are.
        at_or_before: Go on from the newest checkpoint up to this day rather than the newest.
    """

    def __init__(
        self,
        config: Config,
        workdir: storage.Workdir,
        at_or_before: datetime.date | None = None,
    ):
        make_deterministic(config.seed)
        self._config = config
        self._workdir = workdir
        self.model = TwoTowerModel.from_config(config)
        self._reader = ExampleReader(config)
        self._checkpoints = Checkpoints(
            workdir, self.model, model_fingerprint(config), config.training.keep_checkpoints
        )
        self.last_day = self._checkpoints.restore(at_or_before)
        self._scalars: WriteScalars | None = None
        self._counted: tuple[datetime.date, BatchCounts] | None = None

    @property
    def days_trained(self) -> list[datetime.date]:
        """The days the model was trained on, oldest first."""
        return list(self._checkpoints.days_trained)

    @tf.autograph.experimental.do_not_convert
    def train_day(self, day: datetime.date) -> dict:
        """Trains on a day's examples, once, and saves the checkpoint.

        A day without examples changes nothing but the last day done.

        Returns:
            The day's metrics, which are also written to ``metrics/train/``.

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
        partition = self._workdir.partition("examples", day)
        examples = partition.manifest()["counts"]["examples"]
        start = time.monotonic()
        speed = None
        if examples:
            self._freeze_statistics(day)
            speed = self._fit(partition, day, examples)
        metrics = self._measure(examples, time.monotonic() - start, speed)
        if examples and not math.isfinite(metrics["loss"]):
            raise JobError(
                f"the loss of {day} is {metrics['loss']}: the day was not trained; "
                "lower optimizer.learning_rate or raise loss.temperature, in a new --workdir"
            )
        # The checkpoint is last: a day that has one is not trained again, nor measured.
        storage.write_json(self._workdir.metrics_path("train", day), metrics)
        self._checkpoints.save(day, metrics["last_step"])
        self.last_day = day
        return metrics

    def batch_probabilities(self, day: datetime.date) -> dict[str, float]:
        """Returns in which share of a day's batches each item is, in (0, 1], as counted.

        Of the last day trained here that was counted in passing; of others it is counted now.
        """
        if self._counted is None or self._counted[0] != day:
            counts = BatchCounts()
            partition = self._workdir.partition("examples", day)
            batches = self._reader.read(partition, "train", self._config.training.batch_size)
            for batch in batches:
                counts.add(batch["item_id"].numpy())
            self._counted = (day, counts)
        return self._counted[1].probabilities()

    def _freeze_statistics(self, day: datetime.date) -> None:
        """Sets what the model takes from the examples as a whole: before its first step only.

        The window ends with the first day that has examples, whatever was built since: so
        training day by day and catching up make the same model.
        """
        config = self._config
        if int(self.model.optimizer.iterations) or not statistics.are_needed(config):
            return
        window = statistics.of_window(self._workdir, config, day)
        for side in ("query", "candidate"):
            tower = getattr(self.model, f"{side}_tower")
            names = [encoder.name for encoder in tower.adaptable]
            tower.adapt({name: window.dense[f"{side}/{name}"] for name in names})
        for name, size in statistics.built_vocabularies(config).items():
            self.model.tables[name].set_vocabulary(window.vocabulary(name, size))

    def _fit(self, partition: storage.Partition, day: datetime.date, examples: int) -> float | None:
        """Trains on a day; returns the examples a second after the first step, if there are any."""
        batch_size = self._config.training.batch_size
        speed = MeasureSpeed(batch_size, examples)
        with progress(f"training on {day}", examples, "examples") as shown:
            callbacks = [ShowProgress(shown, batch_size, examples), speed]
            if self._config.training.tensorboard:
                if self._scalars is None:
                    folder = storage.for_tensorflow(self._workdir.path("tensorboard"))
                    self._scalars = WriteScalars(folder, self.model.batch_loss.temperature)
                callbacks.append(self._scalars)
            self.model.fit(
                self._batches(partition, day),
                epochs=1,
                verbose=0,
                callbacks=callbacks,
            )
        return speed.examples_per_second

    def _batches(self, partition: storage.Partition, day: datetime.date) -> tf.data.Dataset:
        batches = self._reader.read(partition, "train", self._config.training.batch_size)
        counts = BatchCounts()
        self._counted = (day, counts)
        batches = counts.counting(batches)
        negatives = self.model.batch_loss.needs_negatives
        if not negatives:
            return batches
        catalogue = load_catalogue(self._workdir, self._config, day)
        return with_uniform_negatives(
            batches,
            catalogue,
            negatives,
            self._config.seed,
            first_step=int(self.model.optimizer.iterations),
        )

    def _measure(self, examples: int, seconds: float, speed: float | None) -> dict:
        metrics = {
            "examples": examples,
            "batches": -(-examples // self._config.training.batch_size),
            "loss": float(self.model.mean_loss.result()) if examples else None,
            "temperature": self.model.batch_loss.temperature,
            "last_step": int(self.model.optimizer.iterations),
            "seconds": seconds,
            "examples_per_second": speed,
        }
        health = sketch_health(self.model)
        distinct_share = health.pop("distinct_share")
        metrics |= {f"sketch_{name}": value for name, value in health.items()}
        return metrics | {"distinct_share": distinct_share if examples else None}


def make_deterministic(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and chooses TensorFlow's deterministic kernels."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
