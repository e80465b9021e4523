"""Lines of JSON to columns."""

from collections.abc import Sequence
from typing import Any

import orjson

from twotower_tf.datasets.formats import json_object
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import has_column, is_plain, names_of, taken_apart, value_at

# So many records are asked which columns there are.
LOOKED_AT = 100
_LINES_AT_ONCE = 1024
_NO_VALUES: dict[str, Any] = {}


class ParsedLines:
    """The columns of lines of JSON, parsed fast.

    orjson is several times as fast as json, but refuses NaN and half of a surrogate pair, and
    makes floats of whole numbers beyond 64 bits. What it refuses is left to ``formats``.

    Args:
        lines: The lines, without a byte order mark.
        columns: Those that are needed.
        lists: Of ``nested.lists_of``, those whose elements are records of their own.

    Attributes:
        values: The values of each column, None where there is none.
        present: Whether each record has the column.
        rows: The line of each record, empty ones having none.
        places: Its place in the lists that are taken apart.
        refused: Whether orjson refused its line.
        names: The names of columns of some records.
    """

    def __init__(self, lines: list[bytes], columns: Sequence[str], lists: Sequence[str]):
        self._lists = lists
        self.values: dict[str, list[Any]] = {name: [] for name in columns}
        self.present: dict[str, list[bool]] = {name: [] for name in columns}
        self.rows: list[int] = []
        self.places: list[int] = []
        self.refused: list[bool] = []
        self.names: set[str] = set()
        # A few at a time: while caches have them.
        for start in range(0, len(lines), _LINES_AT_ONCE):
            records = self._records(lines[start : start + _LINES_AT_ONCE], start)
            if start == 0:
                self.names = {name for one in records[:LOOKED_AT] for name in names_of(one)}
            for name, column in self.values.items():
                if is_plain(name):
                    found = [record.get(name) for record in records]
                else:
                    found = [value_at(record, name) for record in records]
                column += found
                self.present[name] += (
                    [has_column(record, name) for record in records]
                    if None in found
                    else [True] * len(found)
                )

    def _records(self, lines: list[bytes], first: int) -> list[dict[str, Any]]:
        """Returns the records of some lines, and notes where each is from."""
        loads = orjson.loads
        records = []
        for row, line in enumerate(lines, first):
            try:
                record = loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    continue
                record = None
            is_object = type(record) is dict
            if not self._lists:
                records.append(record if is_object else _NO_VALUES)
                self.rows.append(row)
                self.places.append(0)
                self.refused.append(not is_object)
                continue
            apart = taken_apart(record if is_object else json_object(line), self._lists)
            for place, one in enumerate(apart):
                is_record = is_object and not isinstance(one, Unreadable)
                records.append(one if is_record else _NO_VALUES)
                self.rows.append(row)
                self.places.append(place)
                self.refused.append(not is_record)
        return records
