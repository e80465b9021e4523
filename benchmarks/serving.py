"""What a release costs end to end, over its query tower and its index alone.

    python -m benchmarks.serving --out=FILE.json
    python -m benchmarks.serving --items=1000000 --kind=scann

The query tower of configs/youtube.yaml with smaller tables, untrained; items with random ids,
their vectors scattered around those of some queries, so that queries have near items as trained
ones do; an index with a recall of 0.97 on other queries. Both SavedModels are asked as TensorFlow
Serving asks them, by a session:

- bare: query tower, index search and the ids of what it finds in one call, all features given, as
  `tfrs.layers.factorized_top_k.ScaNN` on the tower answers; item ids and scores out
- release: `serving_default` without excluded ids; item ids and scores out
- bare_more: the bare one asked for 200 items more, which any answer without 200 items has to find
- excluding: the release with the best 200 items of each query excluded

They take turns, some requests each, so that what else the machine does falls on all alike. First
the answers are compared: those of the release must be the bare ones', and those with excluded ids
what is left of more of them.
"""

import argparse
import functools
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from twotower_tf.config.registries import INDEX_KINDS
from twotower_tf.config_loader import load_config

# isort: split
import tensorflow as tf

from benchmarks.contenders.session import Session
from twotower_tf.examples.schema import raw_features
from twotower_tf.indexing.candidates.item_hashes import ItemHashes
from twotower_tf.indexing.kinds.index_recall import IndexRecall
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.serving import signatures
from twotower_tf.serving.stitching import StitchedModel

CONFIGURATION = pathlib.Path(__file__).parents[1] / "configs" / "youtube.yaml"
SMALLER = [
    "tables.videos.buckets=1000000",
    "tables.channels.buckets=100000",
    "estimator.buckets=1000",
]
_K = 100
_EXCLUDED = 200
_CLUSTERS = 1000
_TUNING = 200
_OVER = {"release": "bare", "excluding": "bare_more"}
_RECALL = 0.97
# The length of what is added to a centre of length 1.
_NOISE = 0.6


class Bare(tf.Module):
    """Query tower, index search and ids, with nothing around them."""

    def __init__(self, tower, index, item_ids, features):
        super().__init__()
        self._tower, self._index = tower, index
        self._item_ids = tf.Variable(item_ids, dtype=tf.string, trainable=False)
        inputs = [signatures.feature_input(raw) for raw in features]
        inputs.append(signatures.Input(tf.TensorSpec([], tf.int32, "k"), tf.constant(_K)))

        def bare(values):
            k, retrieve = values.pop("k"), index.retriever()
            scores, positions = retrieve(tower(signatures.as_trained(values, features)), k)
            return {"scores": scores, "item_ids": tf.gather(self._item_ids, positions)}

        self.serving_default = signatures.signature(bare, inputs)


class Problem:
    """Items, queries, and both SavedModels of them."""

    def __init__(self, flags: argparse.Namespace, folder: str):
        config = load_config(str(CONFIGURATION), SMALLER)
        self.features = raw_features(config, "query")
        self._random = np.random.default_rng(17)
        numbers = self._random.integers(2**40, 2**44, flags.items)
        self.item_ids = np.array([f"{number:x}" for number in numbers], object)
        model = TwoTowerModel.from_config(config)
        vectors = scattered(self._random, self._embedded(model, _CLUSTERS), flags.items)
        start = time.perf_counter()
        section = INDEX_KINDS.parse({"kind": flags.kind, "recall_at": _K})
        index = INDEX_KINDS.make(section, vectors)
        measured = IndexRecall(self._embedded(model, _TUNING), vectors, _K)
        self.recall = measured.reach(index, _RECALL)
        self.index_seconds = time.perf_counter() - start
        stitched = StitchedModel(
            model.query_tower,
            model.candidate_tower,
            index,
            ItemHashes(pa.array(self.item_ids), np.zeros(flags.items, np.uint64)),
            self.features,
            raw_features(config, "candidate"),
            _K,
            vectors.shape[1],
        )
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        bare = Bare(model.query_tower, index, self.item_ids, self.features)
        release, alone = (os.path.join(folder, name) for name in ("release", "bare"))
        start = time.perf_counter()
        stitched.save(release, section)
        self.save_seconds = time.perf_counter() - start
        tf.saved_model.save(bare, alone, bare.serving_default, options)
        self.release, self.bare = _asked(release), _asked(alone)

    def _embedded(self, model: TwoTowerModel, count: int) -> np.ndarray:
        queries = {name: value for name, value in self.queries(count).items() if name != "k"}
        inputs = [signatures.feature_input(raw) for raw in self.features]
        embed = signatures.signature(
            lambda values: model.query_tower(signatures.as_trained(values, self.features)), inputs
        )
        return embed(**queries).numpy()

    def queries(self, count: int) -> dict[str, np.ndarray]:
        """Raw features of so many queries, histories of 50, and k."""
        made = {}
        for raw in self.features:
            if not raw.type.holds_text:
                made[raw.name] = self._random.uniform(10, 80, count).astype(np.float32)
            else:
                shape = (count, 50) if raw.type.is_list else count
                made[raw.name] = self._random.choice(self.item_ids, shape)
        return {**made, "k": np.int32(_K)}


def _asked(folder: str) -> Callable[[dict], dict]:
    return functools.partial(Session(folder).ask, "serving_default")


def scattered(random: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    """Unit vectors, float32 [count, d], around centres, [c, d]."""
    dim = centres.shape[1]
    vectors = random.standard_normal((count, dim), np.float32)
    vectors *= np.float32(_NOISE / dim**0.5)
    vectors += centres[random.integers(len(centres), size=count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def best_ids(problem: Problem, query: dict, count: int) -> np.ndarray:
    """The ids of the best items of queries, by the bare index."""
    answer = problem.bare({**query, "k": np.int32(count)})
    return answer["item_ids"].astype(str).astype(object)


def check(problem: Problem, exact: bool) -> None:
    """Raises an error unless release and bare index give the same, excluded ids left out."""
    query = problem.queries(8)
    got = problem.release(query)
    np.testing.assert_array_equal(got["item_ids"].astype(str), best_ids(problem, query, _K))
    more = best_ids(problem, query, _K + _EXCLUDED)
    seen = more[:, :_EXCLUDED]
    left = problem.release({**query, "exclude_ids": seen})["item_ids"].astype(str)
    if left.shape != (8, _K):
        raise AssertionError(f"{left.shape} items came with excluded ids, not {(8, _K)}")
    for row, own in zip(left, seen, strict=True):
        if set(row) & set(own):
            raise AssertionError("an excluded id came")
    if exact:
        np.testing.assert_array_equal(left, more[:, _EXCLUDED:])


def measure(problem: Problem, flags: argparse.Namespace, batch: int) -> dict[str, list[float]]:
    """Seconds of each request of each contender, in turn."""
    requests = [problem.queries(batch) for _ in range(flags.requests)]
    more = [{**one, "k": np.int32(_K + _EXCLUDED)} for one in requests]
    excluding = [{**one, "exclude_ids": best_ids(problem, one, _EXCLUDED)} for one in requests]
    contenders = {
        "bare": (problem.bare, requests),
        "release": (problem.release, requests),
        "bare_more": (problem.bare, more),
        "excluding": (problem.release, excluding),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(flags.rounds + 1):
        for name, (ask, asked) in contenders.items():
            for request in asked:
                start = time.perf_counter()
                ask(request)
                # The first turn warms up.
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(seconds: dict[str, list[float]], batch: int) -> dict:
    """Percentiles in milliseconds, queries a second, and the medians over those of the bare."""
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {
        name: {
            **{f"p{p}_ms": 1e3 * float(np.percentile(values, p)) for p in (50, 95, 99)},
            "queries_per_second": batch * len(values) / sum(values),
            "over_bare": medians[name] / medians[_OVER.get(name, name)],
        }
        for name, values in seconds.items()
    }


def main() -> None:
    """Measures one size of catalogue, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--kind", choices=INDEX_KINDS.sections, default="scann")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--requests", type=int, default=50, help="requests of a turn")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each contender")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        problem = Problem(flags, folder)
        check(problem, exact=flags.kind == "brute_force")
        measured = {batch: measure(problem, flags, batch) for batch in flags.batches}
    report = {
        "items": flags.items,
        "kind": flags.kind,
        "k": _K,
        "recall": problem.recall,
        "excluded": _EXCLUDED,
        "index_seconds": problem.index_seconds,
        "save_seconds": problem.save_seconds,
        "batches": {batch: summary(seconds, batch) for batch, seconds in measured.items()},
    }
    print(f"{flags.items:,} items, {flags.kind}, recall {problem.recall:.3f} at k {_K}")
    for batch, rows in report["batches"].items():
        for name, row in rows.items():
            print(
                f"batch {batch:3} {name:10} p50 {row['p50_ms']:8.2f}  p95 {row['p95_ms']:8.2f}  "
                f"p99 {row['p99_ms']:8.2f} ms {row['queries_per_second']:9,.0f} queries/s  "
                f"{row['over_bare']:5.2f} times the p50 of {_OVER.get(name, name)}"
            )
    if flags.out:
        flags.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
