"""The columns of valid events, as they move from the reading of files to the making of examples.

Events move as Arrow tables: a column at a time is read, checked, sorted and encoded, never an
event at a time.
"""

import functools

import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.examples.schema import RawFeature, copy_keys, history_traits, raw_features

# Columns that every record of a user's log has, be it an event or a search.
RECORD = (
    ("user_id", pa.string()),
    # ``hashes.user_hashes``: chooses the user's shard.
    ("user_hash", pa.uint64()),
    # The UTC day as ``date.toordinal``.
    ("day", pa.int32()),
    # Unix seconds.
    ("timestamp", pa.int64()),
    # Which of several copies was delivered first: the file's number, the place in the file.
    ("file", pa.int32()),
    ("position", pa.int64()),
)
# Columns that every event has.
_COMMON = (
    *RECORD,
    ("item_id", pa.string()),
    # "": none.
    ("seed_item_id", pa.string()),
    ("reward", pa.float32()),
)


def event_features(config: Config) -> list[RawFeature]:
    """Returns the raw query features of the event that the build can't fill in itself.

    And what later histories keep of the event (``history_traits``), and what tells copies
    (``copy_keys``).
    """
    own = [
        raw for raw in raw_features(config, "query") if raw.of == "event" and raw.filled_in is None
    ]
    return [*own, *history_traits(config).values(), *copy_keys(config)]


@functools.lru_cache(maxsize=8)
def _schema(features: tuple[RawFeature, ...], has_history: bool, splits: bool) -> pa.Schema:
    fields = list(_COMMON)
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
