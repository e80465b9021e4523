"""What an example holds, derived from the configuration: one place for build, reader and model.

A TFRecord holds a ``tf.train.Example`` with the keys below. Query features are stored as
``query/<name>``, candidate features as ``candidate/<name>``; beside them every example has
``user_id``, ``item_id``, ``seed_item_id`` (bytes; ``""``: none), ``timestamp`` (int64, Unix
seconds) and ``reward`` (float). Where own items are counted (``examples.own_length``), held-out
examples also have the lists ``own_item_ids`` (bytes), ``own_counts`` and ``own_days`` (float): the
user's items of all the past, those acted on most first, how often each was, and how many days
before the event last.

A *ranking example* is of an impression. It has the same query and candidate features, ``user_id``,
``item_id``, ``seed_item_id`` and ``timestamp``; in place of the reward it has ``clicked`` (float, 0
or 1), ``watched_seconds`` (float), ``weight`` (float: for how many impressions it stands) and
``page`` (int64, a hash: impressions of one page are held out together); and the values of
``impression_features`` as ``impression/<name>``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from twotower_tf.config import Config
from twotower_tf.config.examples import why_no_own_items
from twotower_tf.config.source import Files
from twotower_tf.examples import value_types

if TYPE_CHECKING:
    from twotower_tf.examples.value_types.value_type import ValueType

# Columns of the event that a feature may name and that the build itself fills in.
HISTORY = "history"
SEED_ITEM_ID = "seed_item_id"
SEARCHES = "searches"
# The items of the event's second that stand before its own: what is in the basket already.
BASKET = "basket"
# How many days before the event each item of the history was acted on.
HISTORY_DAYS = "history_days"
# The traits of the events of the history: what each was, and how long it lasted.
HISTORY_TYPES = "history_types"
HISTORY_DWELL = "history_dwell"
_FILLED_IN = (
    HISTORY,
    SEED_ITEM_ID,
    SEARCHES,
    HISTORY_DAYS,
    HISTORY_TYPES,
    HISTORY_DWELL,
    BASKET,
)
# What the user was shown before an impression, oldest first: the items, how many days before it,
# and whether a click of each was known by then.
SHOWN = ("shown_item_ids", "shown_days", "shown_clicked")
# What an impression has itself: as the log tells it, and what is made of its time.
POSITION, NOMINATION_SCORE = "position", "nomination_score"
NOMINATION_SOURCE, SURFACE = "nomination_source", "surface"
_LOGGED = (POSITION, NOMINATION_SCORE, NOMINATION_SOURCE, SURFACE)
HOUR, WEEKDAY = "hour", "weekday"
# The keys of a user's own items: ids, counts, days since.
OWN = ("own_item_ids", "own_counts", "own_days")
# Under which an example has a raw feature, by whose it is; the others are the query's.
_GROUPS = {"item": "candidate", "impression": "impression"}


@dataclasses.dataclass(frozen=True)
class RawFeature:
    """One raw value of a tower: whose it is, where it is read, and of which type it is.

    Attributes:
        name: Its key (``<name>``, and ``<name>_weights`` for weights).
        column: The source's column the value is read from.
        of: Whose column that is: the event's, the user profile's, the item's, or the impression's.
        type: What its values are, in records, tables, examples and requests.
    """

    name: str
    column: str
    of: Literal["event", "user", "item", "impression"]
    type: ValueType

    @property
    def key(self) -> str:
        """Its key in an example, and its column in a catalogue and in profiles."""
        return f"{_GROUPS.get(self.of, 'query')}/{self.name}"

    @property
    def event_column(self) -> str:
        """The column of the table of events, or impressions, that holds it, if it is their own."""
        return f"{self.of}/{self.name}"

    @property
    def source_column(self) -> str:
        """The column of the source that is read for it."""
        return self.type.source_column(self.column)

    @property
    def filled_in(self) -> str | None:
        """Which column it is that the build fills in, such as ``HISTORY``; None: it is read."""
        is_ours = self.of == "event" and self.source_column == self.column
        return self.column if is_ours and self.column in _FILLED_IN else None

    def is_id(self, id_column: str | None) -> bool:
        """Says whether it is the id of whose it is, given the column of those ids."""
        return self.column == id_column and self.type.holds_text

    def reader(self, files: Files) -> Callable[[Any], Any]:
        """Returns the function from ``source_column``'s value in a record to what is stored."""
        return self.type.reader(self.column, files)

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        return {
            "name": self.name,
            "column": self.column,
            "of": self.of,
            "type": value_types.json_name(self.type),
            "dtype": self.type.dtype,
            "is_list": self.type.is_list,
            **dataclasses.asdict(self.type),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RawFeature:
        """Returns what ``to_json`` made JSON of.

        Raises:
            ValueError: If its type is unknown.
        """
        name = values.get("type") or _type_before_types(values)
        # Before there were types, weights were found by their name.
        own = {"weighs": values["name"].removesuffix("_weights"), **values}
        return cls(values["name"], values["column"], values["of"], value_types.of_json(name, own))


def _type_before_types(values: Mapping[str, Any]) -> str:
    """Returns the type of a raw feature of a release from before it said so."""
    if values["since"] is not None:
        return "age"
    if values["dtype"] == "bytes":
        return "text_list" if values["is_list"] else "text"
    return "weights" if values["is_list"] else "number"


def raw_features(config: Config, tower: Literal["query", "candidate"]) -> list[RawFeature]:
    """Returns the raw features of a tower, in the configuration's order."""
    return [
        raw
        for feature in getattr(config, tower).features
        for raw in feature.raw_features(feature.owner(tower), config)
    ]


def history_traits(config: Config) -> dict[str, RawFeature]:
    """Returns the traits of events that histories keep, those that a feature of the query asks for.

    Returns:
        By the column that the build fills in with them (``HISTORY_TYPES``, ``HISTORY_DWELL``): how
        an event's own is read. No feature has a name with a slash.
    """
    columns = config.source.events.columns
    known = {
        HISTORY_TYPES: RawFeature("history/type", columns.event_type, "event", value_types.Text()),
        HISTORY_DWELL: RawFeature("history/dwell", columns.dwell, "event", value_types.Number()),
    }
    asked = {raw.filled_in for raw in raw_features(config, "query")}
    if config.ranking is not None and columns.dwell is not None:
        asked.add(HISTORY_DWELL)
    return {column: raw for column, raw in known.items() if column in asked}


def copy_keys(config: Config) -> list[RawFeature]:
    """Returns how the columns of ``examples.duplicates.key`` are read.

    No feature has a name with a slash.
    """
    return [
        RawFeature(f"copy/{column}", column, "event", value_types.Text())
        for column in config.examples.duplicates.key
    ]


def has_own_items(config: Config) -> bool:
    """Says whether own items are counted: not where the log gives the histories.

    What a user did is then what the log says of each event, and nothing is carried from day to
    day that could be counted.
    """
    return why_no_own_items(config) is None


def own_features() -> list[RawFeature]:
    """Returns a user's own items as raw values: in examples under their names, and in requests."""
    ids, *numbers = OWN
    weights = value_types.Weights(weighs=ids)
    return [
        RawFeature(ids, ids, "event", value_types.TextList()),
        *(RawFeature(name, name, "event", weights) for name in numbers),
    ]


def excluded_seed(config: Config) -> str | None:
    """Returns the query's feature that has the seed item, if that is never to be recommended."""
    if not config.index.exclude_seed:
        return None
    single = (raw for raw in raw_features(config, "query") if not raw.type.is_list)
    return next(raw.name for raw in single if raw.filled_in == SEED_ITEM_ID)


def history_feature(config: Config) -> RawFeature:
    """Returns the query's list of what the user acted on, which ``ranking`` needs."""
    lists = (raw for raw in raw_features(config, "query") if raw.type.is_list)
    return next(raw for raw in lists if raw.filled_in == HISTORY)


def impression_features(config: Config) -> list[RawFeature]:
    """Returns the raw values of an impression, which a ranking example has beside the towers'.

    - ``history_days`` and, if the log says so, ``history_dwell`` (after the name of the query's
      history): how many days before each item of it was watched, and for how long
    - ``SHOWN``
    - ``position``, ``nomination_score`` (numbers), ``nomination_source``, ``surface`` (texts,
      ``""``: none), as far as the log has them
    - with ``ranking.time_zone`` ``hour`` (``"0"`` to ``"23"``) and ``weekday`` (``"0"``, a Monday,
      to ``"6"``); ``""``: not known
    """
    section, columns = config.ranking, config.source.impressions.columns
    past = history_feature(config)
    of_past = value_types.Weights(max_length=past.type.max_length, weighs=past.name)
    made = [RawFeature(f"{past.name}_days", HISTORY_DAYS, "impression", of_past)]
    if config.source.events.columns.dwell is not None:
        made.append(RawFeature(f"{past.name}_dwell", HISTORY_DWELL, "impression", of_past))
    ids, *numbers = SHOWN
    of_shown = value_types.Weights(max_length=section.shown_length, weighs=ids)
    shown = value_types.TextList(max_length=section.shown_length)
    made.append(RawFeature(ids, ids, "impression", shown))
    made += [RawFeature(name, name, "impression", of_shown) for name in numbers]
    logged = {
        POSITION: (columns.position, value_types.Number()),
        NOMINATION_SCORE: (columns.score, value_types.Number()),
        NOMINATION_SOURCE: (columns.source, value_types.Text()),
        SURFACE: (columns.surface, value_types.Text()),
    }
    made += [
        RawFeature(name, column, "impression", of_type)
        for name, (column, of_type) in logged.items()
        if column is not None
    ]
    if section.time_zone is not None:
        made += [
            RawFeature(name, name, "impression", value_types.Text()) for name in (HOUR, WEEKDAY)
        ]
    return made


def logged_features(config: Config) -> list[RawFeature]:
    """Returns those of ``impression_features`` that the impression log has columns of."""
    return [raw for raw in impression_features(config) if raw.name in _LOGGED]
