"""Adds negatives to batches: items near to an example's query that the user did not take."""

import tempfile
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import BASKET, HISTORY, raw_features
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.indexing.kinds.indexes import chosen_index
from twotower_tf.models.inference import CatalogueRows, TowerInference, finite_rows
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.progress import progress

# Columns of items that the user took before.
_KNOWN = (HISTORY, BASKET)
# Where a row of the catalogue stands, and there is none.
_NONE = -1


class HardNegatives:
    """Finds hard negatives by the model as it is, before it is trained on some batches.

    The catalogue is embedded and indexed, as a release's is; each example's query finds its items
    up to ``to_rank``; of those from ``from_rank`` on ``count`` are drawn, all as likely, that are
    neither the example's item, nor in its history or basket, nor its seed item (Huang et al., KDD
    2020, section 6.1.1: ranks of 101 to 500 were better than the nearest). Which ones depends on
    the model, the seed and the step alone: what was killed finds the same again.

    In memory are the catalogue's vectors, while it looks, and one batch; what it found is a file
    of 4 ``count`` bytes an example, which the next call replaces.

    Args:
        config: The ranks, the features, the kind of index.
        model: Its towers are used as they are at each call.
    """

    def __init__(self, config: Config, model: TwoTowerModel):
        self._config, self._settings = config, config.negatives.hard
        self._queries = TowerInference(model.query_tower, config, "query")
        self._items = TowerInference(model.candidate_tower, config, "candidate")
        self._found: np.ndarray | None = None
        self._known = [raw.name for raw in raw_features(config, "query") if raw.filled_in in _KNOWN]

    def add_to(
        self, batches: tf.data.Dataset, examples: int, catalogue: Catalogue, step: int
    ) -> tf.data.Dataset:
        """Gives every batch its ``hard_negatives``, as `TwoTowerModel` takes them.

        They are as old as at the times of their examples, of equal items the first's. What an
        earlier call returned can't be read any more.

        Args:
            batches: Of ``training.batch_size``, the same each time they are read.
            examples: How many they hold, at least one.
            catalogue: What is found.
            step: The steps that the model has made.
        """
        start, count = time.monotonic(), self._settings.count
        with tempfile.TemporaryFile() as file:
            self._found = found = np.memmap(file, np.int32, "w+", shape=(examples, count))
        rng = np.random.default_rng([self._config.seed, step])
        nearest, rows_of, first = self._retriever(catalogue), _Rows(catalogue), 0
        with progress("finding hard negatives", examples, "examples") as shown:
            for batch in batches:
                drawn = draw(nearest(batch["query"]), self._taken(batch, rows_of), rng, count)
                found[first : first + len(drawn)] = drawn
                first += len(drawn)
                shown.advance(len(drawn))
        seconds = time.monotonic() - start
        logging.info(
            "hard negatives of %d examples: %.1f s, %.0f s a million",
            *(examples, seconds, seconds / examples * 1e6),
        )
        rows, weight = CatalogueRows(catalogue), tf.constant(self._settings.weight, tf.float32)

        def add(number: tf.Tensor, batch: dict) -> dict:
            distinct, examples, places = tf.numpy_function(
                self._of_batch, [number], [tf.int64, tf.int64, tf.int32]
            )
            distinct.set_shape([None])
            places.set_shape([None, count])
            candidate = rows.at(distinct, tf.gather(batch["timestamp"], examples))
            negatives = {"candidate": candidate, "places": places, "weight": weight}
            return {**batch, "hard_negatives": negatives}

        add = tf.autograph.experimental.do_not_convert(add)
        numbered = batches.enumerate()
        return numbered.map(add, num_parallel_calls=2, deterministic=True).prefetch(2)

    def _of_batch(self, number: np.ndarray) -> list[np.ndarray]:
        """Returns what was found for a batch, by its number.

        TensorFlow lets go of no function that a graph ever called: what was found is no part of it.

        Returns:
            The distinct rows of the catalogue, int64 [H], H >= 1; of each the first example that
            has it, int64 [H]; and their places, int32 [n, count], -1 for none.
        """
        size = self._config.training.batch_size
        found = self._found[number * size : (number + 1) * size]
        distinct, first, places = np.unique(found, return_index=True, return_inverse=True)
        if len(distinct) > 1 and distinct[0] == _NONE:
            distinct, first, places = distinct[1:], first[1:], places - 1
        elif distinct[0] == _NONE:
            # Towers are never run on nothing: an item that stands at no place.
            distinct, places = np.zeros(1, np.int32), np.full_like(places, _NONE)
        places = places.reshape(found.shape).astype(np.int32)
        return [distinct.astype(np.int64), first // found.shape[1], places]

    def _retriever(self, catalogue: Catalogue):
        """Returns the function from raw queries to rows of the catalogue, from ``from_rank`` on."""
        vectors = self._items.embed_catalogue(catalogue, self._config.evaluation.batch_size)
        rows = np.flatnonzero(finite_rows(vectors)).astype(np.int32)
        skipped, k = self._settings.from_rank - 1, tf.constant(self._settings.to_rank)
        if len(rows) <= skipped:
            return lambda raw: np.empty((len(self._queries(raw)), 0), np.int32)
        retrieve = tf.function(
            chosen_index(self._config.index, vectors[rows]).retriever(),
            input_signature=[
                tf.TensorSpec([None, vectors.shape[1]]),
                tf.TensorSpec([], tf.int32),
            ],
            autograph=False,
        )
        return lambda raw: rows[retrieve(self._queries(raw), k)[1].numpy()[:, skipped:]]

    def _taken(self, batch: dict, rows_of: "_Rows") -> "Taken":
        """Returns the rows of the items that each example of a batch knows."""
        ids = [batch["item_id"], batch["seed_item_id"]]
        examples = [np.arange(int(tf.size(one))) for one in ids]
        for given in (batch["query"][name] for name in self._known):
            ragged = isinstance(given, tf.RaggedTensor)
            ids.append(given.flat_values if ragged else given)
            rows = given.value_rowids() if ragged else tf.range(tf.size(given))
            examples.append(rows.numpy())
        return Taken(np.concatenate(examples), rows_of(tf.concat(ids, axis=0)))


class Taken(NamedTuple):
    """Pairs of an example and an item that is no negative of it.

    Attributes:
        examples: int [P], places in the batch.
        rows: int [P], in the catalogue; -1: the item is not in it.
    """

    examples: np.ndarray
    rows: np.ndarray


def draw(nearest: np.ndarray, taken: Taken, rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws negatives for each example from the items found for it, without replacement.

    Args:
        nearest: int32 [n, W], rows of the catalogue, each once for an example.
        taken: What may not be drawn.
        rng: Of the draws.
        count: How many for each.

    Returns:
        int32 [n, count]; -1 where an example has no more.

    >>> nearest = np.array([[3, 5, 8], [2, 3, 4]], np.int32)
    >>> taken = Taken(np.array([0, 1]), np.array([5, 7]))
    >>> sorted(draw(nearest, taken, np.random.default_rng(0), 3)[0].tolist())
    [-1, 3, 8]
    """
    places = rng.random(nearest.shape)
    items = 1 + max(nearest.max(initial=0), taken.rows.max(initial=0))
    there = taken.rows >= 0
    pairs = taken.examples[there].astype(np.int64) * items + taken.rows[there]
    found = np.arange(len(nearest), dtype=np.int64)[:, np.newaxis] * items + nearest
    places[np.isin(found, pairs)] = np.inf
    order = np.argsort(places, axis=1, kind="stable")[:, :count]
    drawn = np.full((len(nearest), count), _NONE, np.int32)
    allowed = np.isfinite(np.take_along_axis(places, order, axis=1))
    drawn[:, : order.shape[1]] = np.where(
        allowed, np.take_along_axis(nearest, order, axis=1), _NONE
    )
    return drawn


class _Rows:
    """Finds the rows of a catalogue by the ids of its items."""

    def __init__(self, catalogue: Catalogue):
        prints = fingerprint(tf.constant(catalogue.item_ids, tf.string)).numpy()
        self._order = np.argsort(prints, kind="stable")
        self._prints = prints[self._order]

    def __call__(self, ids: tf.Tensor) -> np.ndarray:
        """Returns int64 [n], -1 where the catalogue lacks an item."""
        prints = fingerprint(ids).numpy()
        place = np.minimum(np.searchsorted(self._prints, prints), len(self._prints) - 1)
        return np.where(self._prints[place] == prints, self._order[place], _NONE)
