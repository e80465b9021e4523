"""The daily job: examples, training, evaluation, index, gates, release, a day after the other.

``run_days`` can be called again for a day that is done (nothing happens), for one that died
half-way (it goes on), and for a range: then one Beam pipeline builds all days, the model goes
through them in order, and the release is of the last one, for it would replace the others at once.
"""

import dataclasses
import datetime
import time
from collections.abc import Sequence

from absl import logging

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.storage import Workdir


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
    from twotower_tf.examples.build import build_examples

    last = days[-1]
    if _is_done(workdir, last):
        logging.info("nothing to do: %s is done", last)
        return _outcome(workdir, last, [])
    build_examples(config, workdir, source, days, beam_args)
    session = _Session(config, workdir)
    trained = session.train_and_evaluate(days)
    if session.trainer.last_day == last:
        session.release(last)
    return _outcome(workdir, last, trained)


def _is_done(workdir: Workdir, day: datetime.date) -> bool:
    record = storage.read_json(workdir.metrics_path("run_daily", day))
    return record is not None and record["status"] == "released"


def _outcome(workdir: Workdir, day: datetime.date, trained: list) -> Outcome:
    record = storage.read_json(workdir.metrics_path("run_daily", day)) or {}
    return Outcome(day, trained, record.get("release"), record.get("report"))


class _Session:
    """One start of TensorFlow: the model, its trainer and its evaluator."""

    def __init__(self, config: Config, workdir: Workdir):
        from twotower_tf.evaluation.protocol import Evaluator
        from twotower_tf.training.trainer import Trainer

        self._config = config
        self._workdir = workdir
        self.trainer = Trainer(config, workdir)
        self._evaluator = Evaluator(config, workdir, self.trainer.model)

    def train_and_evaluate(self, days: Sequence[datetime.date]) -> list[datetime.date]:
        from twotower_tf.training.sequence import days_left

        left = days_left(self.trainer, days)
        if self.trainer.last_day in days and not self._is_evaluated(self.trainer.last_day):
            # A run that died between the checkpoint of this day and its evaluation.
            self._evaluate_after(self.trainer.last_day)
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

    def release(self, day: datetime.date) -> None:
        from twotower_tf.evaluation.report import write_report
        from twotower_tf.indexing.build import build_index
        from twotower_tf.indexing.gates import check_gates
        from twotower_tf.indexing.releases import publish

        candidate = build_index(self._config, self._workdir, self._evaluator, day)
        gates = check_gates(self._config, self._workdir, day)
        held = [gate for gate in gates if not gate.passed]
        record = {
            "day": day.isoformat(),
            "status": "held" if held else "released",
            "gates": [gate.as_dict() for gate in gates],
            "release": None,
        }
        if not held:
            published = publish(self._config, self._workdir, day, candidate, record["gates"])
            record["release"] = published.path
        self._record(day, record)
        record["report"] = write_report(self._workdir, day)
        self._record(day, record)
        if held:
            raise JobError("; ".join(gate.message for gate in held))

    def _record(self, day: datetime.date, record: dict) -> None:
        storage.write_json(self._workdir.metrics_path("run_daily", day), record)

    def _is_evaluated(self, day: datetime.date) -> bool:
        record = storage.read_json(self._workdir.metrics_path("evaluate", day))
        return record is not None and record.get("after") is not None

    def _evaluate_before(self, day: datetime.date) -> None:
        before = None
        if self.trainer.last_day is not None:
            before = self._evaluator.evaluate(day, day - datetime.timedelta(days=1))
        self._write_evaluation(day, {"before": before})

    def _evaluate_after(self, day: datetime.date) -> None:
        path = self._workdir.metrics_path("evaluate", day)
        known = storage.read_json(path) or {"before": None}
        after = self._evaluator.evaluate(day, day)
        frequencies = self._evaluator.frequencies(day)
        self._write_evaluation(day, known | {"after": after, "frequencies": frequencies})

    def _write_evaluation(self, day: datetime.date, values: dict) -> None:
        path = self._workdir.metrics_path("evaluate", day)
        storage.write_json(path, {"day": day.isoformat(), **values})
