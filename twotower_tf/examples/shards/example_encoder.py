"""Events to serialised ``tf.train.Example``, a table at a time (see ``schema`` for the keys)."""

import copy

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.examples.encoding.list_columns import ListColumn, Ranges, TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.event_table import arrow_type, event_column
from twotower_tf.examples.items.item_lookup import ItemLookup, add_column, ages_in_days, each_alone
from twotower_tf.examples.schema import HISTORY, SEARCHES, SEED_ITEM_ID, RawFeature, raw_features


class ExampleEncoder:
    """Makes the examples of events: query features, candidate features, reward.

    Encode the chunks of a shard with one encoder, in one thread: what their histories share is
    then encoded once. The order of features in the bytes of an example follows from the
    configuration alone.

    Args:
        config: Says which features there are.
        items: The catalogue as of the events' day.
    """

    def __init__(self, config: Config, items: ItemLookup):
        self._items = items
        self._features = [(f"query/{raw.name}", raw) for raw in raw_features(config, "query")]
        users = config.source.users
        self._user_id_column = users.columns.user_id if users is not None else None
        self._histories = TextLists()
        self._searches = TextLists()
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
    ) -> pa.LargeBinaryArray:
        """Returns an example for each event, serialised.

        Args:
            events: In ``event_schema``, [n].
            rows: Where in the catalogue their items are (``ItemLookup.rows_of``), [n].
            histories: The item ids strictly before each event, oldest first, [n]: text, or a
                dictionary of text. Best are slices of a list view over one array for all events
                of a shard. None if the events hold the histories the log gives.
            profiles: The column ``<name>`` for each raw query feature ``of: user`` (of an age,
                the Unix seconds of its column ``since``), null where the user has no profile,
                [n]. None if no user has one.
            searches: The queries strictly before each event, oldest first, as the histories.
                None if there is no log of them.
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
        columns.add_floats("reward", events["reward"].to_numpy())
        if histories is None and "history" in events.column_names:
            histories = _column(events, "history")
        for key, raw in self._features:
            if raw.of == "user":
                self._add_of_user(columns, key, raw, user_ids, timestamps, profiles)
            elif raw.since is None and raw.column == HISTORY:
                self._add_history(columns, key, raw, Ranges.of(histories))
            elif raw.since is None and raw.column == SEARCHES:
                queries = Ranges.of(searches).last(raw.max_length)
                columns.add_text_lists(key, self._searches.encoded(queries))
            elif raw.since is None and raw.column == SEED_ITEM_ID:
                self._add_seed(columns, key, raw, _column(events, "seed_item_id"))
            elif raw.since is not None:
                columns.add_floats(key, events[event_column(raw)].to_numpy())
            else:
                add_column(columns, key, raw, _column(events, event_column(raw)), self._lists)
        return columns.examples()

    def _add_history(
        self, columns: FeatureColumns, key: str, raw: RawFeature, histories: Ranges
    ) -> None:
        if raw.is_list:
            lists = self._histories.encoded(histories.last(raw.max_length))
            columns.add_text_lists(key, lists)
        else:
            columns.add_texts(key, histories.last_values(raw.default))

    def _add_seed(
        self, columns: FeatureColumns, key: str, raw: RawFeature, seeds: pa.Array
    ) -> None:
        if not raw.is_list:
            # The default of an id is the "" that stands for no seed.
            columns.add_texts(key, seeds)
            return
        starts = np.arange(len(seeds), dtype=np.int64)
        ends = starts + pc.not_equal(seeds, "").to_numpy(zero_copy_only=False)
        columns.add_text_lists(key, self._lists.encoded(Ranges(seeds, starts, ends)))

    def _add_of_user(
        self,
        columns: FeatureColumns,
        key: str,
        raw: RawFeature,
        user_ids: pa.Array,
        timestamps: np.ndarray,
        profiles: pa.Table | None,
    ) -> None:
        if raw.since is not None:
            since = _profile_column(profiles, raw, pa.int64(), len(user_ids))
            columns.add_floats(key, ages_in_days(timestamps, since, raw.default))
            return
        values = _profile_column(profiles, raw, arrow_type(raw), len(user_ids))
        if raw.column == self._user_id_column and raw.dtype == "bytes":
            # A user's id is known without a profile.
            values = pc.coalesce(values, each_alone(user_ids) if raw.is_list else user_ids)
        add_column(columns, key, raw, values, self._lists)


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()


def _profile_column(
    profiles: pa.Table | None, raw: RawFeature, column_type: pa.DataType, rows: int
) -> pa.Array:
    if profiles is None:
        return pa.nulls(rows, column_type)
    return _column(profiles, raw.name)
