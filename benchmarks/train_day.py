"""Training on a day of TFRecords from disk, as the daily job does, against its bare steps.

    python -m benchmarks.train_day --out=FILE.json
    python -m benchmarks.train_day --parts none "all, recency"

The model is that of `benchmarks.train_step`, or with `--parts` those of `benchmarks.model_parts`
one after the other, with their items and histories of as many. Written are days of examples,
gzipped, of which the first is trained on to trace the graphs. Then take turns: a day through
`Trainer.train_day` (reading, parsing, steps, Keras' callbacks, TensorBoard; not the checkpoint at
its end), and bare steps of the same model on batches parsed before and held in memory. Each is the
rate over its whole run. Both make the same number of steps, or nothing is reported.
"""

import argparse
import datetime
import itertools
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import model_parts
from benchmarks.builds.encoding import encode
from benchmarks.contenders.ours import config_of, names
from benchmarks.contenders.problem import HISTORY, draw
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.storage import EXAMPLES, Workdir
from twotower_tf.training.trainer import Trainer

import tensorflow as tf  # isort: skip

_FIRST_DAY = datetime.date(2026, 1, 1)
_SHARDS = 2


def write_day(workdir: Workdir, day: datetime.date, examples: Sequence[bytes]) -> None:
    """Publishes a day of examples, as `build_examples` would."""
    manifest: dict = {"counts": {"examples": len(examples)}, "shards": []}
    with workdir.partition(EXAMPLES, day).write(manifest) as folder:
        for shard in range(_SHARDS):
            name = f"train-{shard:05d}-of-{_SHARDS:05d}.tfrecord.gz"
            count = write_records(f"{folder}/{name}", examples[shard::_SHARDS])
            manifest["shards"].append({"file": name, "records": count})


def drawn(random: np.random.Generator, examples: int) -> list[bytes]:
    """Returns examples of the model of `benchmarks.train_step`."""
    ids = names(draw(random, examples * (HISTORY + 2)))
    rows = ids.astype(object).reshape(examples, HISTORY + 2)
    return [
        _example(item, {"query/seed_item_id": [seed], "query/history": list(history)}, seed)
        for seed, item, *history in rows
    ]


def _example(
    item: str,
    features: dict[str, list[str]],
    seed: str = "",
    numbers: Mapping[str, list[float]] | None = None,
) -> bytes:
    texts = {
        "user_id": ["somebody"],
        "item_id": [item],
        "seed_item_id": [seed],
        "candidate/item_id": [item],
        **features,
    }
    return encode(texts, {"reward": [1.0], **(numbers or {})}, {"timestamp": [0]})


class Parts:
    """What the models of `benchmarks.model_parts` are trained on."""

    def __init__(self, items: int):
        self._items = model_parts.catalogue(items)

    def publish_catalogue(self, workdir: Workdir, folder: str, config: Config) -> None:
        """Publishes the catalogue of the first day, as `build_examples` would."""
        source = pathlib.Path(folder, "items.jsonl")
        with source.open("w") as file:
            for number, item in enumerate(self._items.item_ids):
                features = self._features(number)
                line = {"item_id": item, "tags": features["tags"], "title": features["title"][0]}
                file.write(json.dumps(line) + "\n")
        parsed = catalogue.parse_catalogue([SourceFile(str(source), "jsonl")], folder, config)
        manifest = {"shards": [{"file": catalogue.FILE}]}
        with workdir.partition(catalogue.KIND, _FIRST_DAY).write(manifest) as staging:
            catalogue.write_catalogue(parsed, f"{staging}/{catalogue.FILE}")

    def drawn(self, random: np.random.Generator, examples: int) -> list[bytes]:
        """Returns examples."""
        return [self._example(rows, random) for rows in self._rows(random, examples)]

    def _rows(self, random: np.random.Generator, examples: int) -> np.ndarray:
        shape = (examples, HISTORY + 1)
        chances = 1 / np.arange(1, len(self._items) + 1)
        return random.choice(len(self._items), shape, p=chances / chances.sum())

    def _example(self, rows: np.ndarray, random: np.random.Generator) -> bytes:
        own = {f"candidate/{name}": texts for name, texts in self._features(rows[0]).items()}
        query = {
            "query/history": self._items.item_ids[rows[1:]].tolist(),
            "query/device": [f"d{random.integers(4)}"],
        }
        days = np.sort(random.exponential(30.0, HISTORY))[::-1].tolist()
        return _example(
            self._items.item_ids[rows[0]], own | query, numbers={"query/history_days": days}
        )

    def _features(self, number: int) -> dict[str, list[str]]:
        tags, title = self._items.features["tags"], self._items.features["title"]
        start, end = tags.row_splits[number : number + 2]
        return {"tags": tags.values[start:end].tolist(), "title": [title[number]]}


class Day:
    """Times days through the trainer, and as many bare steps."""

    def __init__(self, flags: argparse.Namespace, folder: str, name: str | None):
        self._examples = flags.batch * flags.steps
        self._workdir = Workdir(folder)
        self._days = [_FIRST_DAY + datetime.timedelta(days=n) for n in range(flags.days + 1)]
        draw_some = drawn
        if name is None:
            config = config_of(flags.batch, flags.layers, flags.buckets)
        else:
            part = model_parts.parts()[name]
            config = model_parts.configuration(part, flags.batch, HISTORY, flags.layers)
            parts = Parts(flags.items)
            parts.publish_catalogue(self._workdir, folder, config)
            draw_some = parts.drawn
        for day in self._days:
            random = np.random.default_rng(day.toordinal())
            write_day(self._workdir, day, draw_some(random, self._examples))
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


def measured(flags: argparse.Namespace, name: str | None) -> dict:
    """Measures the days of a model and prints them; returns what is reported."""
    with tempfile.TemporaryDirectory() as folder:
        rates = Day(flags, folder, name).measure()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    share = statistics.median(
        day / bare for day, bare in zip(rates["day"], rates["bare_step"], strict=True)
    )
    if name is not None:
        print(name)
    for what, rate in medians.items():
        print(f"{what:10} {rate:9,.0f} examples/s")
    print(f"a day has {share:.1%} of the bare step's rate")
    return {"examples_per_second": medians, "share_of_bare_step": share, "measured": rates}


def main() -> None:
    """Measures some days and writes the rates as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--layers", type=int, nargs="+", default=[1024, 512, 128])
    parser.add_argument("--buckets", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=12, help="steps a day")
    parser.add_argument("--days", type=int, default=3, help="days measured")
    parser.add_argument("--parts", nargs="+", choices=model_parts.parts())
    parser.add_argument("--items", type=int, default=20_000, help="items, with --parts")
    flags = parser.parse_args()
    report = {"batch": flags.batch, "layers": flags.layers, "buckets": flags.buckets}
    if flags.parts is None:
        report |= measured(flags, None)
    else:
        report["items"] = flags.items
        report["parts"] = {name: measured(flags, name) for name in flags.parts}
    if flags.out:
        flags.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
