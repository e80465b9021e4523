"""What each part of the model costs: milliseconds a training step and a request.

    python -m benchmarks.model_parts --out=FILE.json
    python -m benchmarks.model_parts --batch=1024 --history=20

Each part is a model of its own, in this process, with the same items, histories and batches; they
take turns, some steps and some requests each, so that what else the machine does falls on all
alike. The peer is the model without any part: ids of a shared table in both towers, the history's
mean, layers of twice the dimension and of the dimension. Prints medians over the rounds, and
ratios to it. A request is one query through the query tower, as a release runs it.
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.models.two_tower import TwoTowerModel

ITEMS, TAGS, WORDS, DIM = 20_000, 3, 6, 64
PLAIN = "none"
_BATCHES = 8
_TABLES = {name: {"buckets": 1 << 16, "dim": DIM} for name in ("items", "tags", "words")}


def parts() -> dict[str, dict]:
    """Returns the sections of each model by what it has: of the history's encoder, and others."""
    encoders = ("mean", "recency", "attention", "gru", "transformer")
    with_times = ("recency", "transformer")
    usual = {"encode": "item"}
    found = {PLAIN: {"history": {"table": "items"}, "towers": {"layers": [2 * DIM, DIM]}}}
    found["all, no dropout"] = {
        "history": usual | {"encoder": "recency"},
        "query": {"dropout": 0.0},
        "candidate": {"vector_dropout": 0.0},
    }
    for kind in encoders:
        found[f"all, {kind}"] = {"history": usual | {"encoder": kind}}
    for kind in with_times:
        encoder = {"kind": kind, "times": True}
        found[f"all, {kind} by time"] = {"history": usual | {"encoder": encoder}}
    learned = {"temperature": {"learned": True}}
    found["all, learned temperature"] = {"history": usual, "top": {"loss": learned}}
    return found


def configuration(part: dict, batch: int, history: int) -> Config:
    """Returns the configuration of a part."""
    towers = part.get("towers", {})
    values = {
        "name": "parts",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "tables": _TABLES,
        "examples": {"history_length": history},
        "query": {
            "features": [
                {"name": "history", "kind": "id_bag", **part["history"]},
                {"name": "device", "kind": "category"},
            ],
            **towers,
            **part.get("query", {}),
        },
        "candidate": {
            "features": [
                {"name": "item_id", "kind": "id", "table": "items"},
                {"name": "tags", "kind": "id_bag", "table": "tags"},
                {"name": "title", "kind": "text", "table": "words"},
            ],
            **towers,
            **part.get("candidate", {}),
        },
        "estimator": {"buckets": 50_000},
        "training": {"batch_size": batch},
        **part.get("top", {}),
    }
    return Config.model_validate(values)


def catalogue() -> Catalogue:
    """Returns the items: an id, some tags and a title each."""
    random = np.random.default_rng(1)
    ids = np.array([f"i{number}" for number in range(ITEMS)], object)
    tags = np.array([f"t{one}" for one in random.integers(0, 500, ITEMS * TAGS)], object)
    words = random.integers(0, 5000, (ITEMS, WORDS))
    titles = np.array([" ".join(f"w{one}" for one in row) for row in words], object)
    lists = Lists(tags, np.arange(ITEMS + 1) * TAGS)
    return Catalogue(ids, {"item_id": ids, "tags": lists, "title": titles})


def batches(items: Catalogue, size: int, history: int, count: int) -> list[dict]:
    """Returns batches whose items and histories are drawn by Zipf's law, exponent 1."""
    random = np.random.default_rng(2)
    chances = 1 / np.arange(1, ITEMS + 1)
    chances /= chances.sum()
    found = []
    for _ in range(count):
        rows = random.choice(ITEMS, size, p=chances)
        past = items.item_ids[random.choice(ITEMS, size * history, p=chances)]
        days = np.sort(random.exponential(30.0, (size, history)))[:, ::-1].astype(np.float32)
        splits = np.arange(size + 1) * history

        def ragged(values, splits=splits):
            return tf.RaggedTensor.from_row_splits(tf.constant(values), splits)

        tags = items.features["tags"].take(rows)
        found.append(
            {
                "query": {
                    "history": ragged(past.tolist()),
                    "history_days": ragged(days.ravel()),
                    "device": tf.constant([f"d{one}" for one in random.integers(0, 4, size)]),
                },
                "candidate": {
                    "item_id": tf.constant(items.item_ids[rows].tolist()),
                    "tags": tf.RaggedTensor.from_row_splits(
                        tf.constant(tags.values.tolist()), tags.row_splits
                    ),
                    "title": tf.constant(items.features["title"][rows].tolist()),
                },
                "item_id": tf.constant(items.item_ids[rows].tolist()),
                "reward": tf.ones([size]),
            }
        )
    return found


class Part:
    """A model, its batches, and what it took.

    Attributes:
        steps, requests: Milliseconds, a number a round.
    """

    def __init__(self, config: Config, items: Catalogue, given: list[dict], query: dict):
        self._model = TwoTowerModel.from_config(config)
        if self._model.item_features is not None:
            self._model.item_features.set_catalogue(items)
        self._batches = given
        self._query = {raw.name: query[raw.name] for raw in raw_features(config, "query")}
        tower = self._model.query_tower
        self._asked = tf.function(lambda raw: tower(raw), autograph=False, reduce_retracing=True)
        self._step = tf.function(self._model.train_step, autograph=False, reduce_retracing=True)
        self.steps: list[float] = []
        self.requests: list[float] = []

    def turn(self, requests: int) -> None:
        """Trains on each batch once, then answers some requests; notes what each took."""
        start = time.perf_counter()
        for batch in self._batches:
            self._step(batch)
        self.steps.append((time.perf_counter() - start) / len(self._batches) * 1000)
        start = time.perf_counter()
        for _ in range(requests):
            self._asked(self._query)
        self.requests.append((time.perf_counter() - start) / requests * 1000)


def main() -> None:
    """Measures all parts in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--batch", type=int, default=128, help="examples a step")
    parser.add_argument("--history", type=int, default=50, help="items in each history")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each part")
    parser.add_argument("--requests", type=int, default=50, help="requests a turn")
    flags = parser.parse_args()
    items = catalogue()
    given = batches(items, flags.batch, flags.history, _BATCHES)
    (one,) = batches(items, 1, flags.history, 1)
    measured = {
        name: Part(configuration(part, flags.batch, flags.history), items, given, one["query"])
        for name, part in parts().items()
    }
    for part in measured.values():
        part.turn(1)
        part.steps.clear()
        part.requests.clear()
    for _ in range(flags.rounds):
        for part in measured.values():
            part.turn(flags.requests)
    figures = {
        name: {"step_ms": statistics.median(p.steps), "request_ms": statistics.median(p.requests)}
        for name, p in measured.items()
    }
    plain = figures[PLAIN]
    print(f"{'parts':<28}{'step ms':>9}{'ratio':>7}{'request ms':>12}{'ratio':>7}")
    for name, figure in figures.items():
        step, request = figure["step_ms"], figure["request_ms"]
        ratios = step / plain["step_ms"], request / plain["request_ms"]
        print(f"{name:<28}{step:>9.2f}{ratios[0]:>7.2f}{request:>12.3f}{ratios[1]:>7.2f}")
    if flags.out:
        flags.out.write_text(json.dumps({"settings": vars(flags) | {"out": None}, **figures}))


if __name__ == "__main__":
    main()
