"""Checks raw records and turns them into typed events, items and user profiles.

Which columns are needed follows from the configuration. Every mistake in a record is a
``RejectedRecord`` whose text is the reason, ready for the rejected records' file.
"""

import dataclasses
import zoneinfo
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

from twotower_tf.config import Config
from twotower_tf.config.section import nearest
from twotower_tf.config.source import EventFiles, Files, ImpressionFiles, SearchFiles
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.errors import InputError
from twotower_tf.examples import unreadable_files
from twotower_tf.examples.event_table import event_features
from twotower_tf.examples.schema import HISTORY, RawFeature, raw_features
from twotower_tf.examples.value_types.age import since_time
from twotower_tf.examples.values import (
    EARLIEST,
    RejectedRecord,
    Time,
    divisor_value,
    id_value,
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
        reward_value: The number in ``examples.reward.column``, None without a reward section.
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
        longest_id: How many bytes an id may have.

    Attributes:
        time: The conversion of the records' times.
        time_column: Where those are.
    """

    def __init__(self, log: EventFiles | SearchFiles | ImpressionFiles, longest_id: int):
        zone = zoneinfo.ZoneInfo(log.time_zone)
        self.time_column = log.columns.timestamp
        self.time = Time(self.time_column, log.timestamp_unit, EARLIEST, zone)
        self._user_id_column = log.columns.user_id
        self._longest_id = longest_id

    def timestamp(self, record: Mapping[str, Any]) -> int:
        """Returns the Unix seconds of a raw record, whatever else is wrong with it.

        Raises:
            RejectedRecord: If its time can't be read.
        """
        return self.time(record.get(self.time_column))

    @abstractmethod
    def parse(self, record: Mapping[str, Any]) -> Any:
        """Returns what a raw record is.

        Raises:
            RejectedRecord: If a column that every record needs is missing, or a value is wrong.
        """

    def _user_id(self, record: Mapping[str, Any]) -> str:
        column = self._user_id_column
        return id_value(record.get(column), column, self._longest_id)


class EventParser(LogParser):
    """Turns the event files' records into ``Event``."""

    def __init__(self, config: Config):
        columns = config.source.events.columns
        longest = config.examples.max_id_bytes
        super().__init__(config.source.events, longest)
        self._features = RecordFeatures(event_features(config), config.source.events)
        self._columns = columns
        self._item_id = partial(id_value, column=columns.item_id, longest=longest)
        seed_id = partial(id_value, column=columns.seed_item_id, longest=longest)
        self._seed_item_id = partial(optional_value, convert=seed_id, default="")
        past_id = partial(id_value, column=columns.history, longest=longest)
        self._history = partial(
            list_value,
            column=columns.history,
            convert=past_id,
            separator=history_separator(config),
        )
        self._history_length = config.examples.history_length
        self._reward = config.examples.reward

    def parse(self, record: Mapping[str, Any]) -> Event:
        """Returns the event of a raw record; see ``LogParser.parse``."""
        get, columns, reward = record.get, self._columns, self._reward
        value = divisor = None
        if reward is not None:
            value = number_value(get(reward.column), reward.column)
            if reward.divided_by is not None:
                divisor = divisor_value(get(reward.divided_by), reward.divided_by)
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
        super().__init__(config.source.searches, config.examples.max_id_bytes)
        self._query_column = config.source.searches.columns.query

    def parse(self, record: Mapping[str, Any]) -> Search:
        """Returns the search of a raw record; see ``LogParser.parse``."""
        query = record.get(self._query_column)
        if query is None or query == "":
            raise rejected(query, self._query_column, "text that is not empty")
        return Search(
            user_id=self._user_id(record),
            query=text_value(query, self._query_column),
            timestamp=self.timestamp(record),
        )


class ItemParser:
    """Turns the catalogue's records into ``Item``."""

    def __init__(self, config: Config):
        self._columns = columns = config.source.items.columns
        self._item_id = partial(
            id_value, column=columns.item_id, longest=config.examples.max_id_bytes
        )
        published_at = since_time(columns.published_at, config.source.items)
        self._published_at = partial(optional_value, convert=published_at, default=None)
        self._title = partial(
            optional_value, convert=partial(text_value, column=columns.title), default=""
        )
        self._features = RecordFeatures(_features_of(config, "item"), config.source.items)
        self._divided_by = config.examples.reward and config.examples.reward.divided_by

    def parse(self, record: Mapping[str, Any]) -> Item:
        """Returns the item of a raw record.

        Raises:
            RejectedRecord: If the item id is missing or a value is wrong.
        """
        get, columns = record.get, self._columns
        item_id = self._item_id(get(columns.item_id))
        values = self._features.values(record)
        if self._divided_by is not None:
            divisor = divisor_value(get(self._divided_by), self._divided_by)
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
        self._user_id = partial(id_value, column=self._column, longest=config.examples.max_id_bytes)
        self._features = RecordFeatures(_features_of(config, "user"), users)

    def parse(self, record: Mapping[str, Any]) -> User:
        """Returns the profile of a raw record.

        Raises:
            RejectedRecord: If the user id is missing or a value is wrong.
        """
        return User(self._user_id(record.get(self._column)), self._features.values(record))


def history_separator(config: Config) -> str | None:
    """Returns what separates the ids of a history that the log gives as text, if it is known."""
    for raw in _features_of(config, "event"):
        if raw.filled_in == HISTORY and raw.type.is_list and raw.type.separator:
            return raw.type.separator
    return None


def required_columns(config: Config, what: str) -> dict[str, str]:
    """Returns the columns that a part of the source must have, and the key that names each.

    Args:
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``. The column
            ``examples.reward.divided_by`` is not among them, since it may be the event's or the
            item's; nor are the query's features of impressions, which have their defaults.
    """
    columns = getattr(config.source, what).columns
    needed = {
        column: f"source.{what}.columns.{key}" for key, column in columns if column is not None
    }
    if what == "events" and config.examples.reward is not None:
        needed.setdefault(config.examples.reward.column, "examples.reward.column")
    if what in ("searches", "impressions"):
        return needed
    owned = event_features(config) if what == "events" else _features_of(config, what[:-1])
    tower = "candidate" if what == "items" else "query"
    for raw in owned:
        needed.setdefault(raw.source_column, f"{tower}.features, {raw.name}")
    return needed


def check_columns(file: SourceFile, config: Config, what: str) -> None:
    """Checks that a file has the columns the configuration names, as far as its header says.

    Args:
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``.

    Raises:
        InputError: Names the file, the column and its key, and the columns that are there.
    """
    there = column_names(file)
    if isinstance(there, Unreadable):
        if config.examples.unreadable_files == "error":
            raise InputError(unreadable_files.error(file, there.reason))
        return
    if there is None:
        return
    for column, key in required_columns(config, what).items():
        if column not in there:
            raise InputError(
                f"{file.path}: there is no column '{column}' ({key}){nearest(column, there)}; its "
                f"columns are {', '.join(there)}"
            )
        if there.count(column) > 1:
            raise InputError(f"{file.path}: the column '{column}' ({key}) is there more than once")


def _features_of(config: Config, owner: str) -> list[RawFeature]:
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
        get = record.get
        values = {name: read(get(column)) for name, column, read in self._readers}
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
