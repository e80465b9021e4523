"""Two replicas (MirroredStrategy on two virtual CPUs) against one replica with the whole batch.

Virtual devices must be made before TensorFlow is used, so this file runs itself as a process of
its own, once, and the tests look at what that process measured.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = {
    "corrected_softmax": {},
    "corrected_softmax_by_example": {},
    "corrected_softmax_by_example_masked": {},
    "plain_softmax": {"temperature": {"learned": True, "start": 0.3}},
    "refined_softmax": {},
    "mixed_softmax": {},
    "mse_gramian": {"rate": 0.4},
    "pointwise": {"negatives": 3},
    "pairwise_hinge": {"margin": 0.5},
    "plain_softmax, and items alone": {},
}
# Of a whole batch of 7, how many examples the first replica has in each step: uneven shares.
SPLITS = [5, 5, 5]
# Shares of none at all, for losses of each sort: with probabilities, and with a state.
EMPTY_SHARES = {"mse_gramian": [7, 7, 7], "mixed_softmax": [0, 0, 0]}


def model_of(kind):
    from twotower_tf.config import Config
    from twotower_tf.models.two_tower import TwoTowerModel

    items = {"items": {"buckets": 64, "dim": 4}}
    values = {
        "name": "tiny",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "tables": items,
        "query": {"features": [{"name": "seen", "kind": "id", "table": "items"}]},
        "candidate": {"features": [{"name": "item", "kind": "id", "table": "items"}]},
        "loss": {"kind": kind.split(",")[0], **KINDS[kind]},
        "estimator": {"buckets": 1000, "initial_gap": 10, "alpha": 0.5},
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
    }
    values["query"]["layers"] = values["candidate"]["layers"] = [4]
    if "items alone" in kind:
        only = {"augmentation": "dropout", "features": ["item"]}
        values["self_supervised"] = {**only, "weight": 0.5}
    return TwoTowerModel.from_config(Config.model_validate(values))


def batch_of(step, start, end, drawn):
    """The examples [start, end) of a step's batch; the others' places are not in it."""
    import tensorflow as tf

    random = np.random.default_rng(step)
    items = random.integers(0, 5, 7).astype(str)[start:end]
    seen = random.integers(0, 9, 7).astype(str)[start:end]
    reward = random.uniform(0, 1, 7)[start:end]
    negatives = tf.constant(random.integers(0, 8, 6).astype(str)[drawn], tf.string)
    uniform = {
        "item_id": negatives,
        "candidate": {"item": negatives},
        "catalogue_size": tf.constant(8, tf.int64),
    }
    return {
        "query": {"seen": tf.constant(seen, tf.string)},
        "candidate": {"item": tf.constant(items, tf.string)},
        "item_id": tf.constant(items, tf.string),
        "reward": tf.constant(reward, tf.float32),
        "uniform_negatives": uniform,
        "contrasted_items": uniform,
    }


def state_of(model, losses):
    weights = {f"{n} {v.name}": v.numpy().tolist() for n, v in enumerate(model.variables)}
    return {
        "losses": [float(loss) for loss in losses],
        "metrics": {metric.name: float(metric.result()) for metric in model.metrics},
        "weights": weights,
        "sketch": [value.numpy().tolist() for value in model.estimator.variables],
        "gramians": [
            getattr(model._loss, name).numpy().tolist()
            for name in ("query_gramian", "candidate_gramian", "batches")
            if hasattr(model._loss, name)
        ],
    }


def train_alone(kind):
    model = model_of(kind)
    # Without a graph: tracing would take longer than the few steps.
    losses = [model.train_step(batch_of(n, 0, 7, slice(0, 6)))["loss"] for n in range(len(SPLITS))]
    return state_of(model, losses)


def train_together(kind, strategy, splits):
    import tensorflow as tf

    with strategy.scope():
        model = model_of(kind)

    @tf.function(reduce_retracing=True)
    def step(shares):
        parts = strategy.run(lambda batch: model.train_step(batch)["loss"], args=(shares,))
        return strategy.reduce("SUM", parts, axis=None)

    losses = []
    for number, split in enumerate(splits):
        shares = [
            batch_of(number, 0, split, slice(0, 2)),
            batch_of(number, split, 7, slice(2, 6)),
        ]
        losses.append(
            step(
                strategy.experimental_distribute_values_from_function(
                    lambda context, shares=shares: shares[context.replica_id_in_sync_group]
                )
            )
        )
    return state_of(model, losses)


def main():
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    measured = {
        kind: {"alone": train_alone(kind), "together": train_together(kind, strategy, SPLITS)}
        for kind in KINDS
    }
    for kind, splits in EMPTY_SHARES.items():
        together = train_together(kind, strategy, splits)
        measured[f"{kind}, empty shares"] = {**measured[kind], "together": together}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(measured), encoding="utf-8")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("replicas") / "measured.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, __file__, str(out)], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(out.read_text(encoding="utf-8"))


CASES = [*KINDS, *(f"{kind}, empty shares" for kind in EMPTY_SHARES)]


@pytest.mark.parametrize("part", ["losses", "metrics", "weights", "gramians"])
@pytest.mark.parametrize("case", CASES)
def test_two_replicas_train_what_one_does_on_the_whole_batch(measured, case, part):
    alone, together = measured[case]["alone"][part], measured[case]["together"][part]
    if isinstance(alone, list):
        alone, together = dict(enumerate(alone)), dict(enumerate(together))
    assert list(alone) == list(together)
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-5, atol=1e-5, err_msg=str(name))


@pytest.mark.parametrize("case", CASES)
def test_sketch_counts_the_whole_batch_once_a_step(measured, case):
    alone, together = measured[case]["alone"]["sketch"], measured[case]["together"]["sketch"]
    assert together[0] == alone[0] == len(SPLITS)
    np.testing.assert_array_equal(together[1], alone[1])


def test_every_loss_trained_the_weights_its_own_way(measured):
    tables = [next(iter(measured[kind]["alone"]["weights"].values())) for kind in KINDS]
    for number, one in enumerate(tables):
        for other in tables[number + 1 :]:
            assert np.abs(np.subtract(one, other)).max() > 1e-4


if __name__ == "__main__":
    main()
