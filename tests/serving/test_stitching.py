"""The signatures of a release against NumPy: optional inputs, exclusion, items, examples."""

import dataclasses

import numpy as np
import pytest

from tests.example_records import example_record
from tests.shop import DAY, ITEMS
from twotower_tf.examples.schema import raw_features
from twotower_tf.serving.stitching import StitchedModel

# isort: split
import tensorflow as tf

QUERIES = {
    "seed": ["item-4", "ключ-5", "никто"],
    "history": [["item-1", "", "", ""], ["a", "b", "ключ-7", "item-8"], ["", "", "", ""]],
    "searches": [["x", "y"], ["x", ""], ["", ""]],
    "searches_weights": [[1.0, 2.0], [0.5, 0.0], [0.0, 0.0]],
    "device": ["phone", "tv", ""],
    "hour": [0.1, 0.9, 0.5],
    "mood": [[1.0, 2.0, -2.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]],
}
RAGGED = {
    "history": [["item-1"], ["b", "ключ-7", "item-8"], []],
    "searches": [["x", "y"], ["x"], []],
    "searches_weights": [[1.0, 2.0], [0.5], []],
}


@pytest.fixture(
    scope="module",
    params=["brute_force", pytest.param("portable", marks=pytest.mark.long), "scann"],
)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(kind, shop):
    return shop.release(kind).load_saved_model()


@pytest.fixture(scope="module")
def scores(shop):
    """The score of every item by its id, for each of QUERIES, by the trainer's own towers."""
    query = {name: tf.constant(values) for name, values in QUERIES.items()}
    for name, rows in RAGGED.items():
        dtype = tf.float32 if name == "searches_weights" else tf.string
        query[name] = tf.ragged.constant(rows, dtype=dtype)
    vectors = shop.vectors(shop.catalogue)
    matrix = (
        shop.model.query_tower(query).numpy().astype(np.float64) @ np.stack([*vectors.values()]).T
    )
    return [dict(zip(vectors, row, strict=True)) for row in matrix]


def _best(scores: dict, k: int, without=()) -> list[str]:
    left = {item_id: score for item_id, score in scores.items() if item_id not in without}
    return sorted(left, key=left.get, reverse=True)[:k]


def _rows(answer) -> list[list[str]]:
    return [[item_id.decode() for item_id in row] for row in answer["item_ids"].numpy()]


def _agree(kind, got: list[str], want: list[str]) -> None:
    """The same ids; of an approximate index nearly all of them."""
    assert len(got) == len(set(got)) == len(want)
    missed = len(set(want) - set(got))
    assert missed <= (max(1, len(want) // 10) if kind != "brute_force" else 0)


@pytest.mark.parametrize("k", [1, 20, 1000])
def test_the_best_items_come_with_their_cosines(kind, loaded, scores, k):
    answer = loaded.serving_default(k=k, **QUERIES)
    for row, got, own in zip(range(3), _rows(answer), answer["scores"].numpy(), strict=True):
        _agree(kind, got, _best(scores[row], k))
        np.testing.assert_allclose(own, [scores[row][item_id] for item_id in got], atol=1e-5)
        assert (np.diff(own) <= 0).all()


def test_excluded_items_never_come_and_others_take_their_places(kind, loaded, scores):
    seen = [_best(scores[0], 40), ["ключ-1", "nobody's", "item-0"], []]
    padded = [ids + [""] * (40 - len(ids)) for ids in seen]
    answer = loaded.serving_default(k=20, exclude_ids=padded, **QUERIES)
    assert answer["item_ids"].shape == (3, 20)
    for row, got in enumerate(_rows(answer)):
        assert not set(got) & set(seen[row])
        _agree(kind, got, _best(scores[row], 20, seen[row]))


def test_a_seed_that_is_excluded_never_comes(shop, scores):
    from twotower_tf.releases.build import build_index

    config = shop.config_of("brute_force")
    index = config.index.model_copy(update={"exclude_seed": True})
    config = config.model_copy(update={"index": index})
    stitched = build_index(config, shop.workdir, shop.model, DAY, None).stitched
    best = [_best(row, 1) for row in scores]
    seeds = {"seed": [QUERIES["seed"][0], "никто", ""]}
    query = {name: tf.constant(values) for name, values in {**QUERIES, **seeds}.items()}
    excluded = [["item-0", best[0][0]], ["item-0", ""], ["", ""]]
    found = stitched.serving_default(k=ITEMS, exclude_ids=tf.constant(excluded), **query)
    for row, got in enumerate(_rows(found)):
        left = {*shop.catalogue.item_ids} - {*excluded[row], seeds["seed"][row]}
        assert sorted(filter(None, got)) == sorted(left)


def test_the_largest_k_is_no_more_than_all_items(shop, loaded):
    largest = 2**31 - 1
    query = {name: values[:1] for name, values in QUERIES.items()}
    assert loaded.serving_default(k=largest, **query)["item_ids"].shape == (1, ITEMS)
    (row,) = _rows(loaded.serving_default(k=largest, exclude_ids=[["item-4"]], **query))
    assert sorted(row) == sorted({*shop.catalogue.item_ids} - {"item-4"})


def test_a_row_that_has_fewer_items_left_ends_in_blanks(shop, loaded, scores):
    keep = {"item-0", "ключ-7"}
    most = [item_id for item_id in shop.catalogue.item_ids if item_id not in keep]
    query = {name: values[:2] for name, values in QUERIES.items()}
    answer = loaded.serving_default(k=5, exclude_ids=[most, [""] * len(most)], **query)
    assert answer["item_ids"].shape == (2, 5)
    short, full = _rows(answer)
    assert short[:2] == _best({one: scores[0][one] for one in keep}, 2)
    assert short[2:] == [""] * 3
    assert answer["scores"].numpy()[0, 2:].tolist() == [-2.0] * 3
    assert "" not in full
    # Alone, there is nothing to fill up to.
    alone = {name: values[:1] for name, values in QUERIES.items()}
    assert loaded.serving_default(k=5, exclude_ids=[most], **alone)["item_ids"].shape == (1, 2)
    everything = [list(shop.catalogue.item_ids)]
    assert loaded.serving_default(k=5, exclude_ids=everything, **alone)["item_ids"].shape == (1, 0)


def test_what_is_left_out_has_its_declared_default(loaded):
    blank = {
        "seed": [""],
        "history": [[""]],
        "searches": [[""]],
        "searches_weights": [[0.0]],
        "device": [""],
        "hour": [0.5],
        "mood": [[0.0, 0.0, 0.0]],
    }
    for name in ("seed", "history", "device", "hour", "mood"):
        given = {name: QUERIES[name][:1]}
        partial = loaded.serving_default(**given)
        whole = loaded.serving_default(k=7, exclude_ids=[[""]], **{**blank, **given})
        assert _rows(partial) == _rows(whole)
        assert partial["item_ids"].shape == (1, 7)
    assert _rows(loaded.serving_default(hour=[0.5])) != _rows(loaded.serving_default(hour=[9.0]))
    # As REST leaves a list out.
    without = loaded.serving_default(**{**blank, "hour": [9.0], "mood": [[]]})
    assert _rows(without) == _rows(loaded.serving_default(hour=[9.0]))


def test_a_request_without_rows_has_an_empty_answer(loaded):
    empty = loaded.serving_default(k=20)
    assert empty["item_ids"].shape == empty["scores"].shape == (0, 20)
    assert loaded.serving_default(seed=tf.zeros([0], tf.string))["item_ids"].shape == (0, 7)
    assert loaded.embed_query()["embedding"].shape == (0, 16)
    assert loaded.examples(tf.zeros([0], tf.string))["item_ids"].shape == (0, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hour": [0.1, 0.2]}, "every input must have as many rows as the others, or none"),
        ({"exclude_ids": [["a"]]}, "every input must have as many rows as the others, or none"),
        ({"searches_weights": [[1.0]] * 3}, "searches_weights must have as many values"),
        ({"k": 0}, "k must be at least 1"),
        ({"mood": [[1.0, 2.0]] * 3}, "mood must have 3 numbers a row, or none; it has"),
        ({"mood": [[1.0, 2.0, 3.0, 4.0]] * 3}, "mood must have 3 numbers a row, or none; it has"),
    ],
)
def test_requests_that_do_not_fit_together_are_refused(loaded, change, message):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        loaded.serving_default(**{**QUERIES, **change})
    assert message in str(error.value)


def test_items_and_queries_are_embedded_as_by_the_trainers_towers(shop, loaded, scores):
    expected = shop.vectors(shop.catalogue)
    rows = [5, 6, 8]
    features = shop.catalogue.take(np.array(rows)).features
    topics = features["topics"]
    lists = [list(topics[n : n + 1].values) for n in range(3)]
    got = loaded.embed_item(
        item_id=list(features["item_id"]),
        title=list(features["title"]),
        topics=[values + [""] * (3 - len(values)) for values in lists],
        price=features["price"].tolist(),
        cover=features["cover"].tolist(),
    )["embedding"]
    ids = [shop.catalogue.item_ids[row] for row in rows]
    # The age was left out: 2 days, as configured, and not 0.
    np.testing.assert_allclose(got, [expected[item_id] for item_id in ids], atol=1e-6)
    queries = loaded.embed_query(**QUERIES)["embedding"].numpy()
    np.testing.assert_allclose(queries[1] @ got[0].numpy(), scores[1][ids[0]], atol=1e-5)


def test_serialised_examples_are_asked_for_with_defaults_for_what_they_lack(kind, loaded, scores):
    seen = _best(scores[0], 3)
    whole = example_record(
        {
            "query/seed": [b"item-4"],
            "query/history": [b"item-1"],
            "query/searches": [b"x", b"y"],
            "query/device": [b"phone"],
            "exclude_ids": [item_id.encode() for item_id in seen],
        },
        {
            "query/searches_weights": [1.0, 2.0],
            "query/hour": [0.1],
            "query/mood": [1.0, 2.0, -2.0],
        },
    )
    lacking = example_record({"query/seed": ["никто".encode()]}, {"candidate/price": [3.0]})
    answer = loaded.examples([whole, lacking])
    assert answer["item_ids"].shape == (2, 7)
    for row, got in zip((0, 2), _rows(answer), strict=True):
        _agree(kind, got, _best(scores[row], 7, seen if row == 0 else ()))


def test_the_signatures_say_their_defaults(kind, shop):
    from tensorflow.core.protobuf import saved_model_pb2

    with open(f"{shop.release(kind).path}/saved_model.pb", "rb") as file:
        (graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    signatures = {name: one for name, one in graph.signature_def.items() if name[0] != "_"}
    assert set(signatures) == {"serving_default", "embed_query", "embed_item", "examples"}
    for one in signatures.values():
        assert set(one.defaults) == set(one.inputs)
    defaults = signatures["serving_default"].defaults
    assert tf.make_ndarray(defaults["k"]) == 7
    assert tf.make_ndarray(defaults["exclude_ids"]).shape == (0, 0)
    assert tf.make_ndarray(defaults["device"]).shape == (0,)


def test_a_query_feature_may_not_have_the_name_of_another_input(shop):
    (seed, *_) = raw_features(shop.config, "query")
    for name in ("k", "exclude_ids"):
        named = [dataclasses.replace(seed, name=name)]
        with pytest.raises(ValueError, match="may not be named"):
            StitchedModel(None, None, None, None, named, [], 1, 2)
