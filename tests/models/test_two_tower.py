"""The model as a whole: its loss against a naive forward pass, its estimator, its checks."""

import numpy as np
import pytest

from twotower_tf.config import Config

# isort: split
import tensorflow as tf

from twotower_tf.config.registries import LOSSES
from twotower_tf.models.inference import blank_features
from twotower_tf.models.losses.in_batch import CorrectedSoftmax, PlainSoftmax
from twotower_tf.models.losses.query_negatives import QueryNegatives
from twotower_tf.models.two_tower import TwoTowerModel

_CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "tables": {"items": {"buckets": 64, "dim": 4}, "words": {"buckets": 64, "dim": 4}},
        "query": {
            "features": [{"name": "history", "kind": "id_bag", "table": "items"}],
            "layers": [4],
        },
        "candidate": {
            "features": [
                {"name": "item_id", "kind": "id", "table": "items"},
                {"name": "tags", "kind": "id_bag", "table": "words"},
            ],
            "layers": [4],
        },
        "loss": {"kind": "corrected_softmax", "temperature": 0.2},
        "estimator": {"kind": "paper", "buckets": 1000, "initial_gap": 10, "alpha": 0.5},
    }
)


def _batch() -> dict:
    ids = tf.constant(["a", "b", "a", "c"])
    return {
        "query": {"history": tf.ragged.constant([["b"], ["a", "c"], [], ["b"]])},
        "candidate": {
            "item_id": ids,
            "tags": tf.ragged.constant([["x"], ["y", "x"], ["x"], []], dtype=tf.string),
        },
        "item_id": ids,
        "reward": tf.constant([1.0, 0.5, 0.0, 1.0]),
    }


def test_loss_of_a_batch_equals_a_naive_forward_pass_over_distinct_items():
    model = TwoTowerModel.from_config(_CONFIG)
    loss = float(model.compute_loss(_batch(), training=True))
    u = model.query_tower(_batch()["query"]).numpy().astype(np.float64)
    v = model.candidate_tower(_batch()["candidate"]).numpy().astype(np.float64)
    distinct, positives = {"a": v[0], "b": v[1], "c": v[3]}, ["a", "b", "a", "c"]
    # All were seen for the first time in step 1: gap = 0.5 * 10 + 0.5 * 1.
    p = 1 / 5.5
    expected = 0.0
    for query, positive, reward in zip(u, positives, [1, 0.5, 0, 1], strict=True):
        logits = {item: query @ vector / 0.2 - np.log(p) for item, vector in distinct.items()}
        total = np.log(sum(np.exp(logit) for logit in logits.values()))
        expected -= reward * (logits[positive] - total) / 4
    assert loss == pytest.approx(expected, rel=1e-5)
    assert float(model.mean_loss.result()) == pytest.approx(expected, rel=1e-5)
    assert float(model.distinct_share.result()) == pytest.approx(0.75)


def test_estimator_counts_training_steps_only_and_keeps_step_with_the_optimiser():
    model = TwoTowerModel.from_config(_CONFIG)
    model.compute_loss(_batch(), training=False)
    assert int(model.estimator.step) == 0
    data = tf.data.Dataset.from_tensors(_batch()).repeat(3)
    model.fit(data, verbose=0)
    assert int(model.estimator.step) == int(model.optimizer.iterations) == 3


def test_training_lowers_the_loss_and_gradients_of_tables_stay_sparse():
    model = TwoTowerModel.from_config(_CONFIG)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(_batch(), training=True)
    table = model.candidate_tower.trainable_variables[0]
    assert table.shape == (64, 4)
    assert isinstance(tape.gradient(loss, table), tf.IndexedSlices)
    data = tf.data.Dataset.from_tensors(_batch()).repeat(30)
    model.fit(data, verbose=0)
    assert float(model.compute_loss(_batch())) < float(loss)


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again = (TwoTowerModel.from_config(_CONFIG) for _ in range(2))
    other = TwoTowerModel.from_config(_CONFIG.model_copy(update={"seed": 18}))
    for one, two, three in zip(
        first.trainable_variables,
        again.trainable_variables,
        other.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
        if "bias" not in one.name:
            assert (one.numpy() != three.numpy()).any()


def test_no_initial_weights_are_shared_between_tables_or_towers():
    variables = TwoTowerModel.from_config(_CONFIG).trainable_variables
    values = [v.numpy().ravel()[:16] for v in variables if "bias" not in v.name]
    for number, one in enumerate(values):
        for other in values[number + 1 :]:
            assert (one[: len(other)] != other[: len(one)]).any()


def test_blank_features_are_the_defaults_with_empty_lists():
    blank = blank_features(_CONFIG, "candidate")
    assert blank["item_id"].numpy().tolist() == [b""]
    assert blank["tags"].shape == (1, 0)


def test_the_model_is_compiled_with_the_optimizer_of_its_configuration():
    told = {"kind": "adagrad", "learning_rate": 0.25, "initial_accumulator": 0.125}
    config = Config.model_validate({**_CONFIG.model_dump(), "optimizer": told})
    made = TwoTowerModel.from_config(config).optimizer.get_config()
    assert (made["learning_rate"], made["initial_accumulator_value"]) == (0.25, 0.125)


def test_a_loss_that_corrects_needs_an_estimator():
    model = TwoTowerModel.from_config(_CONFIG)
    with pytest.raises(ValueError, match="CorrectedSoftmax needs a FrequencyEstimator"):
        TwoTowerModel(model.query_tower, model.candidate_tower, CorrectedSoftmax(0.1), None)
    TwoTowerModel(model.query_tower, model.candidate_tower, PlainSoftmax(0.1), None)


def _with_loss(**loss) -> Config:
    return Config.model_validate({**_CONFIG.model_dump(), "loss": loss})


def _batch_with_uniform_negatives() -> dict:
    ids = tf.constant(["d", "b", "d"])
    negatives = {
        "item_id": ids,
        "candidate": {
            "item_id": ids,
            "tags": tf.ragged.constant([["z"], ["y", "x"], ["z"]], dtype=tf.string),
        },
        "catalogue_size": tf.constant(10, tf.int64),
    }
    return {**_batch(), "uniform_negatives": negatives}


def test_mixed_loss_equals_a_naive_forward_pass_over_items_of_either_route():
    model = TwoTowerModel.from_config(_with_loss(kind="mixed_softmax", temperature=0.2))
    batch = _batch_with_uniform_negatives()
    loss = float(model.compute_loss(batch, training=True))
    u = model.query_tower(batch["query"]).numpy().astype(np.float64)
    v = model.candidate_tower(batch["candidate"]).numpy().astype(np.float64)
    drawn = (
        model.candidate_tower(batch["uniform_negatives"]["candidate"]).numpy().astype(np.float64)
    )
    distinct = {"a": v[0], "b": v[1], "c": v[3], "d": drawn[0]}
    # Seen in step 1: 0.5 * 10 + 0.5 * 1; the item that was only drawn has the first gap still.
    p = {"a": 1 / 5.5, "b": 1 / 5.5, "c": 1 / 5.5, "d": 1 / 10}
    p = {item: 1 - (1 - seen) * 0.9**3 for item, seen in p.items()}
    expected = 0.0
    for query, positive, reward in zip(u, ["a", "b", "a", "c"], [1, 0.5, 0, 1], strict=True):
        logits = {item: query @ row / 0.2 - np.log(p[item]) for item, row in distinct.items()}
        total = np.log(sum(np.exp(logit) for logit in logits.values()))
        expected -= reward * (logits[positive] - total) / 4
    assert loss == pytest.approx(expected, rel=1e-5)
    assert float(model.distinct_share.result()) == pytest.approx(0.75)


def test_mixed_loss_without_negatives_in_the_batch_says_where_they_come_from():
    model = TwoTowerModel.from_config(_with_loss(kind="mixed_softmax"))
    with pytest.raises(
        ValueError, match=r"MixedSoftmax needs uniform_negatives.*with_uniform_items"
    ):
        model.compute_loss(_batch())


@pytest.mark.parametrize("kind", LOSSES.sections)
def test_every_loss_of_the_configuration_trains_the_model(kind):
    model = TwoTowerModel.from_config(_with_loss(kind=kind))
    before = [variable.numpy() for variable in model.trainable_variables]
    model.train_step(_batch_with_uniform_negatives())
    assert np.isfinite(float(model.mean_loss.result()))
    changed = [
        np.abs(one - two.numpy()).max() > 0
        for one, two in zip(before, model.trainable_variables, strict=True)
    ]
    assert all(changed)


def test_examples_of_reward_zero_and_hard_negatives_reach_the_loss():
    values = {**_CONFIG.model_dump(), "negatives": {"explicit": 0.5}}
    values["loss"] = {"kind": "refined_softmax", "temperature": 0.2}
    values["examples"]["reward"] = {"column": "stars"}
    model = TwoTowerModel.from_config(Config.model_validate(values))
    raw = {"item_id": tf.constant(["c", "e"]), "tags": tf.ragged.constant([["x"], ["y"]])}
    places = tf.constant([[0, 1], [-1, -1], [1, -1], [-1, -1]])
    hard = {"candidate": raw, "places": places, "weight": tf.constant(3.0)}
    batch = {**_batch(), "hard_negatives": hard}
    loss = float(model.compute_loss(batch))
    v = model.candidate_tower(batch["candidate"])
    expected = model.batch_loss(
        model.query_tower(batch["query"]),
        tf.gather(v, [0, 1, 3]),
        tf.constant([0, 1, 0, 2]),
        batch["reward"],
        tf.fill([3], 1 / 10),
        query_negatives=QueryNegatives(
            tf.constant([0.0, 0.0, 0.5, 0.0]), model.candidate_tower(raw), places, 3.0
        ),
    )
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_a_learned_temperature_is_trained_within_its_bounds_and_saved_with_the_model(tmp_path):
    config = _with_loss(temperature={"learned": True, "start": 0.3, "least": 0.2, "most": 0.5})
    model, restored = TwoTowerModel.from_config(config), TwoTowerModel.from_config(config)
    assert model.batch_loss.temperature == pytest.approx(0.3)
    fixed = TwoTowerModel.from_config(_with_loss(temperature=0.3))
    assert float(model.compute_loss(_batch())) == pytest.approx(float(fixed.compute_loss(_batch())))
    model.fit(tf.data.Dataset.from_tensors(_batch()), verbose=0)
    learnt = model.batch_loss.temperature
    assert 0.2 <= learnt <= 0.5
    assert learnt != pytest.approx(0.3)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "m"))
    state = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer)
    state.read(path).assert_consumed()
    assert restored.batch_loss.temperature == learnt
    model.optimizer.learning_rate.assign(100.0)
    for _ in range(3):
        model.fit(tf.data.Dataset.from_tensors(_batch()), verbose=0)
        assert 0.2 - 1e-6 <= model.batch_loss.temperature <= 0.5 + 1e-6


def test_gramian_estimates_are_saved_with_the_model(tmp_path):
    config = _with_loss(kind="mse_gramian")
    model, restored = TwoTowerModel.from_config(config), TwoTowerModel.from_config(config)
    model.train_step(_batch())
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "model"))
    tf.train.Checkpoint(model=restored).read(path).assert_consumed()
    assert float(restored.compute_loss(_batch())) == float(model.compute_loss(_batch()))
    assert float(restored.compute_loss(_batch())) > 0
