"""Finds in examples what their statistics are made of: dense values, ids of built vocabularies."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.config.features import BaseFeature
from twotower_tf.examples import statistics
from twotower_tf.examples.event_table import event_schema
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.schema import BASKET, HISTORY, SEED_ITEM_ID, RawFeature
from twotower_tf.examples.statistics import Statistics


class _Examples(NamedTuple):
    """n examples: events, with their users' profiles and their items beside them, if needed."""

    events: pa.Table
    profiles: pa.Table | None
    items: pa.Table | None


class StatisticsMaker:
    """Makes the statistics of examples.

    An id counts once for an example, however many features of one table hold it. Of a history or
    a basket it is the event's own item that counts: it will be in those of what follows.

    Args:
        config: Says which features there are.
    """

    def __init__(self, config: Config):
        self._user_id_column = config.source.users and config.source.users.columns.user_id
        self._item_id_column = config.source.items.columns.item_id
        self._dense = _features_with_statistics(config)
        self._ids = {
            name: self._distinct(_features_of_table(config, name))
            for name in statistics.built_vocabularies(config)
        }
        features = [*self._dense.values(), *(raw for own in self._ids.values() for raw in own)]
        self._item_columns = tuple(
            sorted({raw.key for raw in features if self._key(raw)[0] == "item"})
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
            is_id = raw.is_id(self._item_id_column)
            return ("event", "item_id") if is_id else ("item", raw.key)
        if raw.of == "user":
            is_id = raw.is_id(self._user_id_column)
            return ("event", "user_id") if is_id else ("user", raw.name)
        if raw.filled_in in (HISTORY, BASKET):
            return "event", "item_id"
        return "event", SEED_ITEM_ID if raw.filled_in == SEED_ITEM_ID else raw.event_column

    def _values(self, raw: RawFeature, examples: _Examples) -> pa.Array:
        owner, column = self._key(raw)
        tables = {"event": examples.events, "user": examples.profiles, "item": examples.items}
        table = tables[owner]
        if table is None:
            return pa.nulls(len(examples.events), raw.type.arrow_type)
        return table[column].combine_chunks()

    def _numbers(self, raw: RawFeature, examples: _Examples) -> np.ndarray:
        return pc.fill_null(self._values(raw, examples), raw.type.fill).to_numpy()


def of_no_examples(config: Config) -> Statistics:
    """Returns the statistics of no examples: they change nothing in those of others."""
    return StatisticsMaker(config).make(event_schema(config).empty_table(), np.empty(0, np.uint64))


def _features_with_statistics(config: Config) -> dict[str, RawFeature]:
    """Returns the numbers of both towers that are normalised, by ``<tower>/<name>``."""
    return {
        raw.key: raw
        for feature, raw in _raw_features(config)
        if feature.needs_statistics and raw.name == feature.name
    }


def _features_of_table(config: Config, table: str) -> list[RawFeature]:
    """Returns the ids of both towers that are looked up in a table."""
    return [
        raw
        for feature, raw in _raw_features(config)
        if getattr(feature, "table", None) == table and raw.type.holds_text
    ]


def _raw_features(config: Config) -> Iterator[tuple[BaseFeature, RawFeature]]:
    """Yields the raw features of both towers with their features."""
    for tower in ("query", "candidate"):
        for feature in getattr(config, tower).features:
            for raw in feature.raw_features(feature.owner(tower), config):
                yield feature, raw


def _flat(values: pa.Array) -> pa.Array:
    return values.flatten() if pa.types.is_list(values.type) else values
