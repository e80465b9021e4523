"""The retrieval model of the night."""

import datetime
from collections.abc import Sequence

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.evaluation.day_metrics import record
from twotower_tf.evaluation.protocol import JOB, Evaluator, recall_of
from twotower_tf.evaluation.stages import Stage
from twotower_tf.examples.counts import Counts
from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder
from twotower_tf.storage import Workdir
from twotower_tf.training.backfill import Validate
from twotower_tf.training.day_trainer import DayTrainer
from twotower_tf.training.trainer import Trainer


class RetrievalStage(Stage):
    """The two towers, trained and evaluated on what users acted on.

    Args:
        config: The configuration.
        workdir: Where everything is.
        beam_args: For Beam, which embeds large catalogues.
        at_or_before: Go on from the newest checkpoint up to this day rather than the newest.

    Attributes:
        evaluator: Of the model.
        counts: Of the training examples of the work directory's days.
        embedder: Of the model.
    """

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        beam_args: Sequence[str] = (),
        at_or_before: datetime.date | None = None,
    ):
        super().__init__(Trainer(config, workdir, at_or_before), self._measure_with)
        self._workdir = workdir
        model, sized = self.trainer.model, self.trainer.config
        # Evaluation and index share these: each file is read, and each item embedded, once.
        self.counts = Counts(workdir)
        self.embedder = CatalogueEmbedder(sized, workdir, model, beam_args)
        self.evaluator = Evaluator(sized, workdir, model, self.counts, self.embedder)

    def evaluated_at(self, day: datetime.date) -> list[int]:
        """Returns the K at which a day was evaluated after training on it, none if it was not."""
        known = storage.read_json(self._workdir.metrics_path(JOB, day)) or {}
        if known.get("after") is None:
            return []
        return [int(k) for k in known["after"]["methods"]["model"]["recall"]]

    def evaluate_after(self, day: datetime.date) -> dict:
        """Evaluates the day that the model was last trained on."""
        counted = self.trainer.batch_probabilities(day)
        measured = {
            "after": self.evaluator.evaluate(day, day),
            "frequencies": self.evaluator.frequencies(counted),
        }
        return record(self._workdir, JOB, day, measured)

    def _is_evaluated(self, day: datetime.date) -> bool:
        return bool(self.evaluated_at(day))

    def _evaluate_before(self, day: datetime.date, counted_to: datetime.date) -> dict:
        measured = {"before": self.evaluator.evaluate(day, counted_to)}
        # The model is about to change, and training needs the memory.
        self.embedder.forget()
        return record(self._workdir, JOB, day, measured)

    def _evaluate_after(self, day: datetime.date) -> dict:
        measured = self.evaluate_after(day)
        self.counts.forget(day - self._longest_window())
        return measured

    def _measure_with(self, trainer: DayTrainer) -> Validate:
        """Returns what measures a trainer's model; our own one's evaluator is there already."""
        return self.evaluator.mean_recall if trainer is self.trainer else recall_of(trainer)

    def _longest_window(self) -> datetime.timedelta:
        """Returns how far back anybody asks for counts."""
        config = self.trainer.config
        of_rules = (config.selection.coverage_days, config.selection.engagement_days)
        # A blend asks for the windows of the days it is fitted to.
        blended = max(one.window_days for one in config.nominators)
        of_blend = blended and blended + config.blend.days + 1
        return datetime.timedelta(days=max(config.evaluation.baseline_days, of_blend, *of_rules))
