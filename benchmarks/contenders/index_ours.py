"""Our kinds of index, saved as a release has them, at extents chosen automatically.

They are asked by a session, see ``session.py``.
"""

import json
import pathlib
import time

import numpy as np

from twotower_tf.config.registries import INDEX_KINDS

# isort: split
import tensorflow as tf

from benchmarks.contenders.memory import memory
from benchmarks.contenders.session import Session
from benchmarks.contenders.vectors import DIM
from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex, Extent
from twotower_tf.indexing.kinds.index_recall import IndexRecall
from twotower_tf.indexing.kinds.indexes import Index

# The first so many queries choose the extents; what is measured are others.
CHOOSING = 500
_RECALL = 0.97
_RECALLS = (0.8, 0.9, 0.95, 0.96, 0.965, 0.973, 0.976, 0.98, 0.985, 0.99)
_AT = 100


class _Searcher(tf.Module):
    """An index with the function that a SavedModel keeps."""

    def __init__(self, index: Index):
        super().__init__(name="searcher")
        self.index = index

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, DIM], tf.float32, "queries"),
            tf.TensorSpec([], tf.int32, "k"),
        ]
    )
    def search(self, queries: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"positions": self.index.retriever()(queries, k)[1]}

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.int32, "partitions"),
            tf.TensorSpec([], tf.int32, "reordered"),
        ]
    )
    def look(self, partitions: tf.Tensor, reordered: tf.Tensor) -> dict[str, tf.Tensor]:
        if isinstance(self.index, ApproximateIndex):
            self.index.look(Extent(partitions, reordered))
        return {"looked": tf.constant(True)}


class _Ours:
    kind: str

    def __init__(self, vectors: pathlib.Path, kept: pathlib.Path, threads: int):
        if self.kind == "scann":
            import scann  # noqa: F401
        saved = kept / self.kind
        if not (saved / "settings.json").exists():
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            self._build(vectors, saved)
        self.settings = json.loads((saved / "settings.json").read_text())
        self._session = Session(str(saved), threads=1)

    def _build(self, vectors: pathlib.Path, saved: pathlib.Path) -> None:
        items = np.load(vectors / "items.npy")
        start = time.perf_counter()
        index = INDEX_KINDS.make(INDEX_KINDS.parse({"kind": self.kind, "recall_at": _AT}), items)
        self.costs = {"seconds": time.perf_counter() - start, "memory": memory("VmHWM")}
        settings = [(0, 0)]
        if isinstance(index, ApproximateIndex):
            start = time.perf_counter()
            measure = IndexRecall(np.load(vectors / "queries.npy")[:CHOOSING], items, _AT)
            settings = [_extent(measure, index, _RECALL)]
            self.costs["choosing_seconds"] = time.perf_counter() - start
            settings += [_extent(measure, index, recall) for recall in _RECALLS]
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        searcher = _Searcher(index)
        signatures = {"search": searcher.search, "look": searcher.look}
        tf.saved_model.save(searcher, str(saved), signatures, options)
        (saved / "settings.json").write_text(json.dumps(sorted(set(settings))))

    def use(self, setting: list[int]) -> None:
        """Sets the extent."""
        partitions, reordered = map(np.int32, setting)
        self._session.ask("look", {"partitions": partitions, "reordered": reordered})

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Returns the positions, [B, k]."""
        return self._session.ask("search", {"queries": queries, "k": np.int32(k)})["positions"]


def _extent(measure: IndexRecall, index: ApproximateIndex, recall: float) -> tuple[int, int]:
    measure.reach(index, recall)
    return index.extent.partitions, index.extent.reordered


class BruteForce(_Ours):
    """Exact."""

    kind = "brute_force"


class Scann(_Ours):
    """ScaNN."""

    kind = "scann"


class Portable(_Ours):
    """TensorFlow's own operations only."""

    kind = "portable"
