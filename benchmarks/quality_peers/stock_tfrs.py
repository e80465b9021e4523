"""Stock TensorFlow Recommenders: the retrieval tutorials' model on the features of our YAML.

A table of embeddings for each kind of id, and for words, bags averaged; numbers as z-scores; side
by side, then dense layers; `tfrs.tasks.Retrieval` with its two corrections, for popularity and for
accidental hits; Adagrad at the tutorials' 0.1, several shuffled epochs.
"""

import pathlib

import numpy as np

from benchmarks.quality_data.problem import Problem
from benchmarks.quality_data.reading import records_of
from benchmarks.quality_peers.feature_columns import Column, Numbers, columns_of, of_catalogue
from twotower_tf.config_loader import load_config
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.storage import Workdir, parse_day

import tensorflow as tf  # isort: skip  (after twotower_tf, which chooses Keras 2)
import tensorflow_recommenders as tfrs  # isort: skip

_DIM = 32
_LAYERS = (64, 32)
_BATCH = 1024
_EPOCHS, _MOST_EXAMPLES = 10, 1_000_000
_LEARNING_RATE = 0.1


class Tower(tf.keras.Model):
    """Embeddings and numbers side by side, then dense layers."""

    def __init__(self, columns: list[Column], tables: dict[str, tf.keras.layers.Embedding]):
        super().__init__()
        self._columns, self._tables = columns, tables
        last = [tf.keras.layers.Dense(_LAYERS[-1])]
        hidden = [tf.keras.layers.Dense(size, activation="relu") for size in _LAYERS[:-1]]
        self._dense = tf.keras.Sequential(hidden + last)

    def call(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns [B, d]."""
        return self._dense(tf.concat([self._encode(one, batch) for one in self._columns], axis=1))

    def _encode(self, column: Column, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        values = batch[column.key]
        if not column.table:
            return values[:, tf.newaxis]
        there = tf.cast(values > 0, tf.float32)[:, :, tf.newaxis]
        vectors = self._tables[column.table](values) * there
        return tf.math.divide_no_nan(tf.reduce_sum(vectors, 1), tf.reduce_sum(there, 1))


class Retrieval(tfrs.Model):
    """The two towers and the stock task."""

    def __init__(self, query: Tower, candidate: Tower):
        super().__init__()
        self.query, self.candidate = query, candidate
        self._task = tfrs.tasks.Retrieval(remove_accidental_hits=True)

    def compute_loss(self, batch: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The task's loss."""
        return self._task(
            self.query(batch),
            self.candidate(batch),
            sample_weight=batch["reward"],
            candidate_sampling_probability=batch["probability"],
            candidate_ids=batch["item"],
            compute_metrics=False,
        )


class StockTfrs:
    """Trained on all before the window; its queries bring their history, as ours do."""

    retrain_days = 0

    def __init__(self, seed: int, quick: bool):
        tf.keras.utils.set_random_seed(seed)
        self._quick = quick

    def open(self, built: pathlib.Path, config: str, sets: list[str]) -> None:
        """Is told where the pipeline's examples are, and what features they have."""
        self._config = load_config(config, sets)
        self._workdir = Workdir.existing(str(built))
        self._query = columns_of(self._config, "query")
        self._candidate = columns_of(self._config, "candidate")

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Trains; embeds all items, and the queries of the window."""
        days = [parse_day(day, "day") for day in problem.days.tolist()]
        first = problem.first_day
        trained = self._read(days[:first], "train", self._query + self._candidate)
        asked = self._read(days[first:], "eval", self._query)
        catalogue = load_catalogue(self._workdir, self._config, days[-1])
        names = {column.key for column in self._query + self._candidate}
        self._numbers = Numbers(
            self._query + self._candidate, {key: trained[key] for key in sorted(names)}
        )
        tables = {
            table: tf.keras.layers.Embedding(self._numbers.rows(table), _DIM)
            for table in sorted({one.table for one in self._query + self._candidate} - {None})
        }
        model = Retrieval(Tower(self._query, tables), Tower(self._candidate, tables))
        model.compile(tf.keras.optimizers.Adagrad(_LEARNING_RATE))
        epochs = min(_EPOCHS, -(-_MOST_EXAMPLES // len(trained["reward"])))
        epochs = 1 if self._quick else epochs
        model.fit(self._batches(trained, names), epochs=epochs, verbose=0)
        self._queries = self._embed(model.query, self._query, asked)
        items = of_catalogue(catalogue, self._candidate)
        self._items = self._embed(model.candidate, self._candidate, items)
        position = {item: row for row, item in enumerate(problem.item_ids.tolist())}
        self._positions = np.array([position[item] for item in catalogue.item_ids.tolist()])

    def _read(self, days: list, split: str, columns: list[Column]) -> dict:
        """Returns what has a reward, in order of time, as ``Problem`` has it."""
        spec = {column.key: column.spec for column in columns}
        spec["item_id"] = tf.io.FixedLenFeature([], tf.string)
        spec["reward"] = tf.io.FixedLenFeature([], tf.float32)
        spec["timestamp"] = tf.io.FixedLenFeature([], tf.int64)
        records = [record for day in days for record in records_of(self._workdir, day, split)]
        parsed = tf.io.parse_example(tf.constant(records), spec)
        order = np.argsort(parsed["timestamp"].numpy(), kind="stable")
        order = order[parsed["reward"].numpy()[order] > 0]
        parsed = {key: tf.gather(values, order) for key, values in parsed.items()}
        return {
            key: values if isinstance(values, tf.RaggedTensor) else values.numpy()
            for key, values in parsed.items()
        }

    def _batches(self, trained: dict, names: set[str]) -> tf.data.Dataset:
        batch = self._numbers({key: trained[key] for key in sorted(names)})
        _, items, counts = np.unique(
            trained["item_id"].astype("S"), return_inverse=True, return_counts=True
        )
        batch |= {"reward": trained["reward"], "item": items.astype(np.int32)}
        batch["probability"] = (counts / counts.sum())[items].astype(np.float32)
        return tf.data.Dataset.from_tensor_slices(batch).shuffle(len(items)).batch(_BATCH)

    def _embed(self, tower: Tower, columns: list[Column], values: dict) -> np.ndarray:
        numbers = self._numbers({column.key: values[column.key] for column in columns})
        return tower.predict(tf.data.Dataset.from_tensor_slices(numbers).batch(_BATCH), verbose=0)

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Inner products of all items."""
        scores = np.full((len(queries), len(problem.item_ids)), -np.inf, np.float32)
        scores[:, self._positions] = self._queries[queries] @ self._items.T
        return scores
