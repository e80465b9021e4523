"""What histories keep of each user: the columns of their rows, and what is read of them.

A row: ``user_id``, ``item_ids`` and ``timestamps`` (Unix seconds), oldest first, at most
``examples.history_length`` of each. Every valid event counts as acted on, whatever its reward.
Where a history encoder asks for them, the events' traits lie beside: ``event_types`` (``""``: none)
and ``dwells``. Where the source has searches also ``searches`` and ``search_timestamps``, at most
``examples.search_length`` of each; then who searched was active too. With ``ranking`` also
``shown_item_ids``, ``shown_timestamps`` and ``shown_answered`` (Unix seconds at which a click was
known, 0: none was), at most ``ranking.shown_length`` of each; then who was shown something was
active too. With ``examples.own_length`` also ``own_item_ids`` (ascending), ``own_counts`` and
``own_times`` (Unix seconds): the distinct items of all the past, how often each was acted on, and
when last.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

from twotower_tf.examples.schema import HISTORY_DWELL, HISTORY_TYPES

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("timestamps", pa.list_(pa.int64())),
    ]
)
# By the column of the examples that is filled in with them (``schema.history_traits``).
TRAITS = {
    HISTORY_TYPES: ("event_types", pa.list_(pa.string())),
    HISTORY_DWELL: ("dwells", pa.list_(pa.float32())),
}
SEARCHES = (
    ("searches", pa.list_(pa.string())),
    ("search_timestamps", pa.list_(pa.int64())),
)
SHOWN = (
    ("shown_item_ids", pa.list_(pa.string())),
    ("shown_timestamps", pa.list_(pa.int64())),
    ("shown_answered", pa.list_(pa.int64())),
)
# What is kept of each impression: the Unix seconds at which a click of it was known, 0: never.
ANSWERED = "answered"
# Times lie between 1990 and 2100, which takes 32 bits.
OWN = (
    ("own_item_ids", pa.list_(pa.string())),
    ("own_counts", pa.list_(pa.uint32())),
    ("own_times", pa.list_(pa.uint32())),
)


def schema_of(
    has_searches: bool = False,
    has_own: bool = False,
    traits: Iterable[str] = (),
    has_shown: bool = False,
) -> pa.Schema:
    """Returns the schema of rows: with searches, own items, some traits, impressions, or not."""
    searches, own = SEARCHES if has_searches else (), OWN if has_own else ()
    shown = SHOWN if has_shown else ()
    return pa.schema([*SCHEMA, *(TRAITS[name] for name in traits), *searches, *shown, *own])


class Carried(NamedTuple):
    """What users did before.

    Attributes:
        values: list<string> [n], a user's items, queries or items shown, oldest first; empty for a
            new user.
        timestamps: list<int64> [n], their times in Unix seconds.
        traits: Lists [n] each, what else is kept of each item, as far as the schema has it.
    """

    values: pa.ListArray
    timestamps: pa.ListArray
    traits: Mapping[str, pa.ListArray]


class CarriedOwn(NamedTuple):
    """The own items of users.

    Attributes:
        item_ids: list<string> [n], ascending; empty for a new user.
        counts: list<uint32> [n], how often each was acted on.
        times: list<uint32> [n], when last, in Unix seconds.
    """

    item_ids: pa.ListArray
    counts: pa.ListArray
    times: pa.ListArray


class Past(NamedTuple):
    """What users did up to the last day written, as far as the schema has it.

    Attributes:
        items: The items acted on.
        searches: The queries, None without.
        shown: The items shown, with the trait ``ANSWERED``, None without.
        own: The own items, None without.
    """

    items: Carried
    searches: Carried | None
    shown: Carried | None
    own: CarriedOwn | None
