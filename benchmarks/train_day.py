"""Training on a day of TFRecords from disk, as the daily job does, against its bare steps.

    python -m benchmarks.train_day --out=FILE.json

The model is that of `benchmarks.train_step`. Written are days of examples, gzipped, of which the
first is trained on to trace the graphs. Then take turns: a day through `Trainer.train_day`
(reading, parsing, steps, Keras' callbacks, TensorBoard; not the checkpoint at its end), and bare
steps of the same model on batches parsed before and held in memory. Each is the rate over its
whole run. Both make the same number of steps, or nothing is reported.
"""

import argparse
import datetime
import itertools
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np

from benchmarks.builds.encoding import encode
from benchmarks.contenders.ours import config_of, names
from benchmarks.contenders.problem import HISTORY, draw
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.storage import EXAMPLES, Workdir
from twotower_tf.training.trainer import Trainer

import tensorflow as tf  # isort: skip

_FIRST_DAY = datetime.date(2026, 1, 1)
_SHARDS = 2


def write_day(workdir: Workdir, day: datetime.date, examples: int) -> None:
    """Publishes a day of examples, as `build_examples` would."""
    random = np.random.default_rng(day.toordinal())
    ids = names(draw(random, examples * (HISTORY + 2)))
    rows = ids.astype(object).reshape(examples, HISTORY + 2)
    manifest: dict = {"counts": {"examples": examples}, "shards": []}
    with workdir.partition(EXAMPLES, day).write(manifest) as folder:
        for shard in range(_SHARDS):
            name = f"train-{shard:05d}-of-{_SHARDS:05d}.tfrecord.gz"
            count = write_records(f"{folder}/{name}", map(_example, rows[shard::_SHARDS]))
            manifest["shards"].append({"file": name, "records": count})


def _example(ids: np.ndarray) -> bytes:
    seed, item, history = ids[0], ids[1], list(ids[2:])
    texts = {
        "user_id": ["somebody"],
        "item_id": [item],
        "seed_item_id": [seed],
        "candidate/item_id": [item],
        "query/seed_item_id": [seed],
        "query/history": history,
    }
    return encode(texts, {"reward": [1.0]}, {"timestamp": [0]})


class Day:
    """Times days through the trainer, and as many bare steps."""

    def __init__(self, flags: argparse.Namespace, folder: str):
        self._examples = flags.batch * flags.steps
        self._workdir = Workdir(folder)
        self._days = [_FIRST_DAY + datetime.timedelta(days=n) for n in range(flags.days + 1)]
        for day in self._days:
            write_day(self._workdir, day, self._examples)
        config = config_of(flags.batch, flags.layers, flags.buckets)
        self._trainer = Trainer(config, self._workdir)
        first = self._workdir.partition(EXAMPLES, self._days[0])
        read = ExampleReader(config).read(first, "train", flags.batch)
        self._batches = list(itertools.islice(read, 4))
        self._step = tf.function(self._trainer.model.train_step, reduce_retracing=True)
        self._steps = flags.steps

    def measure(self) -> dict[str, list[float]]:
        """Examples a second: by name, one for every day but the first."""
        rates: dict[str, list[float]] = {"day": [], "bare_step": [], "reading": []}
        for number, day in enumerate(self._days):
            before = int(self._trainer.model.optimizer.iterations)
            rate = self._trainer.train_day(day)["examples_per_second"]
            assert int(self._trainer.model.optimizer.iterations) == before + self._steps
            bare, reading = self._bare(), self._reading(day)
            if number:
                rates["day"].append(rate)
                rates["bare_step"].append(bare)
                rates["reading"].append(reading)
        return rates

    def _bare(self) -> float:
        self._step(self._batches[0])["loss"].numpy()
        start = time.perf_counter()
        for number in range(self._steps):
            self._step(self._batches[number % len(self._batches)])["loss"].numpy()
        return self._examples / (time.perf_counter() - start)

    def _reading(self, day: datetime.date) -> float:
        partition = self._workdir.partition(EXAMPLES, day)
        batch = self._examples // self._steps
        start = time.perf_counter()
        for _ in self._trainer._reader.read(partition, "train", batch):
            pass
        return self._examples / (time.perf_counter() - start)


def main() -> None:
    """Measures some days and writes the rates as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--layers", type=int, nargs="+", default=[1024, 512, 128])
    parser.add_argument("--buckets", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=12, help="steps a day")
    parser.add_argument("--days", type=int, default=3, help="days measured")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates = Day(flags, folder).measure()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    share = statistics.median(
        day / bare for day, bare in zip(rates["day"], rates["bare_step"], strict=True)
    )
    for name, rate in medians.items():
        print(f"{name:10} {rate:9,.0f} examples/s")
    print(f"a day has {share:.1%} of the bare step's rate")
    report = {
        "batch": flags.batch,
        "layers": flags.layers,
        "buckets": flags.buckets,
        "examples_per_second": medians,
        "share_of_bare_step": share,
        "measured": rates,
    }
    if flags.out:
        flags.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
