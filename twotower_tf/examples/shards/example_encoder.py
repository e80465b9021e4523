"""Events to serialised ``tf.train.Example``, a table at a time (see ``schema`` for the keys)."""

import copy
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.examples.encoding.list_columns import ListColumn, Ranges, TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.schema import (
    BASKET,
    HISTORY,
    HISTORY_DAYS,
    SEARCHES,
    SEED_ITEM_ID,
    RawFeature,
    raw_features,
)
from twotower_tf.examples.shards.timeline import flat_indices
from twotower_tf.examples.values import SECONDS_PER_DAY


class ExampleEncoder:
    """Makes the examples of events, or impressions: query and candidate features, reward.

    Encode the chunks of a shard with one encoder, in one thread: what their histories share is
    then encoded once. The order of features in the bytes of an example follows from the
    configuration alone.

    Args:
        config: Says which features there are.
        items: The catalogue as of the events' day.
    """

    def __init__(self, config: Config, items: ItemLookup):
        self._items = items
        self._features = raw_features(config, "query")
        users = config.source.users
        self._user_id_column = users.columns.user_id if users is not None else None
        self._histories = TextLists()
        self._baskets = TextLists()
        self._searches = TextLists()
        self._traits = TextLists()
        self._lists = TextLists()

    def with_items(self, items: ItemLookup) -> "ExampleEncoder":
        """Returns the encoder of a day with another catalogue, which shares what was encoded."""
        other = copy.copy(self)
        other._items = items
        return other

    def encode(
        self,
        events: pa.Table,
        rows: np.ndarray,
        histories: ListColumn | None,
        profiles: pa.Table | None,
        searches: ListColumn | None = None,
        more: pa.LargeBinaryArray | None = None,
        history_times: ListColumn | None = None,
        baskets: ListColumn | None = None,
        history_traits: Mapping[str, ListColumn] | None = None,
    ) -> pa.LargeBinaryArray:
        """Returns an example for each event, serialised.

        Args:
            events: In ``event_schema`` or ``impression_schema``, [n].
            rows: Where in the catalogue their items are (``ItemLookup.rows_of``), [n].
            histories: The item ids strictly before each event, oldest first, [n]: text, or a
                dictionary of text. Best are slices of a list view over one array for all events
                of a shard. None if the events hold the histories the log gives.
            profiles: The column ``<name>`` for each raw query feature ``of: user`` (of an age,
                the Unix seconds of its column ``since``), null where the user has no profile,
                [n]. None if no user has one.
            searches: The queries strictly before each event, oldest first, as the histories.
                None if there is no log of them.
            more: Features of each event that are encoded already, [n]; None: there are none.
            history_times: The Unix seconds of each item of ``histories``, [n]; None without them.
            baskets: The items of the same second that stand before each event's, [n], likewise.
            history_traits: What else is kept of each item of ``histories``, [n] each, by the column
                that is filled in with it (``schema.history_traits``).
        """
        columns = FeatureColumns(len(events))
        item_ids, user_ids = _column(events, "item_id"), _column(events, "user_id")
        timestamps = events["timestamp"].to_numpy()
        columns.add_encoded(self._items.features(rows, item_ids))
        for key, days in self._items.ages(rows, timestamps).items():
            columns.add_floats(key, days)
        columns.add_texts("user_id", user_ids)
        columns.add_texts("seed_item_id", _column(events, "seed_item_id"))
        columns.add_integers("timestamp", timestamps)
        if "reward" in events.column_names:
            columns.add_floats("reward", events["reward"].to_numpy())
        if histories is None and "history" in events.column_names:
            histories = _column(events, "history")
        past = {
            HISTORY: (histories, self._histories),
            BASKET: (baskets, self._baskets),
            SEARCHES: (searches, self._searches),
            **{name: (lists, self._traits) for name, lists in (history_traits or {}).items()},
        }
        for raw in self._features:
            if raw.filled_in in past:
                lists, encoder = past[raw.filled_in]
                raw.type.add_past(columns, raw.key, Ranges.of(lists), encoder)
            elif raw.filled_in == HISTORY_DAYS:
                days = days_before(timestamps, Ranges.of(history_times))
                raw.type.add_past(columns, raw.key, days, self._lists)
            elif raw.of == "user":
                values = self._of_users(raw, user_ids, timestamps, profiles)
                raw.type.add(columns, raw.key, values, self._lists)
            else:
                raw.type.add(columns, raw.key, _of_events(raw, events), self._lists)
        if more is not None:
            columns.add_encoded(more)
        return columns.examples()

    def _of_users(
        self,
        raw: RawFeature,
        user_ids: pa.Array,
        timestamps: np.ndarray,
        profiles: pa.Table | None,
    ) -> pa.Array:
        """Returns the values of a raw feature of the users' profiles, null without one."""
        if profiles is None:
            stored = pa.nulls(len(user_ids), raw.type.stored_type)
        else:
            stored = _column(profiles, raw.name)
        if raw.is_id(self._user_id_column):
            # A user's id is known without a profile.
            stored = pc.coalesce(stored, raw.type.each(user_ids))
        return raw.type.at(stored, timestamps)


def _of_events(raw: RawFeature, events: pa.Table) -> pa.Array:
    """Returns the values of a raw feature that the events have themselves."""
    if raw.filled_in == SEED_ITEM_ID:
        return raw.type.each(_column(events, "seed_item_id"))
    return _column(events, raw.event_column)


def days_before(timestamps: np.ndarray, times: Ranges) -> Ranges:
    """Returns how many days before its event each of a list of times is, float64."""
    places, offsets = flat_indices(times.starts, times.ends)
    events = np.repeat(timestamps, np.diff(offsets))
    days = (events - times.values.to_numpy()[places]) / SECONDS_PER_DAY
    return Ranges(pa.array(days), offsets[:-1], offsets[1:])


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()
