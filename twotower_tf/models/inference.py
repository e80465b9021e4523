"""Embeds many rows of raw features in batches, with one traced graph per tower."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.examples.values import SECONDS_PER_DAY
from twotower_tf.progress import progress
from twotower_tf.storage import read_on_disk


class TowerInference:
    """Computes embeddings of raw features outside of training.

    Args:
        tower: The query or the candidate tower; its variables are used as they are at the call.
        config: The configuration it was built from.
        side: ``query`` or ``candidate``.
    """

    def __init__(self, tower: tf.keras.layers.Layer, config: Config, side: str):
        raws = raw_features(config, side)
        self._names = [raw.name for raw in raws]
        self._tower = tower
        self._embed = tf.function(
            lambda raw: tower(raw),
            input_signature=[{raw.name: raw.type.tensor_spec for raw in raws}],
            # Rewriting the towers' Python code takes longer than all else at the first call.
            autograph=False,
        )

    def save(self, folder: str) -> None:
        """Writes what ``load`` needs, as a SavedModel, into an empty folder."""
        module = tf.Module()
        module.tower, module.embed = self._tower, self._embed
        tf.saved_model.save(module, folder)

    @classmethod
    def load(cls, folder: str, config: Config, side: str) -> "TowerInference":
        """Returns what was saved: the same graph, and so the same embeddings to the bit."""
        loaded = cls.__new__(cls)
        loaded._names = [raw.name for raw in raw_features(config, side)]
        with read_on_disk(folder) as local:
            loaded._tower = tf.saved_model.load(local)
        loaded._embed = loaded._tower.embed
        return loaded

    def __call__(self, raw: Mapping[str, tf.Tensor | tf.RaggedTensor]) -> np.ndarray:
        """Returns float32 [batch, d] of one batch; lists ragged."""
        return self._embed({name: raw[name] for name in self._names}).numpy()

    def embed_batches(self, batches: Iterable[Mapping]) -> np.ndarray:
        """Returns float32 [rows, d] of batches, in their order; there must be at least one."""
        return np.concatenate([self(batch) for batch in batches])

    def embed_items(self, catalogue: Catalogue, batch_size: int) -> Iterator[np.ndarray]:
        """Yields float32 [up to batch_size, d] of a catalogue's items, in their order.

        A row's last bits may depend on the size of its batch: for the same bits give the same
        rows the same batches.
        """
        for start in range(0, len(catalogue), batch_size):
            rows = slice(start, min(start + batch_size, len(catalogue)))
            yield self({name: _tensor(catalogue.features[name][rows]) for name in self._names})

    def embed_catalogue(self, catalogue: Catalogue, batch_size: int) -> np.ndarray:
        """Returns float32 [N, d] of a catalogue's items, in their order; not all may be finite."""
        parts = []
        with progress("embedding the catalogue", len(catalogue), "items") as shown:
            for part in self.embed_items(catalogue, batch_size):
                parts.append(part)
                shown.advance(len(part))
        return np.concatenate(parts)


def finite_rows(embeddings: np.ndarray) -> np.ndarray:
    """Returns [N] bool: whether all of a row's numbers are finite."""
    return np.isfinite(embeddings).all(axis=1)


def report_broken(broken: Sequence[str], count: int, items: int, most: float) -> None:
    """Warns of items whose vectors are not finite and which are left out for it.

    One enormous number in a catalogue should not cost a day's release; a model that has come
    apart should.

    Args:
        broken: Ids of the first of them.
        count: How many there are.
        items: Of how many.
        most: The largest share there may be (``selection.max_broken_share``).

    Raises:
        JobError: If there are more, or if no item is left.
    """
    if not count:
        return
    message = (
        f"the embeddings of {count:,} of {items:,} items are not finite, "
        f"of '{broken[0]}' for one: look for an enormous number in its catalogue row"
    )
    if count > most * items or count == items:
        raise JobError(
            f"{message}, or train with a lower optimizer.learning_rate; "
            f"selection.max_broken_share is {most:g}"
        )
    logging.warning("%s; left out", message)


class CatalogueRows:
    """The candidate features of a catalogue's rows at some times, inside the TensorFlow graph.

    They are those that a build gives the examples of the same items at the same times, bit for
    bit: so nothing tells an item that was drawn from one that was acted on.

    Args:
        catalogue: The items.
    """

    def __init__(self, catalogue: Catalogue):
        self._features = as_tensors(catalogue)
        self._since = {name: tf.constant(times) for name, times in catalogue.since.items()}
        self.item_ids = tf.constant(catalogue.item_ids, tf.string)

    def at(self, rows: tf.Tensor, times: tf.Tensor) -> dict[str, tf.Tensor | tf.RaggedTensor]:
        """Returns the candidate tower's raw features by name, n rows each.

        Args:
            rows: int64 [n], positions in the catalogue.
            times: int64 [n], Unix seconds.
        """
        features = {name: tf.gather(values, rows) for name, values in self._features.items()}
        for name, every in self._since.items():
            since = tf.gather(every, rows)
            # As ``Age.at`` of ``examples.value_types``, in float64 too.
            days = tf.maximum(tf.cast(times, tf.float64) - since, 0.0) / SECONDS_PER_DAY
            unknown = tf.math.is_nan(since)
            features[name] = tf.where(unknown, features[name], tf.cast(days, tf.float32))
        return features


def as_tensors(
    catalogue: Catalogue, rows: slice = slice(None)
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Returns the features of some of a catalogue's rows as they are served, lists ragged."""
    return {name: _tensor(values[rows]) for name, values in catalogue.features.items()}


def check_finite(embeddings: np.ndarray, item_ids: np.ndarray) -> None:
    """Raises JobError if an embedding is not finite; names the first such item.

    Args:
        embeddings: float32 [n, d].
        item_ids: [n] objects (str).
    """
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        item_id = item_ids[np.flatnonzero(~finite)[0]]
        raise JobError(
            f"the embedding of item '{item_id}' is not finite: look for a missing or enormous "
            "number in its catalogue row, or train with a lower optimizer.learning_rate"
        )


def _tensor(values: np.ndarray | Lists) -> tf.Tensor | tf.RaggedTensor:
    if isinstance(values, Lists):
        return tf.RaggedTensor.from_row_splits(_tensor(values.values), values.row_splits)
    return tf.constant(values, tf.float32 if values.dtype == np.float32 else tf.string)


def blank_features(config: Config, tower: str) -> dict[str, tf.Tensor]:
    """Returns one row of raw features at their defaults, lists empty: what a missing query is."""
    return {raw.name: raw.type.blank for raw in raw_features(config, tower)}
