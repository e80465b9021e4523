"""Items that a query names are encoded as candidates are: by their ids and their features."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.models.inference import blank_features
from twotower_tf.models.two_tower import TwoTowerModel

DIM = 4
VALUES = {
    "name": "tiny",
    "source": {
        "events": {"path": "e.csv", "columns": {"seed_item_id": "seed"}},
        "items": {"path": "i.csv", "columns": {"item_id": "sku"}},
    },
    "tables": {
        "items": {"buckets": 64, "dim": DIM},
        "words": {"buckets": 64, "dim": DIM},
        "colours": {"buckets": 16, "dim": 3},
    },
    "query": {
        "features": [
            {"name": "seed", "column": "seed_item_id", "kind": "id", "encode": "item"},
            {"name": "history", "kind": "id_bag", "encode": "item", "encoder": "mean"},
        ],
        "layers": [5, DIM],
        "residual": ["seed", "history"],
    },
    "candidate": {
        "features": [
            {"name": "sku", "kind": "id", "table": "items"},
            {"name": "tags", "kind": "id_bag", "table": "words"},
            {"name": "colour", "kind": "id", "table": "colours"},
            {"name": "price", "kind": "dense", "normalise": "none", "default": 2.0},
        ],
        "layers": [],
        "combine": "sum",
        "dim": DIM,
    },
    "training": {"batch_size": 8},
    "estimator": {"kind": "paper", "buckets": 100},
    "loss": {"kind": "refined_softmax", "temperature": 0.2},
}
CATALOGUE = Catalogue(
    np.array(["a", "b", "c"], object),
    {
        "sku": np.array(["a", "b", "c"], object),
        "tags": Lists(np.array(["x", "y", "x"], object), np.array([0, 2, 2, 3])),
        "colour": np.array(["red", "", "blue"], object),
        "price": np.array([1.0, 2.0, 7.0], np.float32),
    },
)


@pytest.fixture(scope="module")
def model() -> TwoTowerModel:
    made = TwoTowerModel.from_config(Config.model_validate(VALUES))
    made.item_features.set_catalogue(CATALOGUE)
    return made


def _candidate(model, sku, tags, colour, price) -> np.ndarray:
    """The candidate tower's vector of length 1, of raw features."""
    raw = {
        "sku": tf.constant([sku]),
        "tags": tf.ragged.constant([tags], dtype=tf.string, row_splits_dtype=tf.int64),
        "colour": tf.constant([colour]),
        "price": tf.constant([price]),
    }
    return model.candidate_tower(raw).numpy()[0]


ROWS = {
    "a": ("a", ["x", "y"], "red", 1.0),
    "b": ("b", [], "", 2.0),
    "c": ("c", ["x"], "blue", 7.0),
    "new": ("new", [], "", 2.0),
}


def _items(model, ids) -> np.ndarray:
    from twotower_tf.graph.hashing import fingerprint

    return model.query_tower._items(fingerprint(tf.constant(ids))).numpy()


def test_an_item_is_in_a_query_what_it_is_as_a_candidate(model):
    vectors = _items(model, list(ROWS))
    expected = np.stack([_candidate(model, *row) for row in ROWS.values()])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors / lengths, expected, rtol=1e-5, atol=1e-6)


def test_a_query_is_the_layers_of_its_items_plus_the_items(model):
    seeds, histories = ["b", "", "new"], [["a", "c", "a"], ["c"], []]
    raw = {
        "seed": tf.constant(seeds),
        "history": tf.ragged.constant(histories, dtype=tf.string, row_splits_dtype=tf.int64),
    }
    got = model.query_tower(raw).numpy()
    vectors = dict(zip(ROWS, _items(model, list(ROWS)), strict=True))
    weights = {v.name: v.numpy() for v in model.query_tower.variables}
    kernels = [next(w for n, w in weights.items() if f"dense_{at}/kernel" in n) for at in (0, 1)]
    biases = [next(w for n, w in weights.items() if f"dense_{at}/bias" in n) for at in (0, 1)]
    for seed, history, row in zip(seeds, histories, got, strict=True):
        of_seed = vectors[seed] if seed else np.zeros(DIM)
        of_history = (
            np.mean([vectors[one] for one in history], axis=0) if history else np.zeros(DIM)
        )
        hidden = np.maximum(np.concatenate([of_seed, of_history]) @ kernels[0] + biases[0], 0)
        x = hidden @ kernels[1] + biases[1] + of_seed + of_history
        np.testing.assert_allclose(row, x / np.linalg.norm(x), rtol=1e-4, atol=1e-5)


def test_padded_lists_of_a_request_mean_what_ragged_ones_do(model):
    ragged = tf.ragged.constant([["a", "c"], []], dtype=tf.string, row_splits_dtype=tf.int64)
    seeds = tf.constant(["b", ""])
    padded = model.query_tower({"seed": seeds, "history": ragged.to_tensor("", [None, 3])})
    np.testing.assert_array_equal(padded, model.query_tower({"seed": seeds, "history": ragged}))


def test_the_catalogues_features_are_in_no_checkpoint_but_are_trained_through(model):
    owned = {id(variable) for variable in model.variables}
    assert not owned & {id(variable) for variable in model.item_features.components}
    raw = {
        "seed": tf.constant(["a"]),
        "history": tf.ragged.constant([["c"]], dtype=tf.string, row_splits_dtype=tf.int64),
    }
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.query_tower(raw) * [[1.0, 2.0, 3.0, 4.0]])
    words = model.tables["words"].embeddings
    gradient = tf.convert_to_tensor(tape.gradient(loss, words)).numpy()
    assert set(np.flatnonzero(np.abs(gradient).sum(axis=1))) == set(
        model.tables["words"].rows(tf.constant(["x", "y"])).numpy()
    )


def test_another_catalogue_changes_what_items_are(model):
    before = _items(model, ["a", "c"])
    changed = dict(CATALOGUE.features)
    changed["price"] = np.array([1.0, 2.0, 100.0], np.float32)
    model.item_features.set_catalogue(Catalogue(CATALOGUE.item_ids, changed))
    after = _items(model, ["a", "c"])
    model.item_features.set_catalogue(CATALOGUE)
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1] - before[1]).max() > 1e-3


def test_bytes_an_item_are_those_of_its_numbers(model):
    # A fingerprint; colour and price; where the tags end; an average of one tag an item: a row of
    # the empty item is beside those of the three.
    tags, splits, colour, price, fingerprints = 3 * 4, 5 * 8, 4 * 4, 4 * 4, 4 * 8
    expected = (tags + splits + colour + price + fingerprints) / 3
    assert model.item_features.bytes_per_item == pytest.approx(expected)


def test_training_moves_every_weight_and_the_same_seed_gives_the_same_bits():
    def trained() -> list[np.ndarray]:
        values = {**VALUES, "query": {**VALUES["query"], "dropout": 0.3}}
        values["candidate"] = {**VALUES["candidate"], "vector_dropout": 0.2}
        made = TwoTowerModel.from_config(Config.model_validate(values))
        made.item_features.set_catalogue(CATALOGUE)
        start = [variable.numpy() for variable in made.trainable_variables]
        ids = tf.constant(["a", "b", "c", "a"])
        tags = tf.ragged.constant([["x", "y"], [], ["x"], ["x", "y"]], dtype=tf.string)
        batch = {
            "query": {
                "seed": tf.constant(["b", "a", "", "c"]),
                "history": tf.ragged.constant([["a"], ["b", "c"], ["a"], []], dtype=tf.string),
            },
            "candidate": {
                "sku": ids,
                "tags": tags,
                "colour": tf.constant(["red", "", "blue", "red"]),
                "price": tf.constant([1.0, 2.0, 7.0, 1.0]),
            },
            "item_id": ids,
            "reward": tf.ones([4]),
        }
        for _ in range(3):
            made.train_step(batch)
        end = [variable.numpy() for variable in made.trainable_variables]
        assert all((one != two).any() for one, two in zip(start, end, strict=True))
        return end

    for one, two in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_shortest_configuration_sums_candidates_and_skips_the_layers_with_items():
    values = {
        **{key: VALUES[key] for key in ("name", "source")},
        "query": {"features": [{"name": "history", "kind": "id_bag"}]},
        "candidate": {
            "features": [
                {"name": "sku", "kind": "id"},
                {"name": "title", "kind": "text"},
                {"name": "colour", "kind": "id"},
            ]
        },
    }
    config = Config.model_validate(values)
    assert config.query.features[0].is_item
    assert config.query.features[0].encoder.kind == "recency"
    assert config.query.skipping == ["history"]
    assert config.query.widths == [128, 64]
    assert config.candidate.how_combined == "sum"
    assert config.candidate.widths == []
    assert [one.table for one in config.candidate.features] == ["items", "words", "colour"]
    assert set(config.tables) == {"items", "words", "colour"}
    assert config.tables["items"].vocabulary.catalogue


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"encode": "item", "table": "items"}, "encode: item takes no table"),
        ({"encode": "item", "encoder": "meen"}, "unknown kind 'meen'; did you mean 'mean'"),
    ],
)
def test_what_does_not_fit_an_item_is_refused(feature, message):
    query = {"features": [{"name": "history", "kind": "id_bag", **feature}], "layers": [DIM]}
    with pytest.raises(ValueError, match=message):
        Config.model_validate({**VALUES, "query": query})


EVENTS = VALUES["source"]["events"]
OF_LOG = {"event_type": "what", "dwell": "seconds"}


@pytest.mark.parametrize(
    ("encoder", "columns", "feature", "message"),
    [
        ({"types": ["buy"]}, {}, {}, "types of the encoder need source.events.columns.event_type"),
        ({"dwell": True}, {}, {}, "dwell of the encoder need source.events.columns.dwell"),
        ({"types": ["buy"]}, {**OF_LOG, "history": "path"}, {}, "types .* not the log"),
        ({"dwell": True}, {**OF_LOG, "history": "path"}, {}, "dwell .* not the log"),
        ({"dwell": True}, OF_LOG, {"column": "shelf"}, "those of the column 'history' alone"),
        ({"kind": "mean", "dwell": True}, OF_LOG, {}, "unknown key 'dwell'"),
    ],
)
def test_what_is_not_known_of_past_events_is_refused(encoder, columns, feature, message):
    encoder = {"kind": "recency", **encoder}
    query = [{"name": "history", "kind": "id_bag", "encode": "item", "encoder": encoder, **feature}]
    source = {**VALUES["source"], "events": {**EVENTS, "columns": columns}}
    values = {**VALUES, "source": source, "query": {"features": query, "layers": [DIM]}}
    with pytest.raises(ValueError, match=message):
        Config.model_validate(values)


def test_the_columns_of_past_events_are_the_builds():
    query = {"features": [{"name": "history_dwell", "kind": "dense"}], "layers": [DIM]}
    with pytest.raises(ValueError, match="filled in by the build; say dwell in the encoder"):
        Config.model_validate({**VALUES, "query": query})


def test_a_candidate_can_not_be_encoded_as_an_item():
    features = [{"name": "sku", "kind": "id", "encode": "item"}]
    with pytest.raises(ValueError, match="encode: item is for features of the query"):
        Config.model_validate({**VALUES, "candidate": {"features": features}})


def test_blank_queries_give_finite_vectors(model):
    config = Config.model_validate(VALUES)
    assert np.isfinite(model.query_tower(blank_features(config, "query"))).all()
