"""What ranking adds to a request: the release's `recommend` over its candidates alone.

    python -m benchmarks.serving_ranking --out=FILE.json
    python -m benchmarks.serving_ranking --items=1000000 --candidates 100 500

The query tower and the ranking model of configs/youtube.yaml with smaller tables, untrained; an
item is the sum of its features' vectors, ranking has layers [512, 256]. A request has 50 watched
and 50 shown items, and 50 own items for the nominator beside the index. It is asked by a session as
TensorFlow Serving asks it, with --threads threads an operation:

- retrieval: query tower and index alone, as many items as are ranked
- candidates: the same, own items merged, none of them twice
- lookup: the features of as many items, found by their ids' fingerprints
- recommend: all of it

They take turns, so that what else the machine does falls on all alike. Merging is what candidates
take beyond retrieval; its and the lookup's share are of the whole.
"""

import argparse
import functools
import json
import os
import pathlib
import tempfile

import numpy as np
import pyarrow as pa

from twotower_tf.config.registries import INDEX_KINDS
from twotower_tf.config_loader import load_config

# isort: split
import tensorflow as tf

from benchmarks.contenders.session import Session
from benchmarks.contenders.turns import as_text, percentiles, seconds_in_turn
from benchmarks.serving import CONFIGURATION, SMALLER, scattered
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.indexing.candidates.item_hashes import ItemHashes
from twotower_tf.indexing.kinds.index_recall import IndexRecall
from twotower_tf.indexing.nominators.blend import fit_blend
from twotower_tf.indexing.nominators.nominator import beside_the_index
from twotower_tf.models.ranking.ranking_model import RankingModel
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.serving import signatures
from twotower_tf.serving.blending import Blending
from twotower_tf.serving.candidates import CandidateStage
from twotower_tf.serving.fresh_items import FreshItems
from twotower_tf.serving.ranking_stage import RankingStage, request_features
from twotower_tf.serving.retrieval import Request, nearest
from twotower_tf.serving.stitching import StitchedModel

_RANKED = [
    "source.events.columns={seed_item_id: seed_item_id, dwell: watched_seconds}",
    "source.impressions={path: 'shown/dt={date}/*.jsonl', columns: {score: score, source: by}}",
    "examples.own_length=100",
    "candidate.layers=[]",
    "candidate.combine=sum",
    "candidate.dim=128",
    "nominators=[index, own_items]",
]
_K, _PAST, _OWN = 20, 50, 50
_CLUSTERS, _TUNING, _RECALL = 1000, 200, 0.97


class Problem:
    """Items with random features, a release that ranks them, and its parts apart."""

    def __init__(self, flags: argparse.Namespace, candidates: int, folder: str):
        config = load_config(
            str(CONFIGURATION), [*SMALLER, *_RANKED, f"ranking={_section(flags, candidates)}"]
        )
        self._random = np.random.default_rng(17)
        self.candidates = candidates
        numbers = self._random.integers(2**40, 2**44, flags.items)
        self.item_ids = np.array([f"{number:x}" for number in np.sort(numbers)], object)
        tower = TwoTowerModel.from_config(config)
        self.features = raw_features(config, "query")
        self.dim = config.candidate.dimension
        vectors = scattered(self._random, self._embedded(tower, _CLUSTERS), flags.items)
        section = INDEX_KINDS.parse({"kind": flags.kind, "recall_at": candidates})
        index = INDEX_KINDS.make(section, vectors)
        measured = IndexRecall(self._embedded(tower, _TUNING), vectors, candidates)
        self.recall = measured.reach(index, _RECALL)
        nominators = beside_the_index(config)
        blending = Blending(nominators, fit_blend([], nominators), index, self.item_ids, vectors)
        stage = CandidateStage(config.nominators, candidates, index, blending)
        model = RankingModel.from_config(config)
        model.item_features.set_catalogue(self._catalogue())
        self.bytes_per_item = model.item_features.bytes_per_item
        ranking = RankingStage(model, stage, request_features(config))
        self.fresh_rows = ranking.fresh_rows
        self.inputs = (*self.features, *blending.inputs, *ranking.inputs)
        self.asked_of_parts = [raw.name for raw in (*self.features, *blending.inputs)]
        parts = Parts(tower, self.features, blending.inputs, model, index, stage, self)
        stitched = StitchedModel(
            tower.query_tower,
            tower.candidate_tower,
            index,
            ItemHashes(pa.array(self.item_ids), np.zeros(flags.items, np.uint64)),
            self.features,
            raw_features(config, "candidate"),
            _K,
            vectors.shape[1],
            blending,
            ranking,
        )
        release, apart = (os.path.join(folder, name) for name in ("release", "parts"))
        stitched.save(release, section)
        parts.save(apart)
        self.release = Session(release, flags.threads)
        self.parts = Session(apart, flags.threads)

    def _embedded(self, model: TwoTowerModel, count: int) -> np.ndarray:
        queries = {raw.name: self._values(raw, count) for raw in self.features}
        return model.query_tower(signatures.as_trained(queries, self.features)).numpy()

    def _values(self, raw, count: int) -> np.ndarray:
        shape = (count, _OWN if raw.name.startswith("own_") else _PAST)
        shape = shape if raw.type.is_list else count
        if raw.type.holds_text:
            return self._random.choice(self.item_ids, shape)
        return self._random.uniform(0, 80, shape).astype(np.float32)

    def _catalogue(self) -> Catalogue:
        items = len(self.item_ids)

        def texts(name: str, number: int) -> np.ndarray:
            known = np.array([f"{name}{n}" for n in range(number)], object)
            return known[self._random.integers(number, size=items)]

        splits = np.arange(0, 3 * items + 1, 3)
        of_topics = self._random.integers(1000, size=3 * items)
        topics = np.array([f"topic{n}" for n in range(1000)], object)[of_topics]
        features = {
            "item_id": self.item_ids,
            "channel_id": texts("channel", 20_000),
            "topics": Lists(topics, splits),
            "title": texts("a title of four ", 50_000),
            "duration_seconds": self._random.uniform(5, 4000, items).astype(np.float32),
            "video_age": np.zeros(items, np.float32),
        }
        return Catalogue(self.item_ids, features)

    def query(self) -> dict[str, np.ndarray]:
        """Raw features of one request."""
        return {raw.name: self._values(raw, 1) for raw in self.inputs}

    def some_ids(self, count: int) -> np.ndarray:
        """Ids of candidates of so many requests."""
        return self._random.choice(self.item_ids, (count, self.candidates))


def _section(flags: argparse.Namespace, candidates: int) -> str:
    return f"{{likes: [channel_id], layers: {flags.layers}, candidates: {candidates}}}"


class Parts(tf.Module):
    """What a release does before it ranks, each a signature of its own."""

    def __init__(self, tower, features, more, model: RankingModel, index, stage, items):
        super().__init__()
        self._tower, self._index, self._stage = tower.query_tower, index, stage
        self._item_ids = tf.Variable(items.item_ids, dtype=tf.string, trainable=False)
        self._fresh = FreshItems(len(items.item_ids), items.dim, items.fresh_rows)
        table = model.item_features
        self._weights = [*table.components, *model.variables]
        every = (*features, *more)
        inputs = [signatures.feature_input(raw) for raw in every]

        def asked(values) -> tuple[Request, dict]:
            raw = signatures.as_trained(values, every)
            queries = self._tower({one.name: raw[one.name] for one in features})
            k, nothing = tf.constant(items.candidates), tf.zeros([1, 0], tf.string)
            return Request.of(queries, k, nothing), raw

        def retrieval(values):
            request, _ = asked(values)
            return {"scores": nearest(index, self._item_ids, self._fresh, request)[0]}

        def candidates(values):
            request, raw = asked(values)
            return {"scores": stage(self._item_ids, self._fresh, request, raw).scores}

        def lookup(values):
            rows = table(fingerprint(values["item_ids"]))
            flat = tf.nest.flatten(rows, expand_composites=True)
            return {f"rows_{number}": one for number, one in enumerate(flat)}

        ids = signatures.Input(tf.TensorSpec([None], tf.string, "item_ids"), tf.constant([""]))
        self.retrieval = signatures.signature(retrieval, inputs)
        self.candidates = signatures.signature(candidates, inputs)
        self.lookup = signatures.signature(lookup, [ids])

    def save(self, folder: str) -> None:
        """Writes a SavedModel with a signature a part."""
        names = ("retrieval", "candidates", "lookup")
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        tf.saved_model.save(self, folder, {name: getattr(self, name) for name in names}, options)


def check(problem: Problem) -> None:
    """Raises an error unless a request is answered as it should be."""
    answer = problem.release.ask("recommend", {**problem.query(), "k": np.int32(_K)})
    ids = answer["item_ids"][0].tolist()
    if len(set(ids)) != _K or (np.diff(answer["expected_watch_seconds"][0]) > 0).any():
        raise AssertionError(f"expected {_K} items, the best first, got {ids}")


def measure(problem: Problem, flags: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each request of each contender, in turn."""
    queries = [problem.query() for _ in range(flags.requests)]
    of_parts = [{name: one[name] for name in problem.asked_of_parts} for one in queries]
    whole = [{**one, "k": np.int32(_K)} for one in queries]
    some = [{"item_ids": one} for one in problem.some_ids(flags.requests)]
    contenders = {
        "retrieval": (problem.parts, "retrieval", of_parts),
        "candidates": (problem.parts, "candidates", of_parts),
        "lookup": (problem.parts, "lookup", some),
        "recommend": (problem.release, "recommend", whole),
    }
    asked = {
        name: [functools.partial(session.ask, signature, request) for request in requests]
        for name, (session, signature, requests) in contenders.items()
    }
    return seconds_in_turn(asked, flags.rounds)


def summary(seconds: dict[str, list[float]]) -> dict:
    """Percentiles in milliseconds, queries a second, and shares of the whole's median."""
    p50 = {name: float(np.median(values)) for name, values in seconds.items()}
    merging = p50["candidates"] - p50["retrieval"]
    return {
        **{name: percentiles(values) for name, values in seconds.items()},
        "merging_share": merging / p50["recommend"],
        "lookup_share": p50["lookup"] / p50["recommend"],
    }


def main() -> None:
    """Measures some numbers of candidates, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--kind", choices=INDEX_KINDS.sections, default="scann")
    parser.add_argument("--candidates", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--layers", type=int, nargs="*", default=[512, 256])
    parser.add_argument("--threads", type=int, default=1, help="that one operation may use")
    parser.add_argument("--requests", type=int, default=50, help="requests of a turn")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each contender")
    flags = parser.parse_args()
    report = {"items": flags.items, "kind": flags.kind, "layers": flags.layers, "candidates": {}}
    for candidates in flags.candidates:
        with tempfile.TemporaryDirectory() as folder:
            problem = Problem(flags, candidates, folder)
            check(problem)
            rows = summary(measure(problem, flags))
        report["candidates"][candidates] = rows
        report["bytes_per_item"] = problem.bytes_per_item
        print(f"{flags.items:,} items, {flags.kind}, {candidates} ranked, {flags.layers}")
        for name in ("retrieval", "candidates", "lookup", "recommend"):
            print(f"{name:10} {as_text(rows[name])}")
        shares = f"merging {rows['merging_share']:.0%}, lookup {rows['lookup_share']:.0%}"
        print(f"{shares} of the whole; {problem.bytes_per_item:.0f} bytes an item")
    if flags.out:
        flags.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
