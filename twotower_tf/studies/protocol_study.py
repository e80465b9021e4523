"""The evaluation of Yi et al. (RecSys 2019, section 6.2), for several losses.

The model catches up over 15 days, in order. Then, for each of 7 days, it trains on nine tenths of
the day's examples and is asked for the other tenth: Recall@K, averaged over the 7 days. Which
tenth that is, training and ranking are those of the nights, the protocol *after* of
``evaluation.protocol``; only the loss and the seed differ from run to run. What the configuration
says of training holds: without a backfill and replay, each day comes once, as in the paper.
"""

import dataclasses
import datetime
import os
import statistics
from collections.abc import Sequence

from absl import logging

from twotower_tf.binding import bind
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.examples.building.build import build_examples
from twotower_tf.storage import Workdir
from twotower_tf.studies.protocol_plan import MEASURED, check_days, with_losses
from twotower_tf.studies.variants import Figure, train_and_measure

PLAIN = "plain_softmax"
POPULAR = "most_popular"


@dataclasses.dataclass(frozen=True)
class ProtocolStudy:
    """What was measured.

    Attributes:
        caught_up: The days before those that were measured, oldest first.
        measured: The days that were.
        at: The K of Recall@K.
        configs: The configuration of each loss, by its kind.
        runs: By kind and seed, what was measured of each day after training on it.
    """

    caught_up: list[datetime.date]
    measured: list[datetime.date]
    at: list[int]
    configs: dict[str, Config]
    runs: dict[str, dict[int, list[dict]]]

    def recall(self, kind: str, k: int, method: str = "model") -> Figure:
        """Returns a loss's Recall@K, the mean over the days, and over seeds."""
        return Figure.of(
            [
                statistics.mean(filled(recalls_of(days, method, k)))
                for days in self.runs[kind].values()
            ]
        )

    def recall_by_day(self, kind: str, k: int, method: str = "model") -> list[float | None]:
        """Returns the mean over seeds of each day; None of a day without held-out examples."""
        by_seed = [recalls_of(days, method, k) for days in self.runs[kind].values()]
        by_day = [filled(values) for values in zip(*by_seed, strict=True)]
        return [statistics.mean(values) if values else None for values in by_day]

    def ratio_to_plain(self, kind: str, k: int) -> float | None:
        """Returns the mean recall over that of the plain softmax; None if that was not run."""
        plain = self.recall(PLAIN, k).mean if PLAIN in self.runs else 0.0
        return self.recall(kind, k).mean / plain if plain else None

    @property
    def held_out(self) -> list[int]:
        """How many examples each day's recall is of."""
        runs = next(iter(self.runs.values()))
        return [day["held_out"] for day in next(iter(runs.values()))]


def recalls_of(days: Sequence[dict], method: str, k: int) -> list[float | None]:
    """Returns a method's Recall@K of each day, None of a day without held-out examples."""
    return [day["methods"][method]["recall"][str(k)] for day in days]


def filled(values: Sequence[float | None]) -> list[float]:
    """Returns the values that are there."""
    return [value for value in values if value is not None]


def run_protocol(
    config: Config,
    source: str,
    folder: str,
    days: Sequence[datetime.date],
    losses: Sequence[str],
    seeds: Sequence[int],
    beam_args: Sequence[str] = (),
) -> ProtocolStudy:
    """Builds the examples, and trains and measures every loss with every seed on them.

    What a call before this one did in the same folder is not done again.

    Args:
        config: The deployment; its own loss and seed don't matter.
        source: The folder of its logs.
        folder: Of this machine: the examples are in ``built``, a run in ``LOSS-SEED``.
        days: At least 22, the last 7 of which are measured, oldest first.
        losses: Kinds of the registry.
        seeds: Of the models; each loss has a run with each.
        beam_args: Beam's own flags, for the build.

    Raises:
        InputError: If the days are too few, a loss is unknown, a backfill ends too late, no
            measured day has a held-out example, or the folder holds another study.
    """
    check_days(config, days)
    configs = with_losses(config, losses)
    training = config.training.model_copy(update={"tensorboard": False})
    built = Workdir(os.path.join(folder, "built"))
    bind(built, config)
    build_examples(config, built, source, list(days), beam_args)
    caught_up, measured = list(days[:-MEASURED]), list(days[-MEASURED:])
    runs: dict[str, dict[int, list[dict]]] = {kind: {} for kind in configs}
    for seed in seeds:
        for kind, one in configs.items():
            logging.info("%s, seed %d", kind, seed)
            variant = one.model_copy(update={"seed": seed, "training": training})
            root = os.path.join(folder, f"{kind}-{seed}")
            runs[kind][seed] = train_and_measure(variant, built, root, days, measured)
    study = ProtocolStudy(caught_up, measured, config.evaluation.at, configs, runs)
    if not any(study.held_out):
        raise InputError(f"no day from {measured[0]} to {measured[-1]} has a held-out example")
    return study
