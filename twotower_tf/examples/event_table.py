"""The columns of valid records of logs, on their way from files to the making of examples.

Records move as Arrow tables: a column at a time is read, checked, sorted and encoded, never a
record at a time.
"""

import functools

import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.examples.schema import (
    RawFeature,
    copy_keys,
    history_traits,
    logged_features,
    raw_features,
)

# Columns that every record of a user's log has, be it an event, a search or an impression.
RECORD = (
    ("user_id", pa.string()),
    # ``hashes.user_hashes``: chooses the user's shard.
    ("user_hash", pa.uint64()),
    # The day as ``date.toordinal``.
    ("day", pa.int32()),
    # Unix seconds.
    ("timestamp", pa.int64()),
    # Which of several copies was delivered first: the file's number, the place in the file.
    ("file", pa.int32()),
    ("position", pa.int64()),
)
# And that every one of an item has.
_ON_ITEM = (
    *RECORD,
    ("item_id", pa.string()),
    # "": none.
    ("seed_item_id", pa.string()),
)


def query_features(config: Config) -> list[RawFeature]:
    """Returns the raw query features of the event that the build can't fill in itself."""
    return [
        raw for raw in raw_features(config, "query") if raw.of == "event" and raw.filled_in is None
    ]


def event_features(config: Config) -> list[RawFeature]:
    """Returns ``query_features``, what later histories keep of the event, what tells copies."""
    return [*query_features(config), *history_traits(config).values(), *copy_keys(config)]


def shown_features(config: Config) -> list[RawFeature]:
    """Returns ``query_features``, of an impression here, and what its log says of it beside."""
    return [*query_features(config), *logged_features(config)]


@functools.lru_cache(maxsize=8)
def _schema(features: tuple[RawFeature, ...], has_history: bool, splits: bool) -> pa.Schema:
    fields = [*_ON_ITEM, ("reward", pa.float32())]
    if splits:
        fields.append(("held_out", pa.bool_()))
    if has_history:
        # As the log gives it (``source.events.columns.history``), oldest first.
        fields.append(("history", pa.list_(pa.string())))
    fields += [(raw.event_column, raw.type.arrow_type) for raw in features]
    return pa.schema(fields)


def event_schema(config: Config) -> pa.Schema:
    """Returns the schema of a table of valid events; no column has nulls.

    ``user_id``, ``user_hash``, ``day``, ``timestamp``, ``file``, ``position``, ``item_id``,
    ``seed_item_id``, ``reward``; ``held_out`` and ``history`` if the log gives them;
    ``event/<name>`` for each of ``event_features``.
    """
    columns = config.source.events.columns
    given = columns.history is not None, columns.held_out is not None
    return _schema(tuple(event_features(config)), *given)


# No column has nulls; ``query`` is never "", with which serving pads lists.
SEARCH_SCHEMA = pa.schema([*RECORD, ("query", pa.string())])


def impression_schema(config: Config) -> pa.Schema:
    """Returns the schema of a table of valid impressions; only ``page_id`` may be null: none.

    ``RECORD``, ``item_id``, ``seed_item_id``, ``page_id``, ``event/<name>`` and
    ``impression/<name>`` for each of ``shown_features``; if the log tells the outcome ``clicked``
    and ``watched_seconds``.
    """
    fields = [*_ON_ITEM, ("page_id", pa.string())]
    if config.source.impressions.tells_outcome:
        fields += [("clicked", pa.bool_()), ("watched_seconds", pa.float64())]
    fields += [(raw.event_column, raw.type.arrow_type) for raw in shown_features(config)]
    return pa.schema(fields)
