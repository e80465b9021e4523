"""The kinds of index against NumPy, and the measurement of their recall."""

import numpy as np
import pytest

from twotower_tf.config.registries import INDEX_KINDS

# isort: split
import tensorflow as tf

from twotower_tf.indexing.kinds.approximate_index import Extent
from twotower_tf.indexing.kinds.index_recall import IndexRecall
from twotower_tf.indexing.kinds.indexes import chosen_section

ITEMS, DIM, AT = 2500, 16, 50


def make(kind: str, items: np.ndarray, **told):
    return INDEX_KINDS.make(INDEX_KINDS.parse({"kind": kind, **told}), items)


def _chosen(items: int, **told) -> str:
    return chosen_section(INDEX_KINDS.parse(told), items).kind


def _vectors(count: int, seed: int) -> np.ndarray:
    """Unit vectors around 60 centres, the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(60, DIM))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(60, size=count)] + 0.5 * rng.normal(size=(count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def items():
    return _vectors(ITEMS, 1)


@pytest.fixture(scope="module", params=["brute_force", "scann", "portable"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def index(kind, items):
    return make(kind, items, recall_at=AT)


def _search(index, queries, k):
    scores, positions = index.retriever()(tf.constant(queries), tf.constant(k))
    return scores.numpy(), positions.numpy()


@pytest.mark.parametrize("k", [1, 7, AT, 400, ITEMS, ITEMS + 9])
def test_search_gives_exactly_k_distinct_items_best_first_with_their_cosines(index, items, k):
    queries = _vectors(40, 2)
    scores, positions = _search(index, queries, k)
    assert scores.shape == positions.shape == (40, min(k, ITEMS))
    exact = queries.astype(np.float64) @ items.T.astype(np.float64)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, positions, 1), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in positions.tolist())


def test_search_of_all_items_is_exact(index, items):
    queries = _vectors(5, 3)
    _, positions = _search(index, queries, ITEMS)
    best = np.argmax(queries.astype(np.float64) @ items.T.astype(np.float64), axis=1)
    np.testing.assert_array_equal(positions[:, 0], best)
    np.testing.assert_array_equal(np.sort(positions, axis=1), [np.arange(ITEMS)] * 5)


def test_search_takes_batches_of_one_and_of_none(index):
    queries = _vectors(9, 4)
    one, none = _search(index, queries[3:4], 5), _search(index, queries[:0], 5)
    np.testing.assert_array_equal(one[1][0], _search(index, queries, 5)[1][3])
    assert none[0].shape == none[1].shape == (0, 5)


def test_a_smaller_k_gives_the_head_of_a_larger_one(index):
    queries = _vectors(30, 5)
    np.testing.assert_array_equal(
        _search(index, queries, 3)[1], _search(index, queries, AT)[1][:, :3]
    )


def test_the_same_embeddings_give_the_same_index(kind, index, items):
    again = make(kind, items, recall_at=AT)
    for one, other in zip(index.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("kind", ["scann", "portable"])
def test_partitions_are_searched_until_there_are_enough_items(kind):
    # A crowd in one place, and far from it loners, in leaves with few items or none.
    rng = np.random.default_rng(6)
    crowd = -np.eye(1, DIM) + 0.001 * rng.normal(size=(ITEMS, DIM))
    loners = rng.normal(size=(40, DIM))
    loners[:, 0] = np.abs(loners[:, 0])
    items = np.concatenate([crowd, loners]).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    queries = items[ITEMS:]
    index = make(kind, items, recall_at=10)
    # One partition a query, which may hold a loner and nobody else.
    index.look(Extent(1, 10))
    scores, positions = _search(index, queries, 10)
    exact = queries.astype(np.float64) @ items.T.astype(np.float64)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, positions, 1), atol=1e-6)
    np.testing.assert_array_equal(positions[:, 0], np.argmax(exact, axis=1))
    assert all(len(set(row)) == 10 for row in positions.tolist())


@pytest.mark.parametrize(
    ("wanted", "items", "given"),
    [
        ("scann", 1, "brute_force"),
        ("scann", 15, "brute_force"),
        ("scann", 16, "scann"),
        ("scann", 40, "scann"),
        ("portable", 255, "brute_force"),
        ("portable", 256, "portable"),
    ],
)
def test_any_catalogue_however_small_gets_an_index_that_works(wanted, items, given):
    kind = _chosen(items, kind=wanted)
    assert kind == given
    vectors = _vectors(items, 8)
    _, positions = _search(make(kind, vectors), vectors, 1)
    np.testing.assert_array_equal(positions[:, 0], np.arange(items))


def test_auto_chooses_brute_force_below_its_limit():
    assert _chosen(999, brute_force_below=1000) == "brute_force"
    assert _chosen(1000, brute_force_below=1000) == "scann"
    assert _chosen(15, brute_force_below=1) == "brute_force"
    assert _chosen(10**6, kind="brute_force") == "brute_force"


def test_the_kind_that_auto_chooses_is_told_what_auto_was():
    auto = INDEX_KINDS.parse({"recall_at": 7, "default_k": 3, "brute_force_below": 20})
    chosen = chosen_section(auto, 100)
    assert (chosen.kind, chosen.recall_at, chosen.default_k) == ("scann", 7, 3)
    assert make("auto", _vectors(100, 8), recall_at=7, brute_force_below=20).at == 7


class _FixedIndex(tf.Module):
    """An index with given answers, the last of which it gives in place of its ``k``-th."""

    def __init__(self, positions, right=False):
        super().__init__()
        self._positions = tf.constant(positions, tf.int32)
        self._right = right

    def retriever(self):
        return self._retrieve

    def _retrieve(self, queries, k):
        del queries
        kept = (tf.range(k) < k - 1) | self._right
        positions = tf.where(kept, self._positions[:, :k], self._positions[:, -1:])
        return tf.zeros_like(positions, tf.float32), positions


def test_recall_is_the_share_of_the_exact_top_k_that_an_index_finds(items):
    queries = _vectors(20, 9)
    order = np.argsort(-(queries.astype(np.float64) @ items.T.astype(np.float64)), axis=1)
    index = _FixedIndex(order)  # one of the top 10 is replaced by the worst item
    recall = IndexRecall(queries, items, at=10)
    assert recall.of(index) == pytest.approx(0.9)
    order[:5, 2] = order[:5, 1]  # an item given twice counts once
    assert recall.of(_FixedIndex(order)) == pytest.approx(0.9 - 5 / 200)
    # What has no extent is measured as it is.
    assert recall.reach(index, 0.95) == pytest.approx(recall.of(index))


def test_recall_takes_any_of_the_items_with_the_same_score(items):
    twins = np.concatenate([items[:300], items[:300]])
    queries = _vectors(20, 10)
    order = np.argsort(-(queries @ items[:300].T), axis=1)
    other_twins = np.concatenate([order + 300, order], axis=1)
    index = _FixedIndex(other_twins, right=True)
    # The exact top 1 is a pair of twins, of which either will do.
    assert IndexRecall(queries, twins, at=1).of(index) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["scann", "portable"])
def test_an_approximate_index_looks_as_far_as_the_wanted_recall_takes_and_no_further(kind, items):
    index = make(kind, items, recall_at=10)
    # Queries from nowhere near the items: the hardest for partitions.
    queries = np.random.default_rng(11).normal(size=(100, DIM)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    recall = IndexRecall(queries, items, at=10)
    costs = []
    for wanted in (0.5, 0.9, 0.99):
        reached = recall.reach(index, wanted)
        assert wanted <= reached < wanted + 0.25
        costs.append(index.cost(index.extent))
        _, found = _search(index, queries, 10)
        exact = np.argsort(-(queries.astype(np.float64) @ items.T.astype(np.float64)), axis=1)
        shared = [len(set(a) & set(b)) for a, b in zip(found, exact[:, :10], strict=True)]
        assert np.mean(shared) / 10 == pytest.approx(reached, abs=0.002)
    assert costs == sorted(set(costs))


def test_the_portable_index_searches_with_tensorflows_own_operations(items):
    index = make("portable", items, recall_at=AT)
    search = tf.function(index.retriever()).get_concrete_function(
        tf.TensorSpec([None, DIM], tf.float32), tf.TensorSpec([], tf.int32)
    )
    definition = search.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    used = {node.op for node in nodes} - {f.signature.name for f in definition.library.function}
    assert {"ResourceGather", "TopKV2"} <= used
    # Operations with a Python class in TensorFlow itself, and none that runs Python or needs XLA.
    assert not [op for op in used if not hasattr(tf.raw_ops, op) or "Py" in op or "Xla" in op]


def test_brute_force_is_exact_in_blocks_of_queries(items, monkeypatch):
    monkeypatch.setattr("twotower_tf.indexing.kinds.indexes._SCORES_AT_A_TIME", 3 * ITEMS)
    queries = _vectors(10, 12)
    index = make("brute_force", items)
    _, positions = _search(index, queries, 9)
    exact = np.argsort(-(queries.astype(np.float64) @ items.T.astype(np.float64)), axis=1)
    np.testing.assert_array_equal(positions, exact[:, :9])


@pytest.mark.parametrize("kind", ["scann", "portable"])
def test_an_answer_does_not_depend_on_the_other_queries_of_the_batch(kind, items):
    index = make(kind, items, recall_at=AT)
    queries = _vectors(70, 13)
    _, together = _search(index, queries, 20)
    for n in (0, 33, 69):
        _, alone = _search(index, queries[n : n + 1], 20)
        np.testing.assert_array_equal(alone[0], together[n])


@pytest.mark.parametrize(("scattered", "codes", "recall"), [(8, 9, 0.98), (64, 32, 0.8)])
def test_scann_spends_its_codes_on_the_dimensions_that_tell_items_apart(scattered, codes, recall):
    rng = np.random.default_rng(13)
    turned, _ = np.linalg.qr(rng.normal(size=(64, 64)))
    vectors = rng.normal(size=(ITEMS, 64)) * np.where(np.arange(64) < scattered, 1, 0.01) @ turned
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = make("scann", vectors, recall_at=10)
    assert index._state.hashed_dataset.shape == (ITEMS, codes)
    # All leaves and few exact scores: what is found depends on the codes alone.
    index.look(Extent(index.partitions, 20))
    _, found = _search(index, vectors[:50], 10)
    exact = np.argsort(-(vectors[:50] @ vectors.T), axis=1)[:, :10]
    shared = [len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]
    assert np.mean(shared) / 10 > recall
