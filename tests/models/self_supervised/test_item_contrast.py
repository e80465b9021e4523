"""The loss of items alone: InfoNCE by hand, whose views, and what items learn by it."""

import doctest

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from tests.models.test_items_in_queries import CATALOGUE, VALUES
from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.models.inference import as_tensors
from twotower_tf.models.losses import info_nce as info_nce_module
from twotower_tf.models.losses.info_nce import info_nce
from twotower_tf.models.self_supervised.augmentation import Augmentation
from twotower_tf.models.self_supervised.item_contrast import ItemContrast, drop_values
from twotower_tf.models.two_tower import TwoTowerModel

NAMES = ["sku", "tags", "colour", "price"]


def _model(**section) -> TwoTowerModel:
    fixed = {"features": NAMES, "value_dropout": 0.0, "temperature": 0.3, "batch_size": 4}
    section = {**fixed, **section}
    return TwoTowerModel.from_config(Config.model_validate({**VALUES, "self_supervised": section}))


def _drawn(catalogue: Catalogue = CATALOGUE, rows=None) -> dict:
    taken = catalogue.take(np.arange(len(catalogue)) if rows is None else np.array(rows))
    ids = tf.constant(taken.item_ids, tf.string)
    size = tf.constant(len(catalogue), tf.int64)
    return {"item_id": ids, "candidate": as_tensors(taken), "catalogue_size": size}


def _naive(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    losses = []
    for own, anchor in enumerate(first):
        logits = [float(anchor @ view) / temperature for view in second]
        losses.append(np.log(np.sum(np.exp(logits))) - logits[own])
    return float(np.mean(losses))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_info_nce_is_the_naive_one_and_its_parts_add_up():
    rng = np.random.default_rng(0)
    first, second = (_unit(rng.standard_normal((7, 5))).astype(np.float32) for _ in range(2))
    expected = _naive(first.astype(np.float64), second.astype(np.float64), 0.2)
    whole = info_nce(first, second, tf.range(7), 0.2)
    assert float(whole) == pytest.approx(expected, rel=1e-5)
    parts = [
        info_nce(first[rows], second, tf.range(7)[rows], 0.2, tf.constant(7))
        for rows in (slice(0, 3), slice(3, 7), slice(7, 7))
    ]
    assert float(tf.add_n(parts)) == pytest.approx(expected, rel=1e-5)
    result = doctest.testmod(info_nce_module)
    assert (result.attempted > 0, result.failed) == (True, 0)


@pytest.mark.parametrize("augmentation", ["random", "correlated"])
def test_the_loss_is_that_of_sums_over_the_features_that_each_view_has(augmentation):
    contrast = _model(augmentation=augmentation).contrast
    contrast.set_catalogue(CATALOGUE)
    raw = as_tensors(CATALOGUE)
    tower = contrast._tower
    vectors = {
        one.name: tower._fitted(one.name, one(raw)).numpy().astype(np.float64)
        for one in tower.encoders
    }
    for step in range(4):
        contrast.follow(tf.Variable(step, dtype=tf.int64))
        kept = contrast._augmentation.kept(tf.constant(step, tf.int64)).numpy()
        first, second = (
            sum(vectors[name] * has for name, has in zip(NAMES, view, strict=True)) for view in kept
        )
        # Item b has no tags: nothing is left of it where a view has tags alone.
        told = (np.abs(first).sum(axis=1) > 0) & (np.abs(second).sum(axis=1) > 0)
        expected = _naive(_unit(first[told]), _unit(second[told]), 0.3)
        loss, share = contrast(_drawn(), training=False)
        assert float(loss) == pytest.approx(expected, rel=1e-4)
        assert float(share) == 1.0


def test_an_augmentation_of_ones_own_says_which_features_the_views_have():
    class IdsAlone(Augmentation):
        """The id in one view, the rest in the other."""

        def kept(self, step):
            is_id = tf.constant([name == "sku" for name in self.features])
            return tf.stack([is_id, ~is_id])

    tower, raw = _model().candidate_tower, as_tensors(CATALOGUE)
    (first, second), _ = ItemContrast(tower, IdsAlone(NAMES, seed=1)).views(raw, training=False)
    sku, *others = (tower._fitted(one.name, one(raw)) for one in tower.encoders)
    np.testing.assert_allclose(first, tf.math.l2_normalize(sku, axis=-1), rtol=1e-5)
    rest = tf.math.l2_normalize(tf.add_n(others), axis=-1)
    np.testing.assert_allclose(second, rest, rtol=1e-5, atol=1e-6)


def test_views_are_made_of_all_but_the_items_own_id_unless_told_otherwise():
    contrast = _model(augmentation="dropout", value_dropout=1e-9, features=None).contrast
    raw = as_tensors(CATALOGUE)
    (first, second), _ = contrast.views(raw, training=False)
    others = [one for one in contrast._tower.encoders if one.name != "sku"]
    rest = tf.add_n([contrast._tower._fitted(one.name, one(raw)) for one in others])
    np.testing.assert_allclose(first, tf.math.l2_normalize(rest, axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first, second)


def test_an_item_that_was_drawn_twice_counts_once():
    contrast = _model(augmentation="random").contrast
    once, _ = contrast(_drawn(rows=[0, 1, 2]), training=False)
    twice, _ = contrast(_drawn(rows=[0, 1, 0, 2, 2]), training=False)
    assert float(twice) == pytest.approx(float(once), rel=1e-6)


def test_items_of_which_a_view_holds_nothing_are_left_out_and_gradients_stay_finite():
    ids = np.array(["a", "b", "c", "d"], object)
    features = {
        "tags": Lists(np.array(["x", "y"], object), np.array([0, 1, 1, 2, 2])),
        "colour": np.array(["red", "red", "blue", "blue"], object),
    }
    candidate = {**VALUES["candidate"], "layers": [3, 4], "combine": "concat"}
    candidate["features"] = [one for one in candidate["features"] if one["name"] in features]
    section = {"augmentation": "random", "value_dropout": 0.0}
    values = {**VALUES, "candidate": candidate, "self_supervised": section}
    contrast = TwoTowerModel.from_config(Config.model_validate(values)).contrast
    with tf.GradientTape() as tape:
        loss, _ = contrast(_drawn(Catalogue(ids, features)))
    _, told = contrast.views(as_tensors(Catalogue(ids, features)))
    assert told.numpy().tolist() == [0, 2]
    weights = contrast._tower.trainable_variables
    for gradient in tape.gradient(loss, weights):
        assert np.abs(tf.convert_to_tensor(gradient)).max() < 100
    with tf.GradientTape() as tape:
        loss, share = contrast(_drawn(Catalogue(ids, features), rows=[1, 3]))
    assert (float(loss), float(share)) == (0.0, 0.0)
    for gradient in tape.gradient(loss, weights):
        assert not np.any(tf.convert_to_tensor(gradient))


def test_values_are_dropped_at_their_rate_with_their_weights_and_for_each_view_anew():
    lengths = np.random.default_rng(1).integers(0, 40, 300)
    ids = tf.RaggedTensor.from_row_lengths(tf.range(lengths.sum()), lengths)
    rows = (ids, ids.with_flat_values(tf.cast(ids.flat_values, tf.float32) / 2))
    seed = tf.constant([3, 9], tf.int64)
    left, weights = drop_values(rows, 0.3, seed)
    np.testing.assert_array_equal(left.flat_values / 2, weights.flat_values)
    for kept, whole in zip(left.to_list(), ids.to_list(), strict=True):
        assert [one for one in whole if one in set(kept)] == kept
    share = left.flat_values.shape[0] / lengths.sum()
    assert share == pytest.approx(0.7, abs=4 * (0.21 / lengths.sum()) ** 0.5)
    again, _ = drop_values(rows, 0.3, seed)
    np.testing.assert_array_equal(again.flat_values, left.flat_values)
    number = tf.constant([1, 2])
    assert drop_values(number, 0.3, seed) is number


def test_with_dropout_alone_views_of_an_item_differ_by_values_they_lack():
    contrast = _model(augmentation="dropout", value_dropout=0.5).contrast
    words = np.array([f"w{n}" for n in range(60)], object)
    features = {**CATALOGUE.features, "tags": Lists(words, np.array([0, 20, 40, 60]))}
    views, told = contrast.views(as_tensors(Catalogue(CATALOGUE.item_ids, features)), False)
    assert told.numpy().tolist() == [0, 1, 2]
    assert (np.abs(views[0] - views[1]).max(axis=1) > 1e-3).all()
    # The tower's own dropout, too, is another one in either view.
    contrast = _model(augmentation="dropout", value_dropout=1e-9).contrast
    contrast._tower._drop_vector._rate = 0.5
    (first, second), _ = contrast.views(as_tensors(CATALOGUE))
    assert ((first == 0) != (second == 0)).numpy().any()


def _shop() -> tuple[Catalogue, np.ndarray]:
    """Forty items of four kinds: tags and colour are those of the kind, the id says nothing."""
    kinds = np.arange(40) % 4
    rng = np.random.default_rng(2)
    tags = np.array([f"t{kind}{n}" for kind in kinds for n in rng.integers(0, 4, 3)], object)
    features = {
        "sku": np.array([f"item {n}" for n in range(40)], object),
        "tags": Lists(tags, np.arange(41) * 3),
        "colour": np.array([f"colour {kind}" for kind in kinds], object),
        "price": np.full(40, 0.1, np.float32),
    }
    return Catalogue(features["sku"], features), kinds


def _train(weight: float) -> tuple[TwoTowerModel, np.ndarray, np.ndarray]:
    """Returns a model whose examples know the first eight items only, all items, their kinds."""
    catalogue, kinds = _shop()
    model = _model(augmentation="random", weight=weight, temperature=0.2, value_dropout=0.2)
    model.item_features.set_catalogue(catalogue)
    model.contrast.set_catalogue(catalogue)
    seen = catalogue.take(np.arange(8))
    ids = tf.constant(seen.item_ids, tf.string)
    batch = {
        "query": {"seed": ids, "history": tf.reshape(ids, [-1, 1])},
        "candidate": as_tensors(seen),
        "item_id": ids,
        "reward": tf.ones([8]),
        "contrasted_items": _drawn(catalogue),
    }
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(150), verbose=0)
    return model, model.candidate_tower(as_tensors(catalogue)).numpy(), kinds


def _alike_minus_others(vectors: np.ndarray, kinds: np.ndarray) -> float:
    """Cosine of items never seen with others of their kind, less that with other kinds."""
    cosines = vectors[8:] @ vectors[8:].T
    alike = kinds[8:, np.newaxis] == kinds[8:]
    own = np.eye(len(cosines), dtype=bool)
    return float(cosines[alike & ~own].mean() - cosines[~alike].mean())


@pytest.mark.long
def test_items_never_seen_come_nearer_to_those_of_like_attributes_and_bits_repeat():
    model, vectors, kinds = _train(weight=1.0)
    assert float(model.mean_contrast_loss.result()) > 0
    _, hardly, _ = _train(weight=1e-9)
    assert _alike_minus_others(vectors, kinds) > _alike_minus_others(hardly, kinds) + 0.2
    _, again, _ = _train(weight=1.0)
    np.testing.assert_array_equal(again, vectors)


def test_nothing_of_it_is_in_the_model_and_training_without_its_items_is_refused():
    model, plain = _model(), TwoTowerModel.from_config(Config.model_validate(VALUES))
    assert [v.name for v in model.trainable_variables] == [
        v.name for v in plain.trainable_variables
    ]
    assert plain.contrast is None
    assert plain.mean_contrast_loss is None
    assert [metric.name for metric in plain.metrics] == ["mean_loss", "distinct_share"]
    ids = tf.constant(["a", "b", "c"])
    batch = {
        "query": {"seed": ids, "history": tf.reshape(ids, [-1, 1])},
        "candidate": as_tensors(CATALOGUE),
        "item_id": ids,
        "reward": tf.ones([3]),
    }
    with pytest.raises(ValueError, match=r"ItemContrast needs contrasted_items.*with_uniform"):
        model.compute_loss(batch, training=True)
    loss = float(plain.compute_loss(batch))
    assert float(model.compute_loss(batch)) == loss
    batch["contrasted_items"] = _drawn()
    own, _ = model.contrast(batch["contrasted_items"])
    whole = float(model.compute_loss(batch, training=True))
    loss = float(plain.compute_loss(batch, training=True))
    assert whole == pytest.approx(loss + 0.1 * float(own), rel=1e-5)
    assert float(model.mean_contrast_loss.result()) == pytest.approx(float(own))
