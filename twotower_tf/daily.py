"""The daily job: examples, training, evaluation, index, gates, release, a day after the other.

``run_days`` can be called again for a day that is done (nothing happens), for one that died
half-way (it goes on), and for a range: then all days are built together, the model goes
through them in order, and the release is of the last one, for it would replace the others at once.
"""

import dataclasses
import datetime
from collections.abc import Sequence

from absl import logging

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir


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
    if _is_done(config, workdir, days):
        logging.info("nothing to do: %s is done", last)
        return _daily_run(workdir, last, [])
    build_examples(config, workdir, source, days, beam_args)
    session = _Session(config, workdir, beam_args)
    trained = session.train_and_evaluate(days)
    if session.last_day == last:
        session.release(last)
    return _daily_run(workdir, last, trained)


def _is_done(config: Config, workdir: Workdir, days: Sequence[datetime.date]) -> bool:
    """Says whether the days were trained, and the last one released if no later one followed."""
    kinds = [storage.CHECKPOINTS]
    if config.ranking is not None:
        kinds.append(storage.RANKING_CHECKPOINTS)
    newest = [workdir.latest(kind, datetime.date.max) for kind in kinds]
    for one in newest:
        if one is None or not {day.isoformat() for day in days} <= _trained(one):
            return False
    day = newest[0].day
    record = storage.read_json(workdir.metrics_path("run_daily", day))
    return days[-1] < day or (record is not None and record["status"] == "released")


def _trained(checkpoint: storage.Partition) -> set[str]:
    """Returns the days that a checkpoint's model was trained on, in ISO format."""
    return set(checkpoint.manifest()["days_trained"])


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
    for stage in filter(None, (session.retrieval, session.ranking)):
        if stage.trainer.last_day != day:
            raise InputError(
                f"there is no checkpoint of {day}: the newest up to it "
                f"is of {stage.trainer.last_day}; train on {day} first"
            )
    session.train_and_evaluate([day])
    session.release(day)
    return _daily_run(workdir, day, [])


class _Session:
    """One start of TensorFlow: the models of the configuration, trained and evaluated.

    Attributes:
        retrieval: The two towers.
        ranking: The second stage; None without ``ranking``.
    """

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        beam_args: Sequence[str],
        at_or_before: datetime.date | None = None,
    ):
        from twotower_tf.evaluation.retrieval_stage import RetrievalStage

        self._config = config
        self._workdir = workdir
        self._clear_away()
        self.retrieval = RetrievalStage(config, workdir, beam_args, at_or_before)
        self.ranking = None
        if config.ranking is not None:
            from twotower_tf.evaluation.ranking.stage import RankingStage

            self.ranking = RankingStage(config, workdir, at_or_before)

    @property
    def last_day(self) -> datetime.date | None:
        """The day that all models were last trained on; None: they differ, or there is none."""
        last = {stage.trainer.last_day for stage in (self.retrieval, self.ranking) if stage}
        return last.pop() if len(last) == 1 else None

    def train_and_evaluate(self, days: Sequence[datetime.date]) -> list[datetime.date]:
        """Trains each model on what is left of days; returns those that any was trained on."""
        stages = filter(None, (self.retrieval, self.ranking))
        return sorted({day for stage in stages for day in stage.train_and_evaluate(days)})

    def release(self, day: datetime.date) -> None:
        """Releases the day that the models were last trained on.

        Raises:
            JobError: If a gate held it back; says which and why.
        """
        from twotower_tf.releases.release_day import Candidate, recall_at, release

        retrieval = self.retrieval
        if recall_at(self._config) not in retrieval.evaluated_at(day):
            # It was evaluated by a configuration with another ``evaluation.at``.
            retrieval.evaluate_after(day)
        candidate = Candidate(
            retrieval.trainer.model,
            retrieval.trainer.days_trained,
            retrieval.evaluator.embed_held_out(day),
            retrieval.counts,
            retrieval.embedder,
            retrieval.evaluator.blend(day),
            None if self.ranking is None else self.ranking.trainer.model,
        )
        release(self._config, self._workdir, day, candidate)

    def _clear_away(self) -> None:
        """Removes what killed runs were writing of metrics and reports."""
        jobs = ("train", "train_ranking", "evaluate", "evaluate_ranking", "blend", "build_index")
        for job in (*jobs, "run_daily"):
            storage.remove_temporary(self._workdir.path("metrics", job))
        storage.remove_temporary(self._workdir.path("reports"))
