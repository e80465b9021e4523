"""Checks raw records and turns them into typed events, items and user profiles.

Which columns are needed follows from the configuration. Every mistake in a record is a
``RejectedRecord`` whose text is the reason, ready for the rejected records' file.
"""

import dataclasses
import zoneinfo
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twotower_tf.config import Config
from twotower_tf.config.source import EventFiles, Files, ImpressionFiles, SearchFiles
from twotower_tf.datasets.nested import value_at
from twotower_tf.examples.event_table import event_features
from twotower_tf.examples.schema import HISTORY, RawFeature, raw_features
from twotower_tf.examples.value_types.age import since_time
from twotower_tf.examples.values import (
    EARLIEST,
    IdRules,
    RejectedRecord,
    Time,
    divisor_value,
    id_value,
    is_missing,
    list_value,
    number_value,
    optional_value,
    rejected,
    text_value,
)

# The key of an item's number that the reward is divided by: no feature can have this name.
DIVISOR = "reward.divided_by"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One user's action on one item.

    Attributes:
        timestamp: Unix seconds.
        seed_item_id: The item on screen, ``""`` where there is none.
        reward_value: The number in, or the worth of, ``examples.reward.column``, times its
            ``times``; None without a reward section.
        reward_divisor: The number in ``examples.reward.divided_by`` if the event has it.
        held_out: The number in ``source.events.columns.held_out``, None if no such column is
            named.
        history: The last ids of the column ``source.events.columns.history``, at most
            ``examples.history_length`` of them; None if no such column is named.
        values: By raw feature name, the values of the features ``of: event`` that the build does
            not fill in itself: str, float, list[str], list[float]; of an age, the Unix seconds in
            its column ``since``, or None.
    """

    user_id: str
    item_id: str
    timestamp: int
    seed_item_id: str
    reward_value: float | None
    reward_divisor: float | None
    held_out: float | None
    history: tuple[str, ...] | None
    values: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A catalogue row.

    Attributes:
        published_at: Unix seconds, None where unknown.
        title: ``""`` where unknown.
        values: By raw feature name, the values of the candidate's features, as in ``Event``; and
            under ``DIVISOR`` the number in ``examples.reward.divided_by`` if the item has it.
    """

    item_id: str
    published_at: int | None
    title: str
    values: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A user profile; ``values`` as in ``Event``, of the features ``of: user``."""

    user_id: str
    values: dict[str, Any]


class LogParser(ABC):
    """Turns the records of a log's files into what they are records of.

    Args:
        log: The log's part of the source.
        id_rules: How its ids are read.

    Attributes:
        time: The conversion of the records' times.
        time_column: Where those are.
    """

    def __init__(self, log: EventFiles | SearchFiles | ImpressionFiles, id_rules: IdRules):
        zone = zoneinfo.ZoneInfo(log.time_zone)
        self.time_column = log.columns.timestamp
        missing = log.missing_in(of_text=False)
        self.time = Time(self.time_column, log.timestamp_unit, EARLIEST, zone, missing)
        self._user_id_column = log.columns.user_id
        self._id_rules = id_rules

    def timestamp(self, record: Mapping[str, Any]) -> int:
        """Returns the Unix seconds of a raw record, whatever else is wrong with it.

        Raises:
            RejectedRecord: If its time can't be read.
        """
        return self.time(value_at(record, self.time_column))

    @abstractmethod
    def parse(self, record: Mapping[str, Any]) -> Any:
        """Returns what a raw record is.

        Raises:
            RejectedRecord: If a column that every record needs is missing, or a value is wrong.
        """

    def _user_id(self, record: Mapping[str, Any]) -> str:
        column = self._user_id_column
        return id_value(value_at(record, column), column, self._id_rules)


class EventParser(LogParser):
    """Turns the event files' records into ``Event``."""

    def __init__(self, config: Config):
        columns = config.source.events.columns
        rules = id_rules(config, "events")
        super().__init__(config.source.events, rules)
        self._features = RecordFeatures(event_features(config), config.source.events)
        self._columns = columns
        self._missing = rules.missing
        self._item_id = partial(id_value, column=columns.item_id, rules=rules)
        seed_id = partial(id_value, column=columns.seed_item_id, rules=rules)
        self._seed_item_id = partial(
            optional_value, convert=seed_id, default="", missing=rules.missing
        )
        past_id = partial(id_value, column=columns.history, rules=rules)
        self._history = partial(
            list_value,
            column=columns.history,
            convert=past_id,
            separator=history_separator(config),
            missing=rules.missing,
        )
        self._history_length = config.examples.history_length
        self._reward = config.examples.reward

    def parse(self, record: Mapping[str, Any]) -> Event:
        """Returns the event of a raw record; see ``LogParser.parse``."""
        get, columns, reward = partial(value_at, record), self._columns, self._reward
        value = divisor = None
        if reward is not None:
            value = self._reward_value(get)
            if reward.divided_by is not None:
                divisor = divisor_value(get(reward.divided_by), reward.divided_by, self._missing)
        history = held_out = None
        if columns.held_out is not None:
            held_out = number_value(get(columns.held_out), columns.held_out)
        if columns.history is not None:
            history = tuple(self._history(get(columns.history))[-self._history_length :])
        return Event(
            user_id=self._user_id(record),
            item_id=self._item_id(get(columns.item_id)),
            timestamp=self.timestamp(record),
            seed_item_id=self._seed_item_id(get(columns.seed_item_id)),
            reward_value=value,
            reward_divisor=divisor,
            held_out=held_out,
            history=history,
            values=self._features.values(record),
        )

    def _reward_value(self, get: Callable[[str], Any]) -> float:
        """Returns what is divided, if anything divides, and brought into [0, 1]."""
        column, values = self._reward.column, self._reward.values
        given = get(column)
        if values is None:
            found = number_value(given, column)
        else:
            found = values.get(text_value(given, column)) if given is not None else None
            if found is None:
                raise rejected(given, column, f"one of {', '.join(values)} (examples.reward)")
        for factor in self._reward.times:
            found *= number_value(get(factor), factor)
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """What a user typed.

    Attributes:
        query: Not empty.
        timestamp: Unix seconds.
    """

    user_id: str
    query: str
    timestamp: int


class SearchParser(LogParser):
    """Turns the search files' records into ``Search``.

    Raises:
        ValueError: If the configuration names no searches (``source.searches``).
    """

    def __init__(self, config: Config):
        if config.source.searches is None:
            raise ValueError("there are no searches to parse: source.searches is not set")
        super().__init__(config.source.searches, id_rules(config, "searches"))
        self._query_column = config.source.searches.columns.query
        self._missing = config.source.searches.missing_in(of_text=True)

    def parse(self, record: Mapping[str, Any]) -> Search:
        """Returns the search of a raw record; see ``LogParser.parse``."""
        query = value_at(record, self._query_column)
        if is_missing(query, self._missing):
            raise rejected(query, self._query_column, "text that is not empty")
        return Search(
            user_id=self._user_id(record),
            query=text_value(query, self._query_column),
            timestamp=self.timestamp(record),
        )


class ItemParser:
    """Turns the catalogue's records into ``Item``."""

    def __init__(self, config: Config):
        items = config.source.items
        self._columns = columns = items.columns
        rules = id_rules(config, "items")
        self._missing = rules.missing
        self._item_id = partial(id_value, column=columns.item_id, rules=rules)
        published_at = since_time(columns.published_at, items)
        self._published_at = partial(
            optional_value, convert=published_at, default=None, missing=rules.missing
        )
        self._title = partial(
            optional_value,
            convert=partial(text_value, column=columns.title),
            default="",
            missing=items.missing_in(of_text=True),
        )
        self._features = RecordFeatures(features_of(config, "item"), config.source.items)
        self._divided_by = config.examples.reward and config.examples.reward.divided_by

    def parse(self, record: Mapping[str, Any]) -> Item:
        """Returns the item of a raw record.

        Raises:
            RejectedRecord: If the item id is missing or a value is wrong.
        """
        get, columns = partial(value_at, record), self._columns
        item_id = self._item_id(get(columns.item_id))
        values = self._features.values(record)
        if self._divided_by is not None:
            divisor = divisor_value(get(self._divided_by), self._divided_by, self._missing)
            if divisor is not None:
                values[DIVISOR] = divisor
        return Item(
            item_id=item_id,
            published_at=self._published_at(get(columns.published_at)),
            title=self._title(get(columns.title)),
            values=values,
        )


class UserParser:
    """Turns the user profiles' records into ``User``.

    Raises:
        ValueError: If the configuration names no profiles (``source.users``).
    """

    def __init__(self, config: Config):
        if config.source.users is None:
            raise ValueError("there are no user profiles to parse: source.users is not set")
        users = config.source.users
        self._column = users.columns.user_id
        rules = id_rules(config, "users")
        self._user_id = partial(id_value, column=self._column, rules=rules)
        self._features = RecordFeatures(features_of(config, "user"), users)

    def parse(self, record: Mapping[str, Any]) -> User:
        """Returns the profile of a raw record.

        Raises:
            RejectedRecord: If the user id is missing or a value is wrong.
        """
        return User(self._user_id(value_at(record, self._column)), self._features.values(record))


def id_rules(config: Config, what: str) -> IdRules:
    """Returns how the ids of a part of the source are read."""
    missing = getattr(config.source, what).missing_in(of_text=False)
    return IdRules(missing, config.examples.normalise_ids, config.examples.max_id_bytes)


def history_separator(config: Config) -> str | None:
    """Returns what separates the ids of a history that the log gives as text, if it is known."""
    for raw in features_of(config, "event"):
        if raw.filled_in == HISTORY and raw.type.is_list and raw.type.separator:
            return raw.type.separator
    return None


def features_of(config: Config, owner: str) -> list[RawFeature]:
    """Returns the raw features that are read from the columns of an owner, such as ``item``."""
    tower = "candidate" if owner == "item" else "query"
    return [raw for raw in raw_features(config, tower) if raw.of == owner]


class RecordFeatures:
    """Reads the values of raw features from a record.

    Args:
        features: Which.
        files: The part of the source that the record is of.
    """

    def __init__(self, features: list[RawFeature], files: Files):
        self._readers = [(raw.name, raw.source_column, raw.reader(files)) for raw in features]
        self._weights = [raw for raw in features if raw.type.weighs is not None]
        self._cuts = [(raw.name, raw.type.cut) for raw in features if raw.type.is_list]

    def values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values by name; raises RejectedRecord for one that is wrong."""
        values = {name: read(value_at(record, column)) for name, column, read in self._readers}
        # Before lists are cut, for then a lacking weight would go unseen.
        for raw in self._weights:
            weights, ids = values[raw.name], values[raw.type.weighs]
            if len(weights) != len(ids):
                raise RejectedRecord(
                    f"column '{raw.column}' has {len(weights)} weights for {len(ids)} ids; there "
                    "must be as many"
                )
        for name, cut in self._cuts:
            values[name] = cut(values[name])
        return values
