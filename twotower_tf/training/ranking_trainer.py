"""The trainer of the ranking model."""

import datetime
from collections.abc import Sequence

import tensorflow as tf

from twotower_tf import storage
from twotower_tf.binding import ranking_fingerprint
from twotower_tf.binding.settings import OF_RANKING
from twotower_tf.config import Config
from twotower_tf.models.ranking.ranking_model import RankingModel
from twotower_tf.training.day_trainer import DayTrainer


class RankingTrainer(DayTrainer):
    """Trains the ranking model on impressions, as ``ranking.training`` says.

    Args:
        config: See ``DayTrainer``.
        workdir: See ``DayTrainer``.
        at_or_before: See ``DayTrainer``.
    """

    examples, checkpoints, job = storage.RANKING, storage.RANKING_CHECKPOINTS, "train_ranking"
    sections = OF_RANKING
    tensorboard = ("tensorboard", "ranking")
    optimizer = "ranking.optimizer"

    @staticmethod
    def view(config: Config) -> Config:
        """See ``DayTrainer``."""
        section = config.ranking
        own = {"training": section.training, "optimizer": section.optimizer}
        return config.model_copy(update=own)

    def _make_model(self) -> RankingModel:
        return RankingModel.from_config(self._config)

    @staticmethod
    def _fingerprint(config: Config) -> str:
        return ranking_fingerprint(config)

    def _prepare(self, days: Sequence[datetime.date]) -> None:
        if self._step:
            return
        super()._prepare(days)
        self.model.set_day(self._workdir, self._config, days[-1])
        size = self._config.training.batch_size
        self.model.adapt(
            batch
            for day in days
            for batch in self._reader.read(
                self._workdir.partition(self.examples, day), "train", size
            )
        )

    def _losses(self) -> list[tf.keras.metrics.Mean]:
        click = self.model.mean_click_loss
        return [self.model.mean_loss, *([] if click is None else [click])]

    def _measured_beside(self, is_trained: bool) -> dict:
        click = self.model.mean_click_loss
        if click is None:
            return {}
        return {"click_loss": float(click.result()) if is_trained else None}

    def _scalars_of_day(self) -> dict[str, float]:
        click = self.model.mean_click_loss
        return {} if click is None else {"click_loss/day": click.result()}
