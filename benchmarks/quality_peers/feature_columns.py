"""Raw features as numbers that stock Keras layers take: vocabulary indices and z-scores."""

import dataclasses

import numpy as np

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import HISTORY, SEED_ITEM_ID, RawFeature, raw_features
from twotower_tf.examples.value_types.lists import Lists

import tensorflow as tf  # isort: skip  (after twotower_tf, which chooses Keras 2)

_WORDS = 20
_PADDING, _UNKNOWN, _FIRST = 0, 1, 2
Values = np.ndarray | tf.RaggedTensor


@dataclasses.dataclass(frozen=True)
class Column:
    """A raw feature, and the table that its ids or words share with others.

    Attributes:
        raw: How it is stored.
        key: ``query/NAME`` or ``candidate/NAME``.
        table: Of ids and words; None: a number.
        is_text: Whether a value is several words.
    """

    raw: RawFeature
    key: str
    table: str | None
    is_text: bool

    @property
    def spec(self):
        """How it is parsed."""
        dtype = self.raw.type.tensor_type
        if self.raw.type.is_list:
            return tf.io.RaggedFeature(dtype)
        return tf.io.FixedLenFeature([], dtype, default_value=self.raw.type.default)


def columns_of(config: Config, side: str) -> list[Column]:
    """Returns the features of a tower; what names items shares one table, as in the YAML."""
    features = {feature.name: feature for feature in getattr(config, side).features}
    item_id = config.source.items.columns.item_id
    found = []
    for raw in raw_features(config, side):
        feature = features.get(raw.name)
        if feature is None:  # Weights of a bag: stock layers average.
            continue
        table = getattr(feature, "table", None) or raw.column
        if raw.column in (HISTORY, SEED_ITEM_ID, item_id):
            table = "items"
        table = table if raw.type.holds_text else None
        found.append(Column(raw, f"{side}/{raw.name}", table, feature.kind == "text"))
    return found


def of_catalogue(catalogue: Catalogue, columns: list[Column]) -> dict[str, Values]:
    """Returns the values of a catalogue's items as they would be parsed."""
    values: dict[str, Values] = {}
    for column in columns:
        stored = catalogue.features[column.raw.name]
        if isinstance(stored, Lists):
            flat = tf.constant(stored.values.astype("S") if column.table else stored.values)
            values[column.key] = tf.RaggedTensor.from_row_splits(flat, stored.row_splits)
        elif column.table:
            values[column.key] = np.char.encode(stored.astype(str), "utf-8").astype(object)
        else:
            values[column.key] = stored
    return values


class Numbers:
    """Turns values into numbers; what was not there in training is one unknown id.

    Args:
        columns: All features.
        values: By key, those of training.
    """

    def __init__(self, columns: list[Column], values: dict[str, Values]):
        self._columns = {column.key: column for column in columns}
        words: dict[str, list[np.ndarray]] = {}
        self._scales = {}
        for key, one in values.items():
            column = self._columns[key]
            if column.table:
                flat = self._ragged(column, one).values.numpy().astype("S")
                words.setdefault(column.table, []).append(np.unique(flat))
            else:
                self._scales[key] = (float(np.mean(one)), float(np.std(one)) or 1.0)
        self._words = {table: np.unique(np.concatenate(all_)) for table, all_ in words.items()}

    def rows(self, table: str) -> int:
        """Returns how many rows a table's embedding needs."""
        return _FIRST + len(self._words[table])

    def __call__(self, values: dict[str, Values]) -> dict[str, np.ndarray]:
        """Returns [B, L] int32 of ids and words, 0 behind the last, and [B] float32 of numbers."""
        return {key: self._numbers(self._columns[key], one) for key, one in values.items()}

    def _numbers(self, column: Column, values: Values) -> np.ndarray:
        if not column.table:
            mean, scale = self._scales[column.key]
            return ((np.asarray(values) - mean) / scale).astype(np.float32)
        ragged = self._ragged(column, values)
        words, known = ragged.values.numpy().astype("S"), self._words[column.table]
        place = np.minimum(np.searchsorted(known, words), len(known) - 1)
        numbers = np.where(known[place] == words, _FIRST + place, _UNKNOWN).astype(np.int32)
        return ragged.with_values(tf.constant(numbers)).to_tensor(_PADDING).numpy()

    def _ragged(self, column: Column, values: Values) -> tf.RaggedTensor:
        if column.is_text:
            return tf.strings.split(tf.strings.lower(tf.constant(values)))[:, :_WORDS]
        if isinstance(values, tf.RaggedTensor):
            return values
        return tf.RaggedTensor.from_tensor(tf.constant(values)[:, tf.newaxis])
