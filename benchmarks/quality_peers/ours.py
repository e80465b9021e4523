"""Ours: what the shipped YAML gives, by the jobs, measured by the pipeline's own evaluation.

The days before the window are caught up by ``pipelines.train``, the window by
``pipelines.run_daily``, which asks about a day before it trains on it. In between, the model as it
stands before the window is asked about all its days: ``frozen``, as methods trained once are.
"""

import argparse
import datetime
import subprocess
import sys
import time

from benchmarks.quality_data.sets import DataSet
from benchmarks.quality_peers.asking import AT


def run(data: DataSet, flags: argparse.Namespace) -> dict:
    """Trains with one seed, in a work directory of its own.

    Returns:
        By name of the method, what ``asking.measure`` returns and the seconds; the pipeline's own
        baselines are there too.
    """
    from twotower_tf import storage
    from twotower_tf.config_loader import load_config
    from twotower_tf.storage import Workdir, day_range
    from twotower_tf.studies.variants import share_examples

    sets = [f"seed={flags.seed}", f"evaluation.at={list(AT)}", *flags.set]
    workdir = share_examples(Workdir.existing(str(flags.built)), str(flags.folder))
    common = [f"--config={data.config}", f"--workdir={workdir.root}", "--verbosity=-1"]
    common += [f"--set={one}" for one in sets]
    before = data.window_start - datetime.timedelta(days=1)
    start = time.perf_counter()
    _job("train", *common, f"--start={data.start}", f"--end={before}")
    seconds = time.perf_counter() - start
    days = day_range(data.window_start, data.end)
    config = load_config(data.config, sets)
    frozen = _frozen(config, workdir, days, before)
    source = f"--source={flags.source}"
    _job("run_daily", *common, source, f"--start={data.window_start}", f"--end={data.end}")
    daily = [storage.read_json(workdir.metrics_path("evaluate", day))["before"] for day in days]
    seconds_of_days = [
        storage.read_json(workdir.metrics_path("train", day))["seconds"] for day in days
    ]
    methods = {
        "ours": _over_days(daily, "model") | {"seconds": seconds + sum(seconds_of_days)},
        "ours_frozen": _over_days(frozen, "model") | {"seconds": seconds},
    }
    baselines = set(daily[0]["methods"]) - {"model"}
    return methods | {f"pipeline/{name}": _over_days(daily, name) for name in sorted(baselines)}


def _job(name: str, *flags: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *flags], capture_output=True, text=True
    )
    # A gate that held the release does not matter: the day is trained and evaluated.
    if done.returncode and "held back by a gate" not in done.stderr:
        raise RuntimeError(f"pipelines.{name}: {done.stderr.strip().splitlines()[-1:]}")


def _frozen(config, workdir, days: list[datetime.date], before: datetime.date) -> list[dict]:
    from twotower_tf.evaluation.protocol import Evaluator
    from twotower_tf.training.trainer import Trainer

    trainer = Trainer(config, workdir, at_or_before=before)
    evaluator = Evaluator(config, workdir, trainer.model)
    return [evaluator.evaluate(day, before) for day in days]


def _over_days(measured: list[dict], method: str) -> dict:
    """Averages days over their held-out examples, each of which weighs the same."""
    kept = [day for day in measured if day["held_out"]]
    total = sum(day["held_out"] for day in kept)

    def mean(name: str, k: int) -> float:
        figures = [(day["held_out"], day["methods"][method][name][str(k)]) for day in kept]
        return sum(count * figure for count, figure in figures) / total

    names = ("recall", "ndcg", "coverage")
    result: dict = {name: {str(k): mean(name, k) for k in AT} for name in names}
    by_day = {day: one["held_out"] for day, one in enumerate(measured)}
    return result | {"recall_new": None, "held_out": total, "held_out_by_day": by_day}
