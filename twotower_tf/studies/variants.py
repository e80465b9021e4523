"""Variants of one configuration, trained day by day on the same examples, and measured.

Examples are built once. A variant, such as another loss, is trained in a work directory of its own
that has them as links, so it is killed and resumed as every training is, and compared with the
others on the same held-out examples.
"""

import dataclasses
import datetime
import math
import os
import statistics
from collections.abc import Sequence

from twotower_tf import storage
from twotower_tf.binding import bind
from twotower_tf.binding.settings import OF_RANKING, OF_TRAINING, settings
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.evaluation.day_metrics import record
from twotower_tf.evaluation.protocol import JOB, Evaluator, recall_of
from twotower_tf.examples.building.publish import PUBLISHED
from twotower_tf.storage import MANIFEST, Workdir
from twotower_tf.storage.whole_files import link_file
from twotower_tf.training.sequence import train_together, trainings
from twotower_tf.training.trainer import Trainer

_VARIANT = "variant.json"


@dataclasses.dataclass(frozen=True)
class Figure:
    """The mean over some runs, and its standard error; None of a single run."""

    mean: float
    standard_error: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Returns the figure of one value a run."""
        many = len(values) > 1
        error = statistics.stdev(values) / math.sqrt(len(values)) if many else None
        return cls(statistics.mean(values), error)

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.4f}"
        return f"{self.mean:.4f}{error}"


def share_examples(built: Workdir, root: str) -> Workdir:
    """Returns a work directory that has all that was built in another, as links to its files.

    It is bound to no configuration yet. What is there already stays.

    Args:
        built: A folder of this machine.
        root: Where the work directory is to be, on this machine too.
    """
    workdir = Workdir(root)
    for kind in PUBLISHED:
        for day in built.days(kind):
            source, target = built.partition(kind, day), workdir.partition(kind, day)
            if target.exists():
                continue
            os.makedirs(target.path, exist_ok=True)
            # The manifest last: a partition that has one is whole.
            for name in sorted(os.listdir(source.path), key=lambda name: name == MANIFEST):
                if not os.path.exists(target.file(name)):
                    link_file(source.file(name), target.file(name))
    return workdir


def train_and_measure(
    config: Config,
    built: Workdir,
    root: str,
    days: Sequence[datetime.date],
    measured: Sequence[datetime.date],
) -> list[dict]:
    """Trains a variant on days in order, and measures some of them after training on each.

    What was trained or measured before is not done again.

    Args:
        config: The variant; its examples are those of ``built``.
        built: Has the examples of all days.
        root: The variant's own work directory.
        days: To train on, oldest first.
        measured: Those of the days whose held-out examples are ranked for.

    Returns:
        What ``Evaluator.evaluate`` measured of each, in their order.

    Raises:
        InputError: If ``root`` holds another variant.
    """
    workdir = share_examples(built, root)
    bind(workdir, config)
    _hold(workdir, config)
    if None in [_known(workdir, day) for day in measured]:
        _train(config, workdir, days, measured)
    return [_known(workdir, day) for day in measured]


def _hold(workdir: Workdir, config: Config) -> None:
    """Notes how a variant is trained, which does not bind its work directory; or checks it."""
    path, own = workdir.path(_VARIANT), settings(config, (*OF_TRAINING, *OF_RANKING))
    known = storage.read_json(path)
    if known is None:
        storage.write_json(path, own)
    elif known != own:
        raise InputError(f"{workdir.root} holds another variant: give a new folder")


def _train(
    config: Config,
    workdir: Workdir,
    days: Sequence[datetime.date],
    measured: Sequence[datetime.date],
) -> None:
    trainer = Trainer(config, workdir)
    evaluator = Evaluator(trainer.config, workdir, trainer.model)

    def measure() -> None:
        day = trainer.last_day
        if day in measured and _known(workdir, day) is None:
            record(workdir, JOB, day, {"after": evaluator.evaluate(day, day)})

    # A run may have died between the checkpoint of its last day and the day's evaluation.
    measure()
    for together in trainings(trainer, days):
        train_together(trainer, together, recall_of)
        measure()


def _known(workdir: Workdir, day: datetime.date) -> dict | None:
    """Returns what was measured of a day after training on it, if it was."""
    return (storage.read_json(workdir.metrics_path("evaluate", day)) or {}).get("after")
