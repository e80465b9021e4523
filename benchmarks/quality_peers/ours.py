"""Ours: what the shipped YAML gives, by the jobs, measured by the pipeline's own evaluation.

The days before the window are caught up by ``pipelines.train``, the window by
``pipelines.run_daily``, which asks about a day before it trains on it. In between, the model as it
stands before the window is asked about all its days: ``frozen``, as methods trained once are. Where
nobody acts twice, all are asked again by ``evaluation.repeats: new``.
"""

import argparse
import datetime
import subprocess
import sys
import time

import numpy as np

from benchmarks.quality_data.sets import DataSet
from benchmarks.quality_peers.asking import AT


def run(data: DataSet, flags: argparse.Namespace) -> dict:
    """Trains with one seed, in a work directory of its own.

    Returns:
        By name of the method, what ``asking.measure`` returns and the seconds; the pipeline's own
        baselines are there too.
    """
    from twotower_tf.storage import Workdir, day_range
    from twotower_tf.studies.variants import share_examples

    days = day_range(data.window_start, data.end)
    # The model as of every evening, to be asked again.
    kept = [f"training.keep_checkpoints={len(days) + 1}"] if data.once else []
    sets = [*data.overrides, f"seed={flags.seed}", f"evaluation.at={list(AT)}", *kept, *flags.set]
    workdir = share_examples(Workdir.existing(str(flags.built)), str(flags.folder))
    common = [f"--config={data.config}", f"--workdir={workdir.root}", "--verbosity=-1"]
    common += [f"--set={one}" for one in sets]
    before = data.window_start - datetime.timedelta(days=1)
    start = time.perf_counter()
    _job("train", *common, f"--start={data.start}", f"--end={before}")
    seconds = time.perf_counter() - start
    asking = _Asking(data, sets, workdir)
    # Of a single day it is the same.
    frozen = asking.every(days, [before] * len(days)) if len(days) > 1 else None
    source = f"--source={flags.source}"
    _job("run_daily", *common, source, f"--start={data.window_start}", f"--end={data.end}")
    daily = asking.released(days)
    methods = {"ours": daily("model") | {"seconds": seconds + asking.seconds(days)}}
    if frozen:
        methods["ours_frozen"] = frozen("model") | {"seconds": seconds}
    return methods | {f"pipeline/{name}": daily(name) for name in daily.baselines}


def _job(name: str, *flags: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *flags], capture_output=True, text=True
    )
    # A gate that held the release does not matter: the day is trained and evaluated.
    if done.returncode and "held back by a gate" not in done.stderr:
        raise RuntimeError(f"pipelines.{name}: {done.stderr.strip().splitlines()[-1:]}")


class _Measured:
    """What the pipeline's evaluation found on days; ``new``: without what users had before."""

    def __init__(self, every: list[dict], new: list[dict] | None):
        self._every, self._new = every, new
        self.baselines = sorted(set(every[0]["methods"]) - {"model"})

    def __call__(self, method: str) -> dict:
        names = ("recall", "ndcg", "coverage")
        result: dict = {name: _mean(self._every, method, name) for name in names}
        by_day = {day: one["held_out"] for day, one in enumerate(self._every)}
        counts = {"held_out": sum(by_day.values()), "held_out_by_day": by_day}
        if self._new is None or method not in self._new[0]["methods"]:
            return result | counts | {"recall_new": None}
        counts["held_out_new"] = sum(day["held_out"] for day in self._new)
        return result | counts | {"recall_new": _mean(self._new, method, "recall")}


def _mean(measured: list[dict], method: str, name: str) -> dict[str, float]:
    """Averages days over their held-out examples, each of which weighs the same."""
    kept = [day for day in measured if day["held_out"]]
    weights = [day["held_out"] for day in kept]
    figures = {str(k): [day["methods"][method][name][str(k)] for day in kept] for k in AT}
    return {k: float(np.average(values, weights=weights)) for k, values in figures.items()}


class _Asking:
    """Asks models of a work directory about days."""

    def __init__(self, data: DataSet, sets: list[str], workdir):
        from twotower_tf.config_loader import load_config

        self._workdir = workdir
        self._config = load_config(data.config, sets)
        new = load_config(data.config, [*sets, "evaluation.repeats=new"]) if data.once else None
        self._new = new

    def every(self, days: list[datetime.date], models: list[datetime.date]) -> _Measured:
        """Asks about each day the model as of an evening."""
        every = self._evaluate(self._config, days, models)
        return _Measured(every, self._new and self._evaluate(self._new, days, models))

    def released(self, days: list[datetime.date]) -> _Measured:
        """Reads what ``run_daily`` found before training on each day, and asks what it didn't."""
        from twotower_tf import storage

        every = [storage.read_json(self._workdir.metrics_path("evaluate", day)) for day in days]
        evenings = [day - datetime.timedelta(days=1) for day in days]
        new = self._new and self._evaluate(self._new, days, evenings)
        return _Measured([one["before"] for one in every], new)

    def seconds(self, days: list[datetime.date]) -> float:
        """Returns what training on the days took."""
        from twotower_tf import storage

        trained = [storage.read_json(self._workdir.metrics_path("train", day)) for day in days]
        return sum(one["seconds"] for one in trained)

    def _evaluate(
        self, config, days: list[datetime.date], models: list[datetime.date]
    ) -> list[dict]:
        from twotower_tf.evaluation.protocol import Evaluator
        from twotower_tf.training.trainer import Trainer

        measured = []
        for number, (day, model) in enumerate(zip(days, models, strict=True)):
            if number == 0 or model != models[number - 1]:
                trainer = Trainer(config, self._workdir, at_or_before=model)
                evaluator = Evaluator(trainer.config, self._workdir, trainer.model)
            measured.append(evaluator.evaluate(day, model))
        return measured
