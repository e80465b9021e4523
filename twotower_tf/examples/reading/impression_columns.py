"""Parses batches of raw records to columns of impressions; see ``log_columns``."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.examples.event_table import shown_features
from twotower_tf.examples.impression_records import Impression, ImpressionParser
from twotower_tf.examples.reading.column_values import flags, ids
from twotower_tf.examples.reading.event_columns import feature_columns
from twotower_tf.examples.reading.log_columns import LogColumns, UsualColumns
from twotower_tf.examples.records import id_rules
from twotower_tf.examples.source_columns import named_columns
from twotower_tf.examples.value_types import ID, NFC_ID

_FIELDS = ("user_id", "item_id", "timestamp", "seed_item_id", "page_id")
_OUTCOME = (("clicked", pa.bool_()), ("watched_seconds", pa.float64()))


class ImpressionColumns(LogColumns):
    """Turns batches of the impression files' records into tables of impressions.

    Their columns: ``row`` (of the batch), ``user_id``, ``item_id``, ``timestamp``,
    ``seed_item_id``, ``page_id`` (null: none), if the log tells the outcome ``clicked`` and
    ``watched_seconds``, and ``event/<name>`` or ``impression/<name>`` for each of
    ``shown_features``, ages in days.
    """

    def __init__(self, config: Config):
        self._log = config.source.impressions
        self._id_rules = id_rules(config, "impressions")
        self._id_form = NFC_ID if self._id_rules.nfc else ID
        self._features = shown_features(config)
        fields = [
            ("row", pa.int64()),
            *((name, pa.int64() if name == "timestamp" else pa.string()) for name in _FIELDS),
            *(_OUTCOME if self._log.tells_outcome else ()),
            *((raw.event_column, raw.type.arrow_type) for raw in self._features),
        ]
        super().__init__(ImpressionParser(config), pa.schema(fields))
        own = (raw.source_column for raw in self._features)
        self.needed = tuple(dict.fromkeys([*named_columns(config, "impressions"), *own]))

    def _values(self, records: Sequence[Impression]) -> dict[str, list | pa.Array]:
        names = (*_FIELDS, *(name for name, _ in _OUTCOME))
        columns = {name: [getattr(one, name) for one in records] for name in names}
        seconds = np.array(columns["timestamp"], np.int64)
        for raw in self._features:
            values = [
                (one.values if raw.of == "event" else one.logged)[raw.name] for one in records
            ]
            stored = pa.array(values, raw.type.stored_type)
            columns[raw.event_column] = raw.type.at(stored, seconds)
        return columns

    def _usual(self, columns: UsualColumns) -> dict[str, pa.Array]:
        source = self._log.columns
        convert_id = partial(ids, rules=self._id_rules)
        timestamps = columns.required(source.timestamp, self._time)
        seconds = pc.fill_null(timestamps, 0).to_numpy(zero_copy_only=False)
        made = {
            "user_id": columns.required(source.user_id, convert_id),
            "item_id": columns.required(source.item_id, convert_id),
            "timestamp": timestamps,
            "seed_item_id": pc.fill_null(columns.optional(source.seed_item_id, convert_id), ""),
            "page_id": (
                pa.nulls(len(columns.rows), pa.string())
                if source.page_id is None
                else columns.texts(source.page_id, self._id_form, self._id_rules.missing)
            ),
        }
        if self._log.tells_outcome:
            made |= self._outcome(columns)
        return {**made, **feature_columns(self._features, columns, self._log, seconds)}

    def _outcome(self, columns: UsualColumns) -> dict[str, pa.Array]:
        """Returns whether each was clicked, and for how long it was watched then."""
        source = self._log.columns
        missing = self._id_rules.missing
        watched = pc.fill_null(columns.numbers(source.watched_seconds, missing), 0.0)
        columns.odd |= flags(pc.less(watched, 0.0))
        told = watched
        if source.clicked is not None:
            told = pc.fill_null(columns.numbers(source.clicked, missing), 0.0)
        clicked = pc.not_equal(told, 0.0)
        return {"clicked": clicked, "watched_seconds": pc.if_else(clicked, watched, 0.0)}
