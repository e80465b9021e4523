"""Checks raw records of the impression log and turns them into typed impressions."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from twotower_tf.config import Config
from twotower_tf.datasets.nested import value_at
from twotower_tf.examples.event_table import query_features
from twotower_tf.examples.records import LogParser, RecordFeatures, id_rules
from twotower_tf.examples.schema import logged_features
from twotower_tf.examples.values import (
    id_text,
    id_value,
    number_value,
    optional_value,
    rejected,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Impression:
    """An item that a user was shown.

    Attributes:
        timestamp: Unix seconds.
        seed_item_id: The item on screen, ``""`` where there is none.
        page_id: The page it was part of, None where the log does not say.
        clicked: Whether the user acted on it, None if the log does not tell the outcome.
        watched_seconds: For how long, 0 without a click; None likewise.
        values: By raw feature name, the query's features ``of: event``, as in ``Event``.
        logged: By raw feature name, those of ``schema.logged_features``.
    """

    user_id: str
    item_id: str
    timestamp: int
    seed_item_id: str
    page_id: str | None
    clicked: bool | None
    watched_seconds: float | None
    values: dict[str, Any]
    logged: dict[str, Any]


class ImpressionParser(LogParser):
    """Turns the impression files' records into ``Impression``.

    Raises:
        ValueError: If the configuration names no impressions (``source.impressions``).
    """

    def __init__(self, config: Config):
        log = config.source.impressions
        if log is None:
            raise ValueError("there are no impressions to parse: source.impressions is not set")
        rules = id_rules(config, "impressions")
        super().__init__(log, rules)
        self._missing = rules.missing
        self._columns = columns = log.columns
        self._tells_outcome = log.tells_outcome
        self._item_id = partial(id_value, column=columns.item_id, rules=rules)
        seed_id = partial(id_value, column=columns.seed_item_id, rules=rules)
        self._seed_item_id = partial(
            optional_value, convert=seed_id, default="", missing=rules.missing
        )
        page_id = partial(id_text, column=columns.page_id, nfc=rules.nfc)
        self._page_id = partial(
            optional_value, convert=page_id, default=None, missing=rules.missing
        )
        self._values = RecordFeatures(query_features(config), log)
        self._logged = RecordFeatures(logged_features(config), log)

    def parse(self, record: Mapping[str, Any]) -> Impression:
        """Returns the impression of a raw record; see ``LogParser.parse``."""
        get, columns = partial(value_at, record), self._columns
        clicked, watched = self._outcome(record)
        return Impression(
            user_id=self._user_id(record),
            item_id=self._item_id(get(columns.item_id)),
            timestamp=self.timestamp(record),
            seed_item_id=self._seed_item_id(get(columns.seed_item_id)),
            page_id=self._page_id(get(columns.page_id)),
            clicked=clicked,
            watched_seconds=watched,
            values=self._values.values(record),
            logged=self._logged.values(record),
        )

    def _outcome(self, record: Mapping[str, Any]) -> tuple[bool | None, float | None]:
        """Returns whether it was clicked, and for how long it was watched then."""
        if not self._tells_outcome:
            return None, None
        watched = self._number(record, self._columns.watched_seconds)
        if watched < 0.0:
            raise rejected(watched, self._columns.watched_seconds, "a number of seconds, 0 or more")
        column = self._columns.clicked
        clicked = watched > 0.0 if column is None else self._number(record, column) != 0.0
        return clicked, watched if clicked else 0.0

    def _number(self, record: Mapping[str, Any], column: str) -> float:
        """Returns a number, 0 where it is missing."""
        convert = partial(number_value, column=column)
        return optional_value(value_at(record, column), convert, 0.0, self._missing)
