"""The daily job: examples, training, evaluation, index, gates, release, a day after the other.

``run_days`` can be called again for a day that is done (nothing happens), for one that died
half-way (it goes on), and for a range: then one Beam pipeline builds all days, the model goes
through them in order, and the release is of the last one, for it would replace the others at once.
"""

import dataclasses
import datetime
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import model_fingerprint
from twotower_tf.errors import InputError, JobError
from twotower_tf.storage import Workdir

if TYPE_CHECKING:
    from twotower_tf.releases.gates import Measured


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a daily run came to.

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
) -> Outcome:
    """Runs the daily job for the days given, oldest first.

    Raises:
        InputError: If the input is wrong, or a day comes before the last one trained on.
        JobError: If a gate held the release back; says which and why.
    """
    from twotower_tf.examples.building.build import build_examples

    last = days[-1]
    if _is_done(workdir, days):
        logging.info("nothing to do: %s is done", last)
        return _outcome(workdir, last, [])
    build_examples(config, workdir, source, days, beam_args)
    session = _Session(config, workdir)
    trained = session.train_and_evaluate(days)
    if session.trainer.last_day == last:
        session.release(last, beam_args)
    return _outcome(workdir, last, trained)


def _is_done(workdir: Workdir, days: Sequence[datetime.date]) -> bool:
    """Says whether the days were trained, and the last one released if no later one followed."""
    newest = workdir.latest("checkpoints", datetime.date.max)
    if newest is None:
        return False
    if not {day.isoformat() for day in days} <= set(newest.manifest()["days_trained"]):
        return False
    record = storage.read_json(workdir.metrics_path("run_daily", newest.day))
    return days[-1] < newest.day or (record is not None and record["status"] == "released")


def _outcome(workdir: Workdir, day: datetime.date, trained: list) -> Outcome:
    record = storage.read_json(workdir.metrics_path("run_daily", day)) or {}
    paths = [
        record[name] and workdir.path(record[name]) if name in record else None
        for name in ("release", "report")
    ]
    return Outcome(day, trained, *paths)


def release_day(
    config: Config, workdir: Workdir, day: datetime.date, beam_args: Sequence[str] = ()
) -> Outcome:
    """Builds and publishes the release of a day that was trained and evaluated.

    Raises:
        InputError: If the newest checkpoint up to the day is not the day's own.
        JobError: If a gate held the release back; says which and why.
    """
    session = _Session(config, workdir, day)
    if session.trainer.last_day != day:
        raise InputError(
            f"there is no checkpoint of {day}: "
            f"the newest up to it is of {session.trainer.last_day}; train on {day} first"
        )
    session.train_and_evaluate([day])
    session.release(day, beam_args)
    return _outcome(workdir, day, [])


class _Session:
    """One start of TensorFlow: the model, its trainer and its evaluator."""

    def __init__(self, config: Config, workdir: Workdir, at_or_before: datetime.date | None = None):
        from twotower_tf.evaluation.protocol import Evaluator
        from twotower_tf.training.trainer import Trainer

        self._config = config
        self._workdir = workdir
        self._clear_away()
        self.trainer = Trainer(config, workdir, at_or_before)
        self._evaluator = Evaluator(config, workdir, self.trainer.model)

    def train_and_evaluate(self, days: Sequence[datetime.date]) -> list[datetime.date]:
        from twotower_tf.training.sequence import days_left

        left = days_left(self.trainer, days)
        last = self.trainer.last_day
        if last is not None and not self._is_evaluated(last):
            # A run that died between the checkpoint of this day and its evaluation.
            self._evaluate_after(last)
        start = time.monotonic()
        for number, day in enumerate(left, start=1):
            self._evaluate_before(day)
            self.trainer.train_day(day)
            self._evaluate_after(day)
            if len(left) > 1:
                seconds = time.monotonic() - start
                to_go = seconds / number * (len(left) - number)
                logging.info("%s done, %d of %d days, %.0f s left", day, number, len(left), to_go)
        return left

    def release(self, day: datetime.date, beam_args: Sequence[str]) -> None:
        """Builds the index of a day; publishes it if every gate lets it through.

        Raises:
            JobError: If a gate held it back.
        """
        from twotower_tf.evaluation.report import write_report
        from twotower_tf.releases.build import build_index
        from twotower_tf.releases.gates import check_gates
        from twotower_tf.releases.model_card import write_model_card
        from twotower_tf.releases.releases import publish

        queries = self._evaluator.embed_held_out(day)[: self._config.index.recall_queries]
        built = build_index(
            self._config, self._workdir, self.trainer.model, day, queries, beam_args
        )
        storage.write_json(self._workdir.metrics_path("build_index", day), built.metrics)
        measured = self._measured(day, built.metrics)
        gates = check_gates(self._config.gates, measured)
        held = [gate for gate in gates if not gate.passed]
        record = {
            "day": day.isoformat(),
            "status": "held" if held else "released",
            "gates": [dataclasses.asdict(gate) for gate in gates],
            "release": None,
        }
        if not held:
            metadata = {
                "configuration": model_fingerprint(self._config),
                "days_trained": [one.isoformat() for one in self.trainer.days_trained],
                "gates": record["gates"],
                "metrics": dataclasses.asdict(measured) | {"index": built.metrics},
            }

            def save(folder: str) -> None:
                built.save(folder)
                write_model_card(folder, self._config, metadata)

            published = publish(self._workdir, self._config.name, day, save, metadata)
            record["release"] = os.path.relpath(published.path, self._workdir.root)
        self._record(day, record)
        record["report"] = os.path.relpath(write_report(self._workdir, day), self._workdir.root)
        self._record(day, record)
        if held:
            reasons = "; ".join(gate.message for gate in held)
            raise JobError(f"the release of {day} was held back by a gate: {reasons}")

    def _measured(self, day: datetime.date, index: dict) -> "Measured":
        from twotower_tf.releases.gates import Measured
        from twotower_tf.releases.releases import current

        trained = storage.read_json(self._workdir.metrics_path("train", day))
        evaluated = storage.read_json(self._workdir.metrics_path("evaluate", day))
        last = current(self._workdir, self._config.name)
        k = self._config.gates.recall_at or self._config.evaluation.at[-1]
        comparable = last is not None and last.metadata["metrics"]["recall_at"] == k
        return Measured(
            examples=trained["examples"],
            loss=trained["loss"],
            recall_at=k,
            recall=evaluated["after"]["methods"]["model"]["recall"][str(k)],
            last_recall=last.metadata["metrics"]["recall"] if comparable else None,
            index_recall=index["index_recall"],
            coverage=index["coverage"],
        )

    def _record(self, day: datetime.date, record: dict) -> None:
        storage.write_json(self._workdir.metrics_path("run_daily", day), record)

    def _clear_away(self) -> None:
        """Removes what killed runs were writing of metrics and reports."""
        for job in ("train", "evaluate", "build_index", "run_daily"):
            storage.remove_temporary(self._workdir.path("metrics", job))
        storage.remove_temporary(self._workdir.path("reports"))

    def _is_evaluated(self, day: datetime.date) -> bool:
        record = storage.read_json(self._workdir.metrics_path("evaluate", day))
        return record is not None and record.get("after") is not None

    def _evaluate_before(self, day: datetime.date) -> None:
        if self.trainer.last_day is not None:
            yesterday = day - datetime.timedelta(days=1)
            self._record_evaluation(day, {"before": self._evaluator.evaluate(day, yesterday)})

    def _evaluate_after(self, day: datetime.date) -> None:
        measured = {
            "after": self._evaluator.evaluate(day, day),
            "frequencies": self._evaluator.frequencies(day),
        }
        self._record_evaluation(day, measured)

    def _record_evaluation(self, day: datetime.date, measured: dict) -> None:
        from twotower_tf.evaluation.protocol import record

        record(self._workdir, day, measured)
