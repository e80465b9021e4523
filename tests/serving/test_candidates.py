"""The candidates of the ranking stage against a naive merge of lists."""

import numpy as np
import pytest

from twotower_tf.config.nominators import NominatorSection
from twotower_tf.examples import value_types
from twotower_tf.examples.schema import RawFeature

# isort: split
import tensorflow as tf

from twotower_tf.indexing.kinds.indexes import BruteForceIndex
from twotower_tf.indexing.nominators.blend import Blend
from twotower_tf.indexing.nominators.nominator import Nominated, Nominator
from twotower_tf.serving.blending import Blending
from twotower_tf.serving.candidates import CandidateStage, quotas
from twotower_tf.serving.fresh_items import FreshItems, fresh_values
from twotower_tf.serving.retrieval import Request

ITEMS, DIM, ROWS = 40, 4, 3
IDS = np.array([f"i{n}" for n in range(ITEMS)], object)


class Said(NominatorSection):
    """Stands for any kind of nominator."""

    kind: str = "index"


class Listed(Nominator):
    """Proposes what the request lists under its name; each speaks for itself by a number."""

    def __init__(self, name: str):
        self.inputs = (RawFeature(name, name, "event", value_types.TextList()),)
        self.features, self.prior = (f"{name}_says",), (0.0,)
        self._name = self.kind = name

    def nominate(self, request, find):
        positions = find(request[self._name].to_tensor())
        says = tf.cast(tf.range(tf.shape(positions)[1]), tf.float32)
        return Nominated(positions, tf.zeros_like(positions, tf.float32)[..., None] + says[:, None])


def _unit(random, rows: int) -> np.ndarray:
    vectors = random.normal(size=(rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class World:
    """A random release: an index, fresh and removed items, two nominators, a request."""

    def __init__(self, seed: int):
        random = self.random = np.random.default_rng(seed)
        self.embeddings, self.queries = _unit(random, ITEMS), _unit(random, ROWS)
        new = random.integers(5)
        # Fresh items: new ones, and one that changed, which is then removed from the index.
        self.fresh_ids = np.array([f"new{n}" for n in range(new)] + ["i3"] * (seed % 2), object)
        self.fresh_vectors = _unit(random, len(self.fresh_ids))
        self.removed = random.random(ITEMS) < (0.2 if seed % 3 else 0.0)
        self.removed[3] |= seed % 2 == 1
        self.shares = {"b": 1.5, "index": 2.0, "a": 1.0} if seed % 2 else {"index": 1, "a": 1}
        self.candidates = int(random.integers(1, 60))
        self.excluded = [self._some(6) for _ in range(ROWS)]
        self.lists = {
            name: [self._some(20) for _ in range(ROWS)] for name in self.shares if name != "index"
        }
        self.blend = Blend(2.0, {f"{name}_says": random.normal() for name in self.lists}, 0)

    def _some(self, most: int) -> list[str]:
        every = [*IDS, *self.fresh_ids, "nobody's"]
        return [every[n] for n in self.random.integers(len(every), size=self.random.integers(most))]

    def asked(self) -> list[list[tuple[str, float, str]]]:
        """What the stage gives: (id, score, source) each, in its order."""
        index = BruteForceIndex(self.embeddings)
        nominators = [Listed(name) for name in self.lists]
        blending = Blending(nominators, self.blend, index, IDS, self.embeddings)
        fresh = FreshItems(ITEMS, DIM)
        values = fresh_values(self.fresh_ids, self.fresh_vectors, self.removed)
        for name, value in values.items():
            getattr(fresh, name).assign(value)
        sections = [Said(kind=name, share=share) for name, share in self.shares.items()]
        stage = CandidateStage(sections, self.candidates, index, blending)
        excluded = tf.ragged.constant(self.excluded, dtype=tf.string).to_tensor("")
        request = Request.of(tf.constant(self.queries), tf.constant(1), excluded)
        inputs = {
            name: tf.ragged.constant(rows, dtype=tf.string) for name, rows in self.lists.items()
        }
        given = stage(tf.Variable(IDS, dtype=tf.string), fresh, request, inputs)
        ids = np.concatenate([IDS, self.fresh_ids])
        assert given.positions.shape[0] == ROWS
        return [
            [
                (ids[place], score, stage.sources[source])
                for place, score, source in zip(*row, strict=True)
                if place >= 0
            ]
            for row in zip(*(values.numpy() for values in given), strict=True)
        ]

    def merged(self, row: int) -> list[tuple[str, float, str]]:
        """The same by lists and dictionaries."""
        vectors = dict(zip(IDS[~self.removed], self.embeddings[~self.removed], strict=True))
        vectors |= dict(zip(self.fresh_ids, self.fresh_vectors, strict=True))
        for item_id in self.excluded[row]:
            vectors.pop(item_id, None)
        cosines = {item_id: float(v @ self.queries[row]) for item_id, v in vectors.items()}
        nearest = sorted(cosines, key=cosines.get, reverse=True)[: self.candidates]
        scores = dict(cosines)
        for name, rows in self.lists.items():
            for says, item_id in enumerate(rows[row]):
                if item_id in scores:
                    scores[item_id] += says * self.blend.weights[f"{name}_says"] / self.blend.slope
        total = sum(self.shares.values())
        many = {name: int(self.candidates * share / total) for name, share in self.shares.items()}
        many["index"] += self.candidates - sum(many.values())
        chosen: dict[str, str] = {}
        for name in self.shares:
            there = nearest if name == "index" else self.lists[name][row]
            for item_id in [one for one in there if one in vectors][: many[name]]:
                chosen.setdefault(item_id, name)
        for item_id in nearest:
            if len(chosen) < self.candidates:
                chosen.setdefault(item_id, "index")
        return [(item_id, max(-1.0, scores[item_id]), name) for item_id, name in chosen.items()]


@pytest.mark.parametrize("seed", range(12))
def test_each_nominator_gives_its_share_and_the_index_the_rest(seed):
    world = World(seed)
    for row, got in enumerate(world.asked()):
        want = world.merged(row)
        assert [(item_id, name) for item_id, _, name in got] == [
            (item_id, name) for item_id, _, name in want
        ]
        np.testing.assert_allclose(
            [score for _, score, _ in got], [score for _, score, _ in want], atol=1e-5
        )


def test_the_index_alone_gives_its_best():
    world = World(2)
    stage = CandidateStage([Said()], 7, BruteForceIndex(world.embeddings), None)
    request = Request.of(
        tf.constant(world.queries), tf.constant(1), tf.constant([["i5", "i6"]] * ROWS)
    )
    given = stage(tf.Variable(IDS, dtype=tf.string), FreshItems(ITEMS, DIM), request, {})
    scores = world.queries @ world.embeddings.T
    scores[:, [5, 6]] = -2
    assert (given.positions.numpy() == np.argsort(-scores, axis=1)[:, :7]).all()
    assert (given.sources.numpy() == 0).all()


def test_shares_are_rounded_down_and_the_index_has_the_rest():
    sections = [Said(share=1.0), Said(kind="a", share=1.0), Said(kind="b", share=0.5)]
    assert quotas(sections, 10) == [4, 4, 2]
    assert quotas(sections, 9) == [5, 3, 1]
    assert quotas(sections, 1) == [1, 0, 0]
