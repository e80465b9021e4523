"""A shard's logs, users and items numbered: whole columns can be reckoned with."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config.examples import Duplicates
from twotower_tf.examples import hashes
from twotower_tf.examples.schema import RawFeature
from twotower_tf.examples.shards.choice import ValidEvents
from twotower_tf.examples.shards.timeline import Actions
from twotower_tf.examples.users.history_rows import Carried

# A position in a file has fewer bits.
_POSITION_BITS = 40
# Columns of the event table that the fields of ``ShardEvents`` hold.
_NUMBERED = ("user_hash", "day", "file", "position")


@dataclasses.dataclass(frozen=True)
class ShardEvents:
    """n events, searches or impressions of a shard, in any order.

    Attributes:
        table: As it was read (``event_table``), without what the fields below hold.
        user_ids: string [users], by ``user_hashes``, then by themselves.
        user_hashes: uint64 [users].
        user: int64 [n], the place of each one's user in ``user_ids``.
        day: int64 [n], the day that brought it.
        time: int64 [n], Unix seconds.
        delivery: int64 [n], which was delivered first.
        copy: uint64 [n], what copies have alike beside user, time and item.
    """

    table: pa.Table
    user_ids: pa.Array
    user_hashes: np.ndarray
    user: np.ndarray
    day: np.ndarray
    time: np.ndarray
    delivery: np.ndarray
    copy: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


def number_users(*logs: pa.Table, duplicates: Duplicates) -> list[ShardEvents]:
    """Numbers the users of a shard's logs together, in all alike.

    Args:
        logs: The events and, as far as there are such, the searches and the impressions.
        duplicates: What copies of events are.
    """
    columns = [log["user_id"].combine_chunks() for log in logs]
    encoded = pa.chunked_array(columns).dictionary_encode().combine_chunks()
    codes = encoded.indices.to_numpy()
    user_hashes = np.empty(len(encoded.dictionary), np.uint64)
    user_hashes[codes] = np.concatenate([log["user_hash"].to_numpy() for log in logs])
    users = pa.table({"user_hash": user_hashes, "user_id": encoded.dictionary})
    keys = [(name, "ascending") for name in users.column_names]
    order = pc.sort_indices(users, sort_keys=keys).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    user_ids, user_hashes = encoded.dictionary.take(pa.array(order)), user_hashes[order]
    ends = np.cumsum([len(log) for log in logs])[:-1]
    return [
        _numbered(log, user_ids, user_hashes, users, duplicates)
        for log, users in zip(logs, np.split(place[codes], ends), strict=True)
    ]


def _numbered(
    log: pa.Table,
    user_ids: pa.Array,
    user_hashes: np.ndarray,
    user: np.ndarray,
    duplicates: Duplicates,
) -> ShardEvents:
    file = log["file"].to_numpy().astype(np.int64)
    delivery = (file << _POSITION_BITS) + log["position"].to_numpy()
    return ShardEvents(
        table=log.drop_columns(_NUMBERED),
        user_ids=user_ids,
        user_hashes=user_hashes,
        user=user,
        day=log["day"].to_numpy().astype(np.int64),
        time=log["timestamp"].to_numpy(),
        delivery=delivery,
        copy=_copy_keys(log, delivery, duplicates),
    )


def _copy_keys(log: pa.Table, delivery: np.ndarray, duplicates: Duplicates) -> np.ndarray:
    """Returns what copies have alike, uint64 [n]; of other logs than events nothing is asked."""
    keys = np.zeros(len(log), np.uint64)
    if "reward" not in log.column_names:
        return keys
    if duplicates.keep == "all":
        # What was carried over has 0.
        return delivery.astype(np.uint64) + np.uint64(1)
    for column in duplicates.key:
        keys = hashes.mixed(keys) ^ hashes.text_hashes(log[f"event/copy/{column}"])
    return keys


@dataclasses.dataclass(frozen=True)
class ShardItems:
    """The items of a shard's events and of what its users acted on before, numbered.

    Of searches, the queries stand for the items.

    Attributes:
        item_ids: string [items], each once.
        events: The events, their order by ``hashes.event_hashes``.
        carried: The users' actions before, oldest first.
        traits: What else is kept of each action, by ``Actions.record``: first of the events, then
            of what was carried. By the column that the build fills in (``schema.history_traits``).
    """

    item_ids: pa.Array
    events: Actions
    carried: Actions
    traits: dict[str, pa.Array]


def number_items(
    events: ShardEvents,
    column: str,
    carried: Carried,
    traits: Mapping[str, RawFeature] | None = None,
) -> ShardItems:
    """Numbers the items of events and of their users' actions before.

    Args:
        events: The events, searches or impressions.
        column: Has the items' ids, or the queries.
        carried: A row for each of ``events.user_ids``.
        traits: What else is kept of them (``schema.history_traits``).
    """
    past = carried.values.flatten()
    ids = pa.chunked_array([events.table[column].combine_chunks(), past], pa.string())
    encoded = ids.dictionary_encode().combine_chunks()
    codes = encoded.indices.to_numpy()
    size = len(events)
    item_hashes = hashes.text_hashes(encoded.dictionary)[codes]
    lengths = pc.list_value_length(carried.values).to_numpy()
    past_user = np.repeat(np.arange(len(lengths)), lengths)
    past_time = carried.timestamps.flatten().to_numpy()

    copies = np.concatenate([events.copy, np.zeros(len(past), np.uint64)])

    def actions(user: np.ndarray, time: np.ndarray, rows: slice) -> Actions:
        order = hashes.event_hashes(events.user_hashes[user], item_hashes[rows], time)
        records = np.arange(len(codes))[rows]
        return Actions(user, time, codes[rows], order, records, copies[rows])

    return ShardItems(
        item_ids=encoded.dictionary,
        events=actions(events.user, events.time, slice(0, size)),
        carried=actions(past_user, past_time, slice(size, None)),
        traits={
            name: _joined(events.table[raw.event_column], carried.traits[name].flatten())
            for name, raw in (traits or {}).items()
        },
    )


def _joined(of_events: pa.ChunkedArray, of_carried: pa.Array) -> pa.Array:
    """Returns a trait of events, then of what was carried: numbers, or a dictionary of texts."""
    both = pa.concat_arrays([of_events.combine_chunks().cast(of_carried.type), of_carried])
    return both.dictionary_encode() if pa.types.is_string(both.type) else both


def without_past(events: ShardEvents) -> ShardItems:
    """Numbers the items of events whose histories the log gives.

    Nothing is known of the days before, so the users of a day are others than those of the next.
    """
    encoded = events.table["item_id"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    item_hashes = hashes.text_hashes(encoded.dictionary)[codes]
    order = hashes.event_hashes(events.user_hashes[events.user], item_hashes, events.time)
    _, of_day = np.unique(np.stack([events.user, events.day]), axis=1, return_inverse=True)
    records = np.arange(len(codes))
    actions = Actions(of_day.ravel(), events.time, codes, order, records, events.copy)
    return ShardItems(encoded.dictionary, actions, actions[:0], {})


def valid_events(events: ShardEvents, event_hash: np.ndarray, rows: np.ndarray) -> ValidEvents:
    """Returns some of the events, or impressions, as ``choice`` takes them."""
    user = events.user[rows]
    return ValidEvents(
        user=user,
        user_hash=events.user_hashes[user],
        day=events.day[rows],
        time=events.time[rows],
        hash=event_hash[rows],
        reward=_taken(events.table, "reward", rows),
        held_out=_taken(events.table, "held_out", rows),
    )


def _taken(table: pa.Table, name: str, rows: np.ndarray) -> np.ndarray | None:
    return table[name].to_numpy()[rows] if name in table.column_names else None
