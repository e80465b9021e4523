"""Parses batches of raw records to columns of searches; see ``log_columns``."""

from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.examples.reading.column_values import ids, texts
from twotower_tf.examples.reading.log_columns import LogColumns, UsualColumns
from twotower_tf.examples.records import Search, SearchParser, required_columns

_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("user_id", pa.string()),
        ("query", pa.string()),
        ("timestamp", pa.int64()),
    ]
)


class SearchColumns(LogColumns):
    """Turns batches of the search files' records into tables of searches.

    Their columns: ``row`` (of the batch), ``user_id``, ``query``, ``timestamp``.
    """

    def __init__(self, config: Config):
        self._columns = config.source.searches.columns
        self._longest = config.examples.max_id_bytes
        super().__init__(SearchParser(config), _SCHEMA)
        self.needed = tuple(required_columns(config, "searches"))

    def _values(self, records: Sequence[Search]) -> dict[str, list]:
        return {name: [getattr(one, name) for one in records] for name in _SCHEMA.names[1:]}

    def _usual(self, columns: UsualColumns) -> dict[str, pa.Array]:
        convert_id = partial(ids, longest=self._longest)
        return {
            "user_id": columns.required(self._columns.user_id, convert_id),
            "query": columns.required(self._columns.query, texts),
            "timestamp": columns.required(self._columns.timestamp, self._time),
        }
