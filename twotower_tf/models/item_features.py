"""The catalogue's features inside the graph: what an item is, found by its id."""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue, latest_catalogue, whole_catalogue
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.untracked import Untracked
from twotower_tf.models.features.encoder import FeatureEncoder
from twotower_tf.models.inference import as_tensors, blank_features
from twotower_tf.storage import Workdir

_ITEMS_AT_ONCE = 8192
# No id has this fingerprint, and it is sorted behind all: the row of items that are not there.
_NOT_THERE = np.int64(2**63 - 1)


class ItemFeatures(tf.Module):
    """Of every item of a catalogue what its features' encoders look up, as numbers, not as text.

    A query names items by their ids alone: the last one, those of a history. To encode them as the
    candidates are encoded, their features must be at hand, in training and in a release. An
    encoder's ``rows`` are what is kept of each: 4 bytes for an id, a category or a number, as many
    for each id or word of a list and 8 more for where it ends; and 8 for the item's fingerprint.

    An item that is not in the catalogue has the features of an empty catalogue row, but its id.

    Args:
        encoders: Of the candidate's features.
        blank: Raw features of an empty row, by name, one row each.
        ids: The names of those features that are the item's id itself.
    """

    def __init__(
        self,
        encoders: Sequence[FeatureEncoder],
        blank: dict[str, tf.Tensor],
        ids: Sequence[str],
    ):
        super().__init__(name="item_features")
        self._path = ""
        self._encoders = {encoder.name: encoder for encoder in encoders}
        self._blank, self._ids = blank, list(ids)
        self._newer: ItemFeatures | None = None
        # Traced once for the catalogues of all days; no part of a release.
        self._to_rows = Untracked(tf.function(self.rows_of, autograph=False, reduce_retracing=True))
        empty = self.rows_of(blank)
        self._structure = empty
        self._fingerprints = _variable(tf.constant([_NOT_THERE]), "fingerprints")
        self._components = [
            _variable(part, f"rows_{number}") for number, part in enumerate(_parts(empty))
        ]

    @classmethod
    def from_config(
        cls, config: Config, encoders: Sequence[FeatureEncoder], keys: Sequence = ()
    ) -> "ItemFeatures":
        """Returns those that a configuration's candidates have, of no catalogue yet.

        Args:
            config: Says which of the features is the item's id.
            encoders: Of the candidate's features.
            keys: What else to keep of each item: like an encoder, has a ``name`` and ``rows``.
        """
        item_id = config.source.items.columns.item_id
        of_id = {one.name for one in config.candidate.features if one.column == item_id}
        ids = [one.name for one in encoders if one.name in of_id and hasattr(one, "rows_of")]
        return cls([*encoders, *keys], blank_features(config, "candidate"), ids)

    @property
    def bytes_per_item(self) -> float:
        """Of memory."""
        size = sum(variable.numpy().nbytes for variable in self.components)
        return size / max(1, int(tf.size(self._fingerprints)) - 1)

    @property
    def components(self) -> list[tf.Variable]:
        """All that is kept; belongs to no checkpoint, but to a release."""
        return [self._fingerprints, *self._components]

    def set_day(self, workdir: Workdir, config: Config, day: datetime.date) -> None:
        """Takes the features of the latest catalogue that is not after a day.

        Raises:
            InputError: If there is no catalogue up to the day.
        """
        partition = latest_catalogue(workdir, day)
        if partition.path != self._path:
            self.set_catalogue(whole_catalogue(partition, config))
            self._path = partition.path

    def set_catalogue(self, catalogue: Catalogue) -> None:
        """Takes the features of a catalogue's items, in place of those it had."""
        parts = [
            self._to_rows.value(as_tensors(catalogue, slice(start, start + _ITEMS_AT_ONCE)))
            for start in range(0, len(catalogue), _ITEMS_AT_ONCE)
        ]
        parts.append(self.rows_of(self._blank))
        values = table_of(catalogue.item_ids, parts)
        for variable, value in zip(self.components, values, strict=True):
            variable.assign(value)

    def with_newer(self) -> "ItemFeatures":
        """Returns a table of the same features, empty as yet, which is looked into first.

        What a catalogue became since is a few items: so they can be told without the others.
        """
        self._newer = ItemFeatures([*self._encoders.values()], self._blank, self._ids)
        return self._newer

    def __call__(self, prints: tf.Tensor) -> dict[str, Any]:
        """Returns the rows of items, by the feature's name.

        Args:
            prints: int64 [n], fingerprints of ids.
        """
        of_items, _ = self._find(prints)
        newer = self._newer
        if newer is not None:
            of_items = tf.cond(
                tf.size(newer._fingerprints) > 1,
                lambda: newer._instead_of(of_items, prints),
                lambda: of_items,
            )
        rows = tf.nest.pack_sequence_as(self._structure, of_items)
        for name in self._ids:
            rows[name] = self._encoders[name].rows_of(prints)
        return rows

    def rows_of(self, raw: dict) -> dict[str, Any]:
        """Returns what is kept of items with these raw features by name, of ids nothing."""
        rows = {
            name: encoder.rows(raw)
            for name, encoder in self._encoders.items()
            if name not in self._ids
        }
        return tf.nest.map_structure(_smallest, rows)

    def _find(self, prints: tf.Tensor) -> tuple[list[Any], tf.Tensor]:
        """Returns what is kept of items, and which of them are there, bool [n]."""
        known = self._fingerprints.read_value()
        place = tf.searchsorted(known, prints)
        is_there = tf.gather(known, place) == prints
        place = tf.where(is_there, place, tf.size(known) - 1)
        parts = iter([variable.read_value() for variable in self._components])
        every = [
            tf.RaggedTensor.from_row_splits(next(parts), next(parts), validate=False)
            if isinstance(leaf, tf.RaggedTensor)
            else next(parts)
            for leaf in tf.nest.flatten(self._structure)
        ]
        return [tf.gather(rows, place) for rows in every], is_there

    def _instead_of(self, others: list[Any], prints: tf.Tensor) -> list[Any]:
        """Returns what is kept here of items that are there, and of the others what was given."""
        own, is_there = self._find(prints)
        number = tf.size(prints)
        place = tf.range(number) + tf.where(is_there, number, 0)
        return [tf.gather(tf.concat(both, axis=0), place) for both in zip(others, own, strict=True)]


def table_of(item_ids: np.ndarray, parts: Sequence[dict[str, Any]]) -> list[tf.Tensor]:
    """Returns the values of ``ItemFeatures.components`` that hold some items.

    Args:
        item_ids: [n] objects (str).
        parts: What is kept of them (``rows_of``), of some at a time in their order; the last part
            is of an empty catalogue row.
    """
    prints = fingerprint(tf.constant(item_ids, tf.string, [len(item_ids)])).numpy()
    order = np.append(np.argsort(prints, kind="stable"), len(prints))
    rows = tf.nest.map_structure(
        lambda *pieces: tf.gather(tf.concat(pieces, axis=0), order), *parts
    )
    return [tf.constant(np.append(np.sort(prints), _NOT_THERE)), *_parts(rows)]


def _smallest(part: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
    # No table has 2^31 rows.
    return tf.cast(part, tf.int32) if part.dtype == tf.int64 else part


def _parts(rows: Any) -> list[tf.Tensor]:
    """Returns the tensors that rows are made of: of a list its values and where rows end."""
    return tf.nest.flatten(rows, expand_composites=True)


def _variable(value: tf.Tensor, name: str) -> tf.Variable:
    # As long as the catalogue, which changes.
    return tf.Variable(value, trainable=False, name=name, shape=[None, *value.shape[1:]])
