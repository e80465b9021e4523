"""Finds in examples what their statistics are made of: dense values, ids of built vocabularies."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.config.features import Feature
from twotower_tf.examples import statistics
from twotower_tf.examples.event_table import arrow_type, event_column, event_schema
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.schema import HISTORY, SEED_ITEM_ID, RawFeature, raw_features
from twotower_tf.examples.statistics import Statistics


class _Examples(NamedTuple):
    """n examples: events, with their users' profiles and their items beside them, if needed."""

    events: pa.Table
    profiles: pa.Table | None
    items: pa.Table | None


class StatisticsMaker:
    """Makes the statistics of examples.

    An id counts once for an example, however many features of one table hold it. Of a history it
    is the event's own item that counts: it will be in the histories of what follows.

    Args:
        config: Says which features there are.
    """

    def __init__(self, config: Config):
        self._user_id_column = config.source.users and config.source.users.columns.user_id
        self._item_id_column = config.source.items.columns.item_id
        self._dense = _dense_features(config)
        self._ids = {
            name: self._distinct(_features_of_table(config, name))
            for name in statistics.built_vocabularies(config)
        }
        features = [*self._dense.values(), *(raw for own in self._ids.values() for raw in own)]
        self._item_columns = tuple(
            sorted({_item_column(raw) for raw in features if self._key(raw)[0] == "item"})
        )

    def items(self, lookup: ItemLookup, rows: np.ndarray) -> pa.Table | None:
        """Returns what ``make`` needs of the items of examples, None if it needs nothing.

        Args:
            lookup: In the catalogue as of the examples' day.
            rows: The item's row in it of each example, from ``rows_of``, [n].
        """
        return lookup.columns(self._item_columns, rows) if self._item_columns else None

    def make(
        self,
        events: pa.Table,
        hashes: np.ndarray,
        profiles: pa.Table | None = None,
        items: pa.Table | None = None,
    ) -> Statistics:
        """Returns the statistics of training examples.

        Args:
            events: In ``event_table.event_schema``, [n].
            hashes: ``hashes.event_hashes`` of the events, uint64 [n].
            profiles: Of their users, as ``profiles.lookup`` returns them, [n]; None: no user has
                one.
            items: From ``items``, [n].
        """
        examples = _Examples(events, profiles, items)
        dense = {name: self._numbers(raw, examples) for name, raw in self._dense.items()}
        ids = {
            name: [_flat(self._values(raw, examples)) for raw in features]
            for name, features in self._ids.items()
        }
        return statistics.of_shard(dense, ids, hashes)

    def _distinct(self, features: list[RawFeature]) -> list[RawFeature]:
        return list({self._key(raw): raw for raw in features}.values())

    def _key(self, raw: RawFeature) -> tuple[str, str]:
        """Says where the values of a feature are: in which table, in which column."""
        if raw.of == "item":
            is_id = raw.column == self._item_id_column and raw.dtype == "bytes"
            return ("event", "item_id") if is_id else ("item", _item_column(raw))
        if raw.of == "user":
            is_id = raw.column == self._user_id_column and raw.dtype == "bytes"
            return ("event", "user_id") if is_id else ("user", raw.name)
        if raw.column == HISTORY:
            return "event", "item_id"
        return "event", SEED_ITEM_ID if raw.column == SEED_ITEM_ID else event_column(raw)

    def _values(self, raw: RawFeature, examples: _Examples) -> pa.Array:
        owner, column = self._key(raw)
        tables = {"event": examples.events, "user": examples.profiles, "item": examples.items}
        table = tables[owner]
        if table is None:
            return pa.nulls(len(examples.events), arrow_type(raw))
        return table[column].combine_chunks()

    def _numbers(self, raw: RawFeature, examples: _Examples) -> np.ndarray:
        return pc.fill_null(self._values(raw, examples), raw.default).to_numpy()


def of_no_examples(config: Config) -> Statistics:
    """Returns the statistics of no examples: they change nothing in those of others."""
    return StatisticsMaker(config).make(event_schema(config).empty_table(), np.empty(0, np.uint64))


def _dense_features(config: Config) -> dict[str, RawFeature]:
    """Returns the normalised numbers of both towers, by ``<tower>/<name>``."""
    return {
        f"{tower}/{raw.name}": raw
        for tower, feature, raw in _raw_features(config)
        if feature.kind == "dense" and feature.normalise != "none"
    }


def _features_of_table(config: Config, table: str) -> list[RawFeature]:
    """Returns the ids of both towers that are looked up in a table."""
    return [
        raw
        for _, feature, raw in _raw_features(config)
        if getattr(feature, "table", None) == table and raw.dtype == "bytes"
    ]


def _raw_features(config: Config) -> Iterator[tuple[str, Feature, RawFeature]]:
    """Yields the raw features with their towers and features."""
    for tower in ("query", "candidate"):
        by_name = {feature.name: feature for feature in getattr(config, tower).features}
        for raw in raw_features(config, tower):
            # A bag's weights have a name of their own.
            if raw.name in by_name:
                yield tower, by_name[raw.name], raw


def _item_column(raw: RawFeature) -> str:
    return f"candidate/{raw.name}"


def _flat(values: pa.Array) -> pa.Array:
    return values.flatten() if pa.types.is_list(values.type) else values
