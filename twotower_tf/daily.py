"""The daily job: examples, training, evaluation, index, gates, release, a day after the other.

``run_days`` can be called again for a day that is done (nothing happens), for one that died
half-way (it goes on), and for a range: then all days are built together, the model goes
through them in order, and the release is of the last one, for it would replace the others at once.
"""

import dataclasses
import datetime
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir

if TYPE_CHECKING:
    from twotower_tf.training.backfill import Validate
    from twotower_tf.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class DailyRun:
    """What a call of the daily job came to.

    Attributes:
        day: The last day of the call.
        trained: The days that this call trained on.
        release: The folder of the day's release; None if there is none.
        report: The HTML report of the day.
    """

    day: datetime.date
    trained: list[datetime.date]
    release: str | None
    report: str | None


def run_days(
    config: Config,
    workdir: Workdir,
    source: str,
    days: Sequence[datetime.date],
    beam_args: Sequence[str] = (),
) -> DailyRun:
    """Runs the daily job for the days given, oldest first.

    Raises:
        InputError: If the input is wrong, or a day comes before the last one trained on.
        JobError: If a gate held the release back; says which and why.
    """
    from twotower_tf.examples.building.build import build_examples

    last = days[-1]
    if _is_done(workdir, days):
        logging.info("nothing to do: %s is done", last)
        return _daily_run(workdir, last, [])
    build_examples(config, workdir, source, days, beam_args)
    session = _Session(config, workdir, beam_args)
    trained = session.train_and_evaluate(days)
    if session.trainer.last_day == last:
        session.release(last)
    return _daily_run(workdir, last, trained)


def _is_done(workdir: Workdir, days: Sequence[datetime.date]) -> bool:
    """Says whether the days were trained, and the last one released if no later one followed."""
    newest = workdir.latest(storage.CHECKPOINTS, datetime.date.max)
    if newest is None:
        return False
    if not {day.isoformat() for day in days} <= set(newest.manifest()["days_trained"]):
        return False
    record = storage.read_json(workdir.metrics_path("run_daily", newest.day))
    return days[-1] < newest.day or (record is not None and record["status"] == "released")


def _daily_run(workdir: Workdir, day: datetime.date, trained: list) -> DailyRun:
    record = storage.read_json(workdir.metrics_path("run_daily", day)) or {}
    paths = [
        record[name] and workdir.path(record[name]) if name in record else None
        for name in ("release", "report")
    ]
    return DailyRun(day, trained, *paths)


def release_day(
    config: Config, workdir: Workdir, day: datetime.date, beam_args: Sequence[str] = ()
) -> DailyRun:
    """Builds and publishes the release of a day that was trained and evaluated.

    Raises:
        InputError: If the newest checkpoint up to the day is not the day's own.
        JobError: If a gate held the release back; says which and why.
    """
    session = _Session(config, workdir, beam_args, day)
    if session.trainer.last_day != day:
        raise InputError(
            f"there is no checkpoint of {day}: "
            f"the newest up to it is of {session.trainer.last_day}; train on {day} first"
        )
    session.train_and_evaluate([day])
    session.release(day)
    return _daily_run(workdir, day, [])


class _Session:
    """One start of TensorFlow: the model, its trainer and its evaluator."""

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        beam_args: Sequence[str],
        at_or_before: datetime.date | None = None,
    ):
        from twotower_tf.evaluation.protocol import Evaluator
        from twotower_tf.examples.counts import Counts
        from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder
        from twotower_tf.training.trainer import Trainer

        self._config = config
        self._workdir = workdir
        self._clear_away()
        self.trainer = Trainer(config, workdir, at_or_before)
        model = self.trainer.model
        # Evaluation and index share these: each file is read, and each item embedded, once.
        self._counts = Counts(workdir)
        sized = self.trainer.config
        self._embedder = CatalogueEmbedder(sized, workdir, model, beam_args)
        self._evaluator = Evaluator(sized, workdir, model, self._counts, self._embedder)

    def train_and_evaluate(self, days: Sequence[datetime.date]) -> list[datetime.date]:
        from twotower_tf.training.sequence import train_together, trainings

        left = trainings(self.trainer, days)
        last = self.trainer.last_day
        if last is not None and not self._evaluated_at(last):
            # A run that died between the checkpoint of this day and its evaluation.
            self._evaluate_after(last)
        start = time.monotonic()
        for number, together in enumerate(left, start=1):
            day = together[-1]
            self._evaluate_before(day)
            train_together(self.trainer, together, self._measure_with)
            self._evaluate_after(day)
            self._counts.forget(day - self._longest_window())
            if len(left) > 1:
                seconds = time.monotonic() - start
                to_go = seconds / number * (len(left) - number)
                logging.info("%s done, %d of %d days, %.0f s left", day, number, len(left), to_go)
        return [day for together in left for day in together]

    def _measure_with(self, trainer: "Trainer") -> "Validate":
        """Returns what measures a trainer's model; our own one's evaluator is there already."""
        from twotower_tf.evaluation.protocol import recall_of

        return self._evaluator.mean_recall if trainer is self.trainer else recall_of(trainer)

    def release(self, day: datetime.date) -> None:
        """Releases the day that the model was last trained on.

        Raises:
            JobError: If a gate held it back; says which and why.
        """
        from twotower_tf.releases.release_day import Candidate, recall_at, release

        if recall_at(self._config) not in self._evaluated_at(day):
            # It was evaluated by a configuration with another ``evaluation.at``.
            self._evaluate_after(day)
        candidate = Candidate(
            self.trainer.model,
            self.trainer.days_trained,
            self._evaluator.embed_held_out(day),
            self._counts,
            self._embedder,
            self._evaluator.blend(day),
        )
        release(self._config, self._workdir, day, candidate)

    def _longest_window(self) -> datetime.timedelta:
        """Returns how far back anybody asks for counts."""
        rules = self._config.selection
        of_rules = (rules.coverage_days, rules.engagement_days)
        return datetime.timedelta(days=max(self._config.evaluation.baseline_days, *of_rules))

    def _clear_away(self) -> None:
        """Removes what killed runs were writing of metrics and reports."""
        for job in ("train", "evaluate", "blend", "build_index", "run_daily"):
            storage.remove_temporary(self._workdir.path("metrics", job))
        storage.remove_temporary(self._workdir.path("reports"))

    def _evaluated_at(self, day: datetime.date) -> list[int]:
        """Returns the K at which a day was evaluated after training on it, none if it was not."""
        record = storage.read_json(self._workdir.metrics_path("evaluate", day)) or {}
        if record.get("after") is None:
            return []
        return [int(k) for k in record["after"]["methods"]["model"]["recall"]]

    def _evaluate_before(self, day: datetime.date) -> None:
        if self.trainer.last_day is not None:
            yesterday = day - datetime.timedelta(days=1)
            self._record_evaluation(day, {"before": self._evaluator.evaluate(day, yesterday)})
            # The model is about to change, and training needs the memory.
            self._embedder.forget()

    def _evaluate_after(self, day: datetime.date) -> None:
        counted = self.trainer.batch_probabilities(day)
        measured = {
            "after": self._evaluator.evaluate(day, day),
            "frequencies": self._evaluator.frequencies(counted),
        }
        self._record_evaluation(day, measured)

    def _record_evaluation(self, day: datetime.date, measured: dict) -> None:
        from twotower_tf.evaluation.protocol import record

        record(self._workdir, day, measured)
