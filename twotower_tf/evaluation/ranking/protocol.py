"""The evaluation of a day's held-out impressions, by the ranking model and by what needs none.

``before`` and ``after`` training on the day, as for retrieval (``evaluation.protocol``).
"""

import datetime

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.evaluation.ranking.calibration import calibration
from twotower_tf.evaluation.ranking.item_watch_times import ItemWatchTimes
from twotower_tf.evaluation.ranking.measures import Impressions, measure
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.examples.schema import NOMINATION_SCORE, POSITION, impression_features
from twotower_tf.models.ranking.ranking_model import RankingModel
from twotower_tf.storage import RANKING, Workdir

JOB = "evaluate_ranking"
# What is read of each impression: always, and where the log has it.
_COLUMNS = ("user_id", "item_id", "page", "clicked", "watched_seconds")
_LOGGED = (POSITION, NOMINATION_SCORE)


class RankingEvaluator:
    """Evaluates a ranking model day by day.

    Args:
        config: The features, and how many days the baselines count.
        workdir: Where examples and catalogues are.
        model: Its variables are used as they are at each call.
    """

    def __init__(self, config: Config, workdir: Workdir, model: RankingModel):
        self._config, self._workdir, self._model = config, workdir, model
        self._reader = ExampleReader(config, RANKING)
        self._watch_times = ItemWatchTimes(workdir, config.evaluation.baseline_days)
        self._has = {raw.name for raw in impression_features(config)}
        self._predict = tf.function(self._of_batch, autograph=False, reduce_retracing=True)

    def evaluate(self, day: datetime.date, counted_to: datetime.date) -> dict:
        """Returns what each method's order of a day's held-out impressions is worth.

        The model's order is that of its scores as served, with all at the first position; its
        calibration is of the impressions where they were.

        Args:
            day: The day.
            counted_to: The last day whose training examples the baselines may know.

        Returns:
            Counts, ``methods`` (``measures.measure`` by method) and ``calibration``.
        """
        shown, scores, predicted = self._read(day)
        self._watch_times.count_to(counted_to)
        methods = {"model": scores}
        if shown.nomination_scores is not None:
            methods["nomination_score"] = shown.nomination_scores
        methods["most_clicked"] = self._watch_times.clicks(shown.items)
        methods["mean_watch_time"] = self._watch_times.mean_seconds(shown.items)
        return {
            "impressions": len(shown),
            "clicked": int(shown.clicked.sum()),
            "watched_seconds": float(shown.seconds.sum()),
            "users": len(set(shown.users)),
            "pages": len(np.unique(shown.pages)),
            "methods": {name: measure(shown, given) for name, given in methods.items()},
            "calibration": calibration(predicted, shown.seconds, shown.positions),
        }

    def _of_batch(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
        as_served = self._model.predict_batch(self._model.at_first_position(batch))
        return as_served.score, self._model.predict_batch(batch).expected_watch_seconds

    def _read(self, day: datetime.date) -> tuple[Impressions, np.ndarray, np.ndarray]:
        """Returns a day's held-out impressions, their scores, and their predicted seconds."""
        self._model.set_day(self._workdir, self._config, day)
        partition = self._workdir.partition(RANKING, day)
        columns: dict[str, list] = {name: [] for name in (*_COLUMNS, *_LOGGED, "score", "seconds")}
        for batch in self._reader.read(partition, "eval", self._config.evaluation.batch_size):
            for name in _COLUMNS:
                columns[name].append(batch[name].numpy())
            for name in self._has.intersection(_LOGGED):
                columns[name].append(batch["impression"][name].numpy())
            score, seconds = self._predict(batch)
            columns["score"].append(score.numpy())
            columns["seconds"].append(seconds.numpy())
        made = {
            name: np.concatenate(some) if some else np.zeros(0) for name, some in columns.items()
        }
        clicked = made["clicked"] > 0
        logged = {
            name: made[name].astype(np.float64) if name in self._has else None for name in _LOGGED
        }
        shown = Impressions(
            _texts(made["user_id"]),
            _texts(made["item_id"]),
            made["page"],
            clicked,
            np.where(clicked, made["watched_seconds"], 0.0).astype(np.float64),
            logged[POSITION],
            logged[NOMINATION_SCORE],
        )
        return shown, made["score"].astype(np.float64), made["seconds"].astype(np.float64)


def _texts(values: np.ndarray) -> np.ndarray:
    return np.array([value.decode() for value in values.tolist()], object)
