"""The ranking model of the night."""

import datetime

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.evaluation.day_metrics import record
from twotower_tf.evaluation.ranking.protocol import JOB, RankingEvaluator
from twotower_tf.evaluation.stages import Stage
from twotower_tf.storage import Workdir
from twotower_tf.training.ranking_trainer import RankingTrainer


class RankingStage(Stage):
    """The ranking model, trained and evaluated on impressions.

    Args:
        config: The configuration, which has ``ranking``.
        workdir: Where everything is.
        at_or_before: Go on from the newest checkpoint up to this day rather than the newest.
    """

    def __init__(self, config: Config, workdir: Workdir, at_or_before: datetime.date | None = None):
        super().__init__(RankingTrainer(config, workdir, at_or_before))
        self._workdir = workdir
        self._evaluator = RankingEvaluator(self.trainer.config, workdir, self.trainer.model)

    def _is_evaluated(self, day: datetime.date) -> bool:
        known = storage.read_json(self._workdir.metrics_path(JOB, day)) or {}
        return known.get("after") is not None

    def _evaluate_before(self, day: datetime.date, counted_to: datetime.date) -> dict:
        measured = {"before": self._evaluator.evaluate(day, counted_to)}
        return record(self._workdir, JOB, day, measured)

    def _evaluate_after(self, day: datetime.date) -> dict:
        return record(self._workdir, JOB, day, {"after": self._evaluator.evaluate(day, day)})
