"""What each part of the model costs: milliseconds a training step and a request.

    python -m benchmarks.model_parts --out=FILE.json
    python -m benchmarks.model_parts --batch=1024 --history=20
    python -m benchmarks.model_parts --batch=8192 --history=20 --layers 1024 512 128 \\
        --items=100000 --steps=2 --rounds=3 --stock

Each part is a model of its own, in this process, with the same items, histories and batches; they
take turns, some steps and some requests each, so that what else the machine does falls on all
alike. The peer is the model without any part: ids of a shared table in both towers, the history's
mean, layers in both. Of the others the query tower has these layers, and the candidate tower sums
its features. Prints medians over the rounds, and ratios to it. A request is one query through the
query tower, as a release runs it. With `--stock`, the stock TFRS task also trains the towers of the
peer, and those of all parts, without an estimator. `benchmarks.train_day --parts` measures days.
"""

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Sequence

import numpy as np

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip
import tensorflow_recommenders as tfrs  # isort: skip

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.models.two_tower import TwoTowerModel

TAGS, WORDS, DIM = 3, 6, 64
PLAIN = "none"
# The layers are those of the query tower, in PLAIN of both.
LAYERS = (2 * DIM, DIM)
STOCK = "stock TFRS: "
_BESIDE_STOCK = (PLAIN, "all, recency")
_TABLES = {name: {"buckets": 1 << 16, "dim": DIM} for name in ("items", "tags", "words")}


def parts() -> dict[str, dict]:
    """Returns the sections of each model by what it has: of the history's encoder, and others."""
    encoders = ("mean", "recency", "attention", "gru", "transformer")
    with_times = ("recency", "transformer")
    usual = {"encode": "item"}
    found = {PLAIN: {"history": {"table": "items"}}}
    found["all, no dropout"] = {
        "history": usual | {"encoder": "recency"},
        "query": {"dropout": 0.0},
        "candidate": {"vector_dropout": 0.0},
    }
    found["all, no skips"] = {"history": usual, "query": {"residual": []}}
    for kind in encoders:
        found[f"all, {kind}"] = {"history": usual | {"encoder": kind}}
    for kind in with_times:
        encoder = {"kind": kind, "times": True}
        found[f"all, {kind} by time"] = {"history": usual | {"encoder": encoder}}
    learned = {"temperature": {"learned": True}}
    found["all, learned temperature"] = {"history": usual, "top": {"loss": learned}}
    return found


def configuration(part: dict, batch: int, history: int, layers: Sequence[int] = LAYERS) -> Config:
    """Returns the configuration of a part, with the layers given."""
    query = {"layers": list(layers)}
    if part["history"].get("encode") == "item":
        query |= {"residual": ["history"], "dropout": 0.2}
        candidate = {"dim": layers[-1]}
    else:
        candidate = query
    values = {
        "name": "parts",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "tables": _TABLES,
        "examples": {"history_length": history, "shards": 2},
        "query": {
            "features": [
                {"name": "history", "kind": "id_bag", **part["history"]},
                {"name": "device", "kind": "category"},
            ],
            **query,
            **part.get("query", {}),
        },
        "candidate": {
            "features": [
                {"name": "item_id", "kind": "id", "table": "items"},
                {"name": "tags", "kind": "id_bag", "table": "tags"},
                {"name": "title", "kind": "text", "table": "words"},
            ],
            **candidate,
            **part.get("candidate", {}),
        },
        "estimator": {"buckets": 50_000},
        "training": {"batch_size": batch},
        **part.get("top", {}),
    }
    return Config.model_validate(values)


def catalogue(items: int = 20_000) -> Catalogue:
    """Returns the items: an id, some tags and a title each."""
    random = np.random.default_rng(1)
    ids = np.array([f"i{number}" for number in range(items)], object)
    tags = np.array([f"t{one}" for one in random.integers(0, 500, items * TAGS)], object)
    words = random.integers(0, 5000, (items, WORDS))
    titles = np.array([" ".join(f"w{one}" for one in row) for row in words], object)
    lists = Lists(tags, np.arange(items + 1) * TAGS)
    return Catalogue(ids, {"item_id": ids, "tags": lists, "title": titles})


def batches(items: Catalogue, size: int, history: int, count: int) -> list[dict]:
    """Returns batches whose items and histories are drawn by Zipf's law, exponent 1."""
    random = np.random.default_rng(2)
    chances = 1 / np.arange(1, len(items) + 1)
    chances /= chances.sum()
    found = []
    for _ in range(count):
        rows = random.choice(len(items), size, p=chances)
        past = items.item_ids[random.choice(len(items), size * history, p=chances)]
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


class Stock(tfrs.Model):
    """The stock retrieval task on the towers of one of our models, without a correction."""

    def __init__(self, towers: TwoTowerModel):
        super().__init__()
        self.query_tower, self.candidate_tower = towers.query_tower, towers.candidate_tower
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True, temperature=0.05)
        self.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))

    def compute_loss(self, batch, training=False):
        """See ``tfrs.Model``."""
        total = self.task(
            self.query_tower(batch["query"], training=training),
            self.candidate_tower(batch["candidate"], training=training),
            candidate_ids=batch["item_id"],
            compute_metrics=False,
        )
        return total / tf.cast(tf.size(batch["item_id"]), tf.float32)


class Part:
    """A model, its batches, and what it took.

    Attributes:
        steps, requests: Milliseconds, a number a round.
    """

    def __init__(
        self, config: Config, items: Catalogue, given: list[dict], query: dict, stock: bool = False
    ):
        self._model = TwoTowerModel.from_config(config)
        if self._model.item_features is not None:
            self._model.item_features.set_catalogue(items)
        self._batches = given
        self._query = {raw.name: query[raw.name] for raw in raw_features(config, "query")}
        tower = self._model.query_tower
        self._asked = tf.function(lambda raw: tower(raw), autograph=False, reduce_retracing=True)
        self._trained = Stock(self._model) if stock else self._model
        self._step = tf.function(self._trained.train_step, autograph=stock, reduce_retracing=True)
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


def models(flags: argparse.Namespace) -> dict[str, Part]:
    """Makes the models that the flags name, on one catalogue and the same batches."""
    items = catalogue(flags.items)
    given = batches(items, flags.batch, flags.history, flags.steps)
    (one,) = batches(items, 1, flags.history, 1)
    made = {}
    for name in flags.parts:
        config = configuration(parts()[name], flags.batch, flags.history, flags.layers)
        made[name] = Part(config, items, given, one["query"])
        if flags.stock and name in _BESIDE_STOCK:
            made[STOCK + name] = Part(config, items, given, one["query"], stock=True)
    return made


def main() -> None:
    """Measures all parts in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--batch", type=int, default=128, help="examples a step")
    parser.add_argument("--history", type=int, default=50, help="items in each history")
    parser.add_argument("--layers", type=int, nargs="+", default=list(LAYERS))
    parser.add_argument("--items", type=int, default=20_000, help="items in the catalogue")
    parser.add_argument("--parts", nargs="+", choices=parts(), default=list(parts()))
    parser.add_argument("--stock", action="store_true", help="measure the stock TFRS task too")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each part")
    parser.add_argument("--steps", type=int, default=8, help="steps a turn")
    parser.add_argument("--requests", type=int, default=50, help="requests a turn")
    flags = parser.parse_args()
    measured = models(flags)
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
    first = figures[flags.parts[0]]
    print(f"{'parts':<28}{'step ms':>9}{'ratio':>7}{'request ms':>12}{'ratio':>7}")
    for name, figure in figures.items():
        step, request = figure["step_ms"], figure["request_ms"]
        ratios = step / first["step_ms"], request / first["request_ms"]
        print(f"{name:<28}{step:>9.2f}{ratios[0]:>7.2f}{request:>12.3f}{ratios[1]:>7.2f}")
    if flags.out:
        flags.out.write_text(json.dumps({"settings": vars(flags) | {"out": None}, **figures}))


if __name__ == "__main__":
    main()
