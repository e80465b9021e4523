"""Ours: `TwoTowerModel` from a configuration, compiled and deterministic as the trainer has it."""

import numpy as np

from benchmarks.contenders import problem as given
from benchmarks.contenders.problem import Problem
from twotower_tf.config import Config

# isort: split
import tensorflow as tf

from twotower_tf.frequency.base import FrequencyEstimator
from twotower_tf.models.losses.in_batch import CorrectedSoftmaxByExampleMasked
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.training.day_trainer import make_deterministic

_PREFIX = "item "


def config_of(batch: int, layers, buckets: int, sketch: int = 1_000_000) -> Config:
    """The benchmark's configuration; everything it does not name is at its default."""
    values = {
        "name": "benchmark",
        "source": {
            "events": {"path": "e.csv", "columns": {"seed_item_id": "seed_item_id"}},
            "items": {"path": "i.csv"},
        },
        "examples": {"history_length": given.HISTORY, "shards": 2},
        "tables": {"items": {"buckets": buckets, "dim": given.DIM}},
        "query": {
            "features": [
                {"name": "seed_item_id", "kind": "id", "table": "items"},
                {"name": "history", "kind": "id_bag", "table": "items"},
            ],
            "layers": list(layers),
        },
        "candidate": {
            "features": [{"name": "item_id", "kind": "id", "table": "items"}],
            "layers": list(layers),
        },
        "loss": {"kind": "corrected_softmax", "temperature": given.TEMPERATURE},
        "estimator": {"buckets": sketch},
        "optimizer": {
            "kind": "adagrad",
            "learning_rate": given.LEARNING_RATE,
            "initial_accumulator": given.INITIAL_ACCUMULATOR,
            "layer_rate": 1.0,
        },
        "training": {"batch_size": batch},
    }
    return Config.model_validate(values)


def names(numbers: np.ndarray) -> np.ndarray:
    """The string ids of items."""
    return np.char.add(_PREFIX, numbers.astype(str)).astype(object)


def raw_batch(numbers: dict[str, np.ndarray]) -> dict:
    """A batch of item numbers as `TwoTowerModel` takes it."""
    items = tf.constant(names(numbers["item"]))
    history = tf.RaggedTensor.from_row_lengths(
        tf.constant(names(numbers["history"].ravel())),
        np.full(len(numbers["item"]), given.HISTORY, np.int64),
    )
    return {
        "query": {"seed_item_id": tf.constant(names(numbers["seed"])), "history": history},
        "candidate": {"item_id": items},
        "item_id": items,
        "reward": tf.ones([len(numbers["item"])]),
    }


def load_weights(model: TwoTowerModel, weights: dict) -> None:
    """Gives the model the initial weights that all contenders have."""
    for variable in model.trainable_variables:
        if variable.name.endswith("embeddings:0"):
            variable.assign(weights["table"])
    for side in ("query", "candidate"):
        dense = list(getattr(model, f"{side}_tower").trainable_variables)
        flat = [array for layer in weights[side] for array in layer]
        for variable, value in zip(dense[-len(flat) :], flat, strict=True):
            variable.assign(value)


class _KnownFrequencies(FrequencyEstimator):
    """In place of an estimator, for losses that can be compared: the items' true frequencies."""

    def __init__(self, batch: int):
        super().__init__(buckets=1)
        self._known = tf.constant(given.inclusion_probabilities(batch))

    def _create_tables(self) -> None:
        pass

    def update(self, ids: tf.Tensor) -> None:
        pass

    def probabilities(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._known, number_of(ids))


def number_of(ids: tf.Tensor) -> tf.Tensor:
    """The numbers of items from their string ids."""
    return tf.strings.to_number(tf.strings.substr(ids, len(_PREFIX), -1), tf.int32)


class Contender:
    """Trains with the default loss and estimator."""

    def __init__(self, problem: Problem):
        make_deterministic(17)
        self._problem = problem
        config = config_of(problem.batch, problem.layers, problem.buckets, problem.sketch)
        self._model = TwoTowerModel.from_config(config)
        load_weights(self._model, problem.weights())
        self._batches = [raw_batch(numbers) for numbers in problem.batches("numbers")]
        self._step = tf.function(self._model.train_step, reduce_retracing=True)
        self._steps = 0

    def losses(self, steps: int) -> list[float]:
        """Of the first steps, with the loss that all contenders can compute; then starts anew."""
        model = TwoTowerModel(
            self._model.query_tower,
            self._model.candidate_tower,
            CorrectedSoftmaxByExampleMasked(given.TEMPERATURE),
            _KnownFrequencies(self._problem.batch),
        )
        optimizer = type(self._model.optimizer).from_config(self._model.optimizer.get_config())
        model.compile(optimizer=optimizer)
        step = tf.function(model.train_step, reduce_retracing=True)
        losses = [float(step(batch)["loss"]) for batch in self._batches[:steps]]
        load_weights(self._model, self._problem.weights())
        return losses

    def step(self) -> None:
        """One training step."""
        batch = self._batches[self._steps % len(self._batches)]
        self._steps += 1
        self._step(batch)["loss"].numpy()
