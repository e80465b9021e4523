"""Events a second of the example build, against two other ways to make the same examples.

    python -m benchmarks.build_examples --out=FILE.json
    python -m benchmarks.build_examples --events=10000000 --skewed --contenders ours --rounds=1

The logs are the simulator's, with all columns of `configs/youtube.yaml`; one day, 25 events a
user. Contenders, each a process of its own, take turns:

- ours: `pipelines.build_examples`, two worker processes
- elementwise: the straightforward Beam pipeline, an event is an element; two worker processes
- frames: a script on data frames (polars), one process: a bound, no system

First all build a small day: their examples must be the same, in the same files and order, or
nothing is measured. Start-up is part of the time, as it is every night: imports, worker processes.
With `--skewed`, one user has a tenth of all events and one item half of them.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import statistics
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from benchmarks.builds.process_tree import Usage, run

CONTENDERS = ("ours", "elementwise", "frames")
_DAY = "2026-01-01"
_DAY_NUMBER = 20454
_EVENTS_PER_USER = 25
_SMALL = 5_000
_TWO_WORKERS = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
# Significant digits that float32 surely has.
_DIGITS = 6


def write_source(folder: pathlib.Path, events: int, form: str, skewed: bool) -> None:
    """Simulates a day of events, its catalogue and its users."""
    sizes = {
        "users": max(10, events // _EVENTS_PER_USER),
        "videos": min(100_000, max(1000, events // 10)),
        "events_per_day": events,
        "uploads_per_day": 100,
    }
    flags = [f"--{name}={value}" for name, value in sizes.items()]
    command = [sys.executable, "-m", "pipelines.simulate_events", f"--out={folder}", "--days=1"]
    run([*command, f"--format={form}", *flags], f"{folder}.log")
    if skewed:
        (path,) = folder.glob("events/*/*.parquet")
        pq.write_table(_skewed(pq.read_table(path)), path)


def _skewed(events: pa.Table) -> pa.Table:
    """Gives a tenth of the events to one user, and half of all events to one item."""
    rows = np.arange(len(events))
    ours = pa.array(rows % 10 == 0)
    theirs = pa.array((rows % 10 != 0) & (rows % 9 < 5))
    columns = {name: events[name] for name in events.column_names}
    columns["user_id"] = pa.compute.if_else(ours, "heavy", columns["user_id"])
    columns["item_id"] = pa.compute.if_else(theirs, "v000000", columns["item_id"])
    return pa.table(columns)


def command_of(name: str, source: pathlib.Path, out: pathlib.Path, flags) -> list[str]:
    """Returns how a contender is called."""
    if name != "ours":
        module = [sys.executable, "-m", "benchmarks.build_examples", f"--worker={name}"]
        return [*module, f"--source={source}", f"--folder={out}", f"--shards={flags.shards}"]
    overrides = {
        "examples.shards": flags.shards,
        "source.events.path": f"events/dt={{date}}/*.{flags.format}",
    }
    module = [sys.executable, "-m", "pipelines.build_examples", "--config=configs/youtube.yaml"]
    given = [f"--set={key}={value}" for key, value in overrides.items()]
    where = [f"--source={source}", f"--workdir={out}", f"--date={_DAY}"]
    return [*module, *given, *where, "--", *_TWO_WORKERS]


def work(flags: argparse.Namespace) -> None:
    """A contender's side."""
    if flags.worker == "frames":
        from benchmarks.builds import frames

        frames.build(flags.source, flags.folder, flags.shards)
    else:
        from benchmarks.builds import elementwise

        runner = ["--runner=FnApiRunner", *_TWO_WORKERS]
        elementwise.build(flags.source, flags.folder, flags.shards, runner)


def digest(folder: pathlib.Path) -> dict[str, str]:
    """Returns a hash of the examples of each file that has any, in order, by day, split, shard."""
    from twotower_tf.examples.encoding.tfrecord import read_records

    from tensorflow.core.example import example_pb2  # isort: skip

    found = {}
    for path in sorted(folder.rglob("*.tfrecord.gz")):
        hashed = hashlib.sha256()
        count = 0
        for record in read_records(str(path)):
            hashed.update(repr(_values(example_pb2.Example.FromString(record))).encode())
            count += 1
        if count:
            found[_place(path)] = f"{count} {hashed.hexdigest()}"
    return found


def _place(path: pathlib.Path) -> str:
    """Returns day, split and shard of a file, as the peers name theirs."""
    if path.parent.name.startswith("dt="):
        split, shard = path.name.split("-")[:2]
        return f"{_DAY_NUMBER}-{split}-{shard}"
    return path.name.split(".")[0]


def _values(example) -> list:
    """Returns all values of an example by key; floats to as many digits as float32 has."""
    shown = []
    for key, feature in sorted(example.features.feature.items()):
        values = list(getattr(feature, feature.WhichOneof("kind")).value)
        if values and isinstance(values[0], float):
            values = [f"{value:.{_DIGITS - 1}e}" for value in values]
        shown.append((key, values))
    return shown


def check(folder: pathlib.Path, flags: argparse.Namespace) -> None:
    """Raises RuntimeError if the contenders' examples of a small day differ."""
    write_source(folder / "small", _SMALL, flags.format, skewed=False)
    digests = {}
    for name in flags.contenders:
        out = folder / f"small-{name}"
        out.mkdir()
        run(command_of(name, folder / "small", out, flags), f"{out}.log")
        digests[name] = digest(out)
    first = digests[flags.contenders[0]]
    for name, found in digests.items():
        if found != first or not found:
            raise RuntimeError(f"the examples of {name} differ from those of {flags.contenders[0]}")


def measure(folder: pathlib.Path, flags: argparse.Namespace) -> dict[str, list[Usage]]:
    """Lets the contenders take turns."""
    source = folder / "source"
    write_source(source, flags.events, flags.format, flags.skewed)
    used: dict[str, list[Usage]] = {name: [] for name in flags.contenders}
    for number in range(flags.rounds):
        for name in flags.contenders:
            out = folder / f"out-{name}"
            out.mkdir()
            used[name].append(run(command_of(name, source, out, flags), f"{out}-{number}.log"))
            shutil.rmtree(out)
            usage = used[name][-1]
            print(
                f"round {number + 1}: {name:12} {flags.events / usage.seconds:9,.0f} events/s "
                f"{usage.cpu_seconds / flags.events * 1e6:6.1f} us of processor each, "
                f"{usage.peak_bytes / 2**30:.2f} GiB",
                flush=True,
            )
    return used


def summary(used: dict[str, list[Usage]], flags: argparse.Namespace) -> dict:
    """Returns medians and ratios."""
    result: dict = {"events": flags.events, "format": flags.format, "skewed": flags.skewed}
    rates = {}
    for name, usages in used.items():
        rates[name] = statistics.median(flags.events / usage.seconds for usage in usages)
        result[name] = {
            "events_per_second": rates[name],
            "cpu_microseconds_per_event": statistics.median(
                usage.cpu_seconds / flags.events * 1e6 for usage in usages
            ),
            "peak_bytes": max(usage.peak_bytes for usage in usages),
        }
    for name in set(rates) - {"ours"}:
        if "ours" in rates:
            result[f"ours_over_{name}"] = rates["ours"] / rates[name]
    return result


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=500_000, help="events of the day")
    parser.add_argument("--format", choices=["parquet", "jsonl", "csv"], default="parquet")
    parser.add_argument("--shards", type=int, default=8, help="shards of a split")
    parser.add_argument("--rounds", type=int, default=3, help="times each contender runs")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--skewed", action="store_true", help="one heavy user, one hot item")
    parser.add_argument("--out", help="a JSON file for the figures")
    for own in ("worker", "source", "folder"):
        parser.add_argument(f"--{own}", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.skewed and flags.format != "parquet":
        parser.error("--skewed needs --format=parquet")
    return flags


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    flags = parse(arguments)
    if flags.worker:
        work(flags)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if len(flags.contenders) > 1:
            check(folder, flags)
            print("all contenders make the same examples", flush=True)
        result = summary(measure(folder, flags), flags)
    print(json.dumps(result, indent=1))
    if flags.out:
        pathlib.Path(flags.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
