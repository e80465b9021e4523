"""The trainer of the retrieval model."""

import datetime

import tensorflow as tf

from twotower_tf import storage
from twotower_tf.binding import model_fingerprint
from twotower_tf.binding.settings import OF_TRAINING
from twotower_tf.config import Config
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.training.batch_counts import BatchCounts
from twotower_tf.training.day_trainer import DayTrainer
from twotower_tf.training.negatives import Negatives


class Trainer(DayTrainer):
    """Trains the two towers, on batches with the negatives that their loss takes.

    Args:
        config: See ``DayTrainer``.
        workdir: See ``DayTrainer``.
        at_or_before: See ``DayTrainer``.
    """

    examples, checkpoints, job = storage.EXAMPLES, storage.CHECKPOINTS, "train"
    sections = OF_TRAINING
    tensorboard = ("tensorboard",)
    optimizer = "optimizer"

    def __init__(
        self,
        config: Config,
        workdir: storage.Workdir,
        at_or_before: datetime.date | None = None,
    ):
        super().__init__(config, workdir, at_or_before)
        self._negatives = Negatives(self._config, workdir, self.model)
        self._counted: tuple[datetime.date, BatchCounts] | None = None

    def batch_probabilities(self, day: datetime.date) -> dict[str, float]:
        """Returns in which share of a day's batches each item is, in (0, 1], as counted.

        Of the last day trained here that was counted in passing; of others it is counted now.
        """
        if self._counted is None or self._counted[0] != day:
            counts = BatchCounts()
            partition = self._workdir.partition(storage.EXAMPLES, day)
            batches = self._reader.read(partition, "train", self._config.training.batch_size)
            for batch in batches:
                counts.add(batch["item_id"].numpy(), batch["reward"].numpy())
            self._counted = (day, counts)
        return self._counted[1].probabilities()

    def _make_model(self) -> TwoTowerModel:
        return TwoTowerModel.from_config(self._config)

    @staticmethod
    def _fingerprint(config: Config) -> str:
        return model_fingerprint(config)

    def _completed(
        self, batches: tf.data.Dataset, examples: int, day: datetime.date
    ) -> tf.data.Dataset:
        batches = self._negatives.add_hard(batches, examples, day)
        counts = BatchCounts()
        self._counted = (day, counts)
        return self._negatives.add_uniform(counts.counting(batches), day)

    def _losses(self) -> list[tf.keras.metrics.Mean]:
        contrast = self.model.mean_contrast_loss
        return [self.model.mean_loss, *([] if contrast is None else [contrast])]

    def _state(self) -> dict:
        return {"temperature": self.model.batch_loss.temperature, **super()._state()}

    def _measured_beside(self, is_trained: bool) -> dict:
        health = self._sketch_health()
        distinct_share = health.pop("distinct_share")
        metrics = {f"sketch_{name}": value for name, value in health.items()}
        if self.model.mean_contrast_loss is not None:
            loss = float(self.model.mean_contrast_loss.result())
            metrics["self_supervised_loss"] = loss if is_trained else None
        counts = self._counted[1] if is_trained and self._counted is not None else None
        return metrics | {
            "distinct_share": distinct_share if is_trained else None,
            "weight": counts and counts.weight,
            "items_per_batch": counts and counts.items_per_batch,
        }

    def _scalars_of_day(self) -> dict[str, float]:
        scalars = {}
        if self.model.mean_contrast_loss is not None:
            scalars["self_supervised_loss/day"] = self.model.mean_contrast_loss.result()
        temperature = self.model.batch_loss.temperature
        if temperature is not None:
            scalars["temperature"] = temperature
        return scalars | {f"sketch/{name}": value for name, value in self._sketch_health().items()}

    def _sketch_health(self) -> dict[str, float]:
        """Returns what tells whether the sketch is large enough: see docs/estimator.md."""
        model = self.model
        return {
            "touched_share": float(model.estimator.touched_share()),
            "mean_gap": float(model.estimator.mean_gap()),
            "distinct_share": float(model.distinct_share.result()),
        }
