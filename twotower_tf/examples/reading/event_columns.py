"""Parses batches of raw records to columns of events; see ``log_columns``."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.config.examples import Reward
from twotower_tf.config.source import Files
from twotower_tf.examples.event_table import event_features
from twotower_tf.examples.reading.column_values import (
    ids,
    numbers,
    numbers_of_texts,
    texts,
)
from twotower_tf.examples.reading.log_columns import LogColumns, UsualColumns
from twotower_tf.examples.records import (
    Event,
    EventParser,
    Search,
    SearchParser,
    history_separator,
    id_rules,
)
from twotower_tf.examples.schema import RawFeature
from twotower_tf.examples.source_columns import named_columns
from twotower_tf.examples.value_types.lists import last_of_each

# What an event is of by itself, without its features.
_NUMBERS = ("reward_value", "reward_divisor", "held_out")
_FIELDS = ("user_id", "item_id", "timestamp", "seed_item_id", *_NUMBERS)


class EventColumns(LogColumns):
    """Turns batches of the event files' records into tables of events.

    Their columns: ``row`` (of the batch), ``user_id``, ``item_id``, ``timestamp``,
    ``seed_item_id``, ``reward_value``, ``reward_divisor`` and ``held_out`` (null where
    ``records.Event`` has None), ``history`` if the log gives it, and ``event/<name>`` for each of
    ``event_features``, ages in days.
    """

    def __init__(self, config: Config):
        self._config = config
        self._own_features = event_features(config)
        super().__init__(EventParser(config), _schema(config, self._own_features))
        reward = config.examples.reward
        needed = dict.fromkeys(named_columns(config, "events"))
        if reward is not None and reward.divided_by is not None:
            needed[reward.divided_by] = None
        self.needed = tuple(needed)

    def _values(self, records: Sequence[Event]) -> dict[str, list | pa.Array]:
        columns = {name: [getattr(one, name) for one in records] for name in (*_FIELDS, "history")}
        seconds = np.array(columns["timestamp"], np.int64)
        for raw in self._own_features:
            stored = pa.array([one.values[raw.name] for one in records], raw.type.stored_type)
            columns[raw.event_column] = raw.type.at(stored, seconds)
        return columns

    def _usual(self, columns: UsualColumns) -> dict[str, pa.Array]:
        source, reward = self._config.source.events.columns, self._config.examples.reward
        rules = id_rules(self._config, "events")
        convert_id = partial(ids, rules=rules)
        convert_number = partial(numbers, missing=rules.missing)
        timestamps = columns.required(source.timestamp, self._time)
        seconds = pc.fill_null(timestamps, 0).to_numpy(zero_copy_only=False)

        def take(columns_take: Callable, name: str | None) -> pa.Array:
            if name is None:
                return pa.nulls(len(columns.rows), pa.float64())
            return columns_take(name, convert_number)

        made = {
            "user_id": columns.required(source.user_id, convert_id),
            "item_id": columns.required(source.item_id, convert_id),
            "timestamp": timestamps,
            "seed_item_id": pc.fill_null(columns.optional(source.seed_item_id, convert_id), ""),
            "reward_value": take(None, None) if reward is None else self._worth(columns, reward),
            "reward_divisor": take(columns.optional, reward and reward.divided_by),
            "held_out": take(columns.required, source.held_out),
        }
        if source.history is not None:
            separator = history_separator(self._config)
            past = columns.lists(source.history, convert_id, separator, rules.missing)
            made["history"] = last_of_each(past, self._config.examples.history_length)
        events = self._config.source.events
        return {**made, **feature_columns(self._own_features, columns, events, seconds)}

    def _worth(self, columns: UsualColumns, reward: Reward) -> pa.Array:
        """Returns what ``EventParser`` calls the reward's value, float64 [n]."""
        convert_number = partial(numbers, missing=id_rules(self._config, "events").missing)
        convert = convert_number
        if reward.values is not None:
            convert = partial(numbers_of_texts, worth=reward.values)
        worth = columns.required(reward.column, convert)
        for factor in reward.times:
            worth = pc.multiply(worth, columns.required(factor, convert_number))
        return worth


def feature_columns(
    features: Sequence[RawFeature], columns: UsualColumns, files: Files, seconds: np.ndarray
) -> dict[str, pa.Array]:
    """Returns the columns of raw features of a log's records, by ``RawFeature.event_column``.

    Args:
        features: Which.
        columns: The records'; ``odd`` is told where they are wrong.
        files: The log.
        seconds: The time of each record, Unix seconds, int64 [n].
    """
    read = {raw.event_column: raw.type.read_column(columns, raw.column, files) for raw in features}
    made: dict[str, pa.Array] = {}
    for raw in features:
        column = read[raw.event_column]
        if raw.type.weighs is not None:
            # Before lists are cut, for then a lacking weight would go unseen.
            weighed = dataclasses.replace(raw, name=raw.type.weighs).event_column
            columns.odd |= _lengths(read[weighed]) != _lengths(column)
        made[raw.event_column] = raw.type.at(raw.type.cut_column(column), seconds)
    return made


def _lengths(lists: pa.ListArray) -> np.ndarray:
    return pc.list_value_length(lists).to_numpy()


def _schema(config: Config, features: list[RawFeature]) -> pa.Schema:
    fields = [
        ("row", pa.int64()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.int64()),
        ("seed_item_id", pa.string()),
        *((name, pa.float64()) for name in _NUMBERS),
    ]
    if config.source.events.columns.history is not None:
        fields.append(("history", pa.list_(pa.string())))
    return pa.schema(fields + [(raw.event_column, raw.type.arrow_type) for raw in features])


_SEARCH_SCHEMA = pa.schema(
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
        self._id_rules = id_rules(config, "searches")
        self._missing = config.source.searches.missing_in(of_text=True)
        super().__init__(SearchParser(config), _SEARCH_SCHEMA)
        self.needed = tuple(named_columns(config, "searches"))

    def _values(self, records: Sequence[Search]) -> dict[str, list]:
        return {name: [getattr(one, name) for one in records] for name in _SEARCH_SCHEMA.names[1:]}

    def _usual(self, columns: UsualColumns) -> dict[str, pa.Array]:
        convert_id = partial(ids, rules=self._id_rules)
        return {
            "user_id": columns.required(self._columns.user_id, convert_id),
            "query": columns.required(self._columns.query, partial(texts, missing=self._missing)),
            "timestamp": columns.required(self._columns.timestamp, self._time),
        }
