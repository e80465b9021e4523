"""One user's events in order: what came strictly before each, and the examples they make."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from twotower_tf.config import Config
from twotower_tf.examples.catalogue import age_in_days, put_value
from twotower_tf.examples.encoding import encode_features, example_of
from twotower_tf.examples.histories import user_hash
from twotower_tf.examples.plan import day_number
from twotower_tf.examples.schema import HISTORY, SEED_ITEM_ID, RawFeature, raw_features


@dataclasses.dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event with its place in the order of its user's events.

    Attributes:
        event: As ``events.EventReader`` yields it, without the user.
        timestamp: Unix seconds.
        key: A hash of user, item and time, 16 bytes: breaks ties, chooses split and shard.
        day: The UTC day as ``date.toordinal``.
    """

    event: tuple
    timestamp: int
    key: bytes
    day: int


def event_key(user_id: str, item_id: str, timestamp: int) -> bytes:
    """Returns a hash of an event that is the same on every machine and in every run."""
    text = f"{len(user_id)} {user_id}{item_id} {timestamp}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def in_order(user_id: str, events: Iterable[tuple]) -> tuple[list[TimedEvent], list[int]]:
    """Sorts a user's events by time and drops those delivered before.

    Args:
        user_id: The user.
        events: ``(delivery, timestamp, item_id, ...)`` each, where ``delivery``, (file, line),
            says which of several copies was delivered first: that one is kept.

    Returns:
        The events, of equal times by their hash, and the days of the copies left out.
    """
    keyed = sorted(
        (event[1], event_key(user_id, event[2], event[1]), event[0], event) for event in events
    )
    kept: list[TimedEvent] = []
    duplicate_days: list[int] = []
    for timestamp, key, _, event in keyed:
        day = day_number(timestamp)
        if kept and kept[-1].key == key:
            duplicate_days.append(day)
        else:
            kept.append(TimedEvent(event[1:], timestamp, key, day))
    return kept, duplicate_days


def share_of(key: bytes) -> float:
    """Returns the hash of an event as a share in [0, 1); below ``holdout_share`` is held out."""
    return int.from_bytes(key[:6], "big") / 2**48


def shard_of(key: bytes, shards: int) -> int:
    """Returns the shard of an event by its hash, independent of ``share_of``."""
    return int.from_bytes(key[8:], "big") % shards


def window_positions(
    user_share: float, events: Sequence[TimedEvent], window_seconds: int
) -> Iterator[tuple[int, float]]:
    """Yields the sort key of each event among all users' of its day: the window, then 0 to 1.

    The n events a user has in a window of time stand at (rank + user_share) / n in it: spread
    evenly, in their order in time, and offset from other users'. So neighbours, and with them
    the negatives in a batch, are of different users, without the time order getting lost.

    Args:
        user_share: A hash of the user in [0, 1).
        events: A day's, in order.
        window_seconds: The length of a window.
    """
    for window, group in itertools.groupby(events, lambda event: event.timestamp // window_seconds):
        count = len(list(group))
        for rank in range(count):
            yield window, (rank + user_share) / count


class HistoryWalk:
    """The items a user acted on so far, as events come in order.

    Args:
        length: How many items a history holds at most.
        item_ids: The history to go on from, oldest first.
        timestamps: Their times.
    """

    def __init__(self, length: int, item_ids: Sequence[str], timestamps: Sequence[int]):
        self._length = length
        self._item_ids = list(item_ids)
        self._timestamps = list(timestamps)
        self._before = len(self._item_ids)

    def step(self, item_id: str, timestamp: int) -> list[str]:
        """Returns the history strictly before an event's time, and adds the event."""
        if not self._timestamps or self._timestamps[-1] < timestamp:
            self._before = len(self._item_ids)
        history = self._item_ids[max(0, self._before - self._length) : self._before]
        self._item_ids.append(item_id)
        self._timestamps.append(timestamp)
        return history

    def state(self) -> tuple[list[str], list[int]]:
        """Returns the last items and their times."""
        return self._item_ids[-self._length :], self._timestamps[-self._length :]


class QueryFeatures:
    """Fills in the query features of events, and those of a user alone."""

    def __init__(self, config: Config):
        self._features = [
            (f"query/{raw.name}", raw, _source(raw)) for raw in raw_features(config, "query")
        ]
        users = config.source.users
        self._user_id_column = users.columns.user_id if users is not None else None

    def encode(
        self, user_id: str, event: tuple, history: Sequence[str], profile: dict | None
    ) -> bytes:
        """Returns the features of an event that are not its item's, encoded.

        Args:
            user_id: The user.
            event: As in ``TimedEvent``.
            history: The item ids before it.
            profile: The user's profile values by feature name, None without a profile.
        """
        timestamp, item_id, seed_item_id, _, amount, _, values = event
        texts = {
            "user_id": (user_id.encode(),),
            "item_id": (item_id.encode(),),
            "seed_item_id": (seed_item_id.encode(),),
        }
        floats: dict = {"reward": (amount,)}
        for key, raw, source in self._features:
            if source == "history":
                value = _filled(raw, history)
            elif source == "seed":
                value = _filled(raw, (seed_item_id,) if seed_item_id else ())
            elif source == "event":
                value = values[raw.name]
            else:
                value = self._of_user(raw, user_id, profile)
                if raw.since is not None:
                    value = age_in_days(timestamp, value, raw.default)
            put_value(texts, floats, key, raw, value)
        return encode_features(texts, floats, {"timestamp": (timestamp,)})

    def of_user(self, user_id: str, profile: dict | None) -> str:
        """Returns the user's own raw query features as JSON, ages left to serving."""
        values = {
            raw.name: self._of_user(raw, user_id, profile)
            for _, raw, source in self._features
            if source == "user" and raw.since is None
        }
        return json.dumps(values, sort_keys=True)

    def _of_user(self, raw: RawFeature, user_id: str, profile: dict | None):
        if profile is not None:
            return profile[raw.name]
        if raw.since is not None:
            return None
        if raw.column == self._user_id_column and raw.dtype == "bytes":
            return [user_id] if raw.is_list else user_id
        return [] if raw.is_list else raw.default


def _filled(raw: RawFeature, item_ids: Sequence[str]):
    """Returns the value of a feature the build fills in; one that is no list takes the last id."""
    if raw.is_list:
        return item_ids[-raw.max_length :] if raw.max_length else item_ids
    return item_ids[-1] if item_ids else raw.default


def _source(raw: RawFeature) -> str:
    if raw.of == "event" and raw.since is None:
        return {HISTORY: "history", SEED_ITEM_ID: "seed"}.get(raw.column, "event")
    return raw.of


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """An example and where it goes.

    Attributes:
        day: Its day.
        split: ``train`` or ``eval``.
        shard: The number of its shard.
        order: Where it stands in its shard: sorts before what is greater.
        record: The serialised ``tf.train.Example``.
    """

    day: int
    split: str
    shard: int
    order: tuple[int, float, bytes]
    record: bytes


class TimelineEncoder:
    """Makes the examples of a user's events in order."""

    def __init__(self, config: Config):
        self._examples = config.examples
        self._query = QueryFeatures(config)

    def examples(
        self, user_id: str, events: Sequence[TimedEvent], walk: HistoryWalk, profile: dict | None
    ) -> Iterator[Example]:
        """Yields the examples of a day's events, and takes the history forward over them."""
        _, user_share = user_hash(user_id)
        window = self._examples.interleave_window_seconds
        positions = window_positions(user_share, events, window)
        for timed, position in zip(events, positions, strict=True):
            event = timed.event
            logged = event[3]
            history = walk.step(event[1], timed.timestamp) if logged is None else logged
            held_out = share_of(timed.key) < self._examples.holdout_share
            yield Example(
                timed.day,
                "eval" if held_out else "train",
                shard_of(timed.key, self._examples.shards),
                (*position, timed.key),
                example_of(event[5], self._query.encode(user_id, event, history, profile)),
            )


def by_day(events: list[TimedEvent]) -> dict[int, list[TimedEvent]]:
    """Groups events in order by their day."""
    return {day: list(group) for day, group in itertools.groupby(events, attrgetter("day"))}
