"""What an example holds, derived from the configuration: one place for build, reader and model.

A TFRecord holds a ``tf.train.Example`` with the keys below. Query features are stored as
``query/<name>``, candidate features as ``candidate/<name>``; beside them every example has
``user_id``, ``item_id``, ``seed_item_id`` (bytes; ``""``: none), ``timestamp`` (int64, Unix
seconds) and ``reward`` (float). Where own items are counted (``examples.own_length``), held-out
examples also have the lists ``own_item_ids`` (bytes), ``own_counts`` and ``own_days`` (float): the
user's items of all the past, those acted on most first, how often each was, and how many days
before the event last.
"""

import dataclasses
from typing import Literal

from twotower_tf.config import Config

# Columns of the event that a feature may name and that the build itself fills in.
HISTORY = "history"
SEED_ITEM_ID = "seed_item_id"
SEARCHES = "searches"
# The keys of a user's own items: ids, counts, days since.
OWN = ("own_item_ids", "own_counts", "own_days")


def has_own_items(config: Config) -> bool:
    """Says whether own items are counted: not where the log gives the histories.

    What a user did is then what the log says of each event, and nothing is carried from day to
    day that could be counted.
    """
    return config.examples.own_length > 0 and config.source.events.columns.history is None


@dataclasses.dataclass(frozen=True)
class RawFeature:
    """One raw value of a tower, as it is stored, parsed and served.

    Attributes:
        name: The key of the raw feature (``<name>``, and ``<name>_weights`` for weights).
        column: The source's column the value is read from.
        of: Whose column that is: the event's, the user profile's, or the item's.
        dtype: ``bytes`` or ``float``.
        is_list: Whether an example has a list of values (of any length, 0 included) or just one.
        default: The value where the column is missing or empty (not of lists: those are empty).
        separator: What separates the values of a list that is given as text, if it is.
        max_length: At most so many values of a list are kept (the last ones), None: all.
        since: For ages, the column with the time to subtract from the event's; the stored value
            is in days, not negative.
    """

    name: str
    column: str
    of: Literal["event", "user", "item"]
    dtype: Literal["bytes", "float"]
    is_list: bool = False
    default: str | float = ""
    separator: str | None = None
    max_length: int | None = None
    since: str | None = None


def raw_features(config: Config, tower: Literal["query", "candidate"]) -> list[RawFeature]:
    """Returns the raw features of a tower, in the configuration's order."""
    owner = "event" if tower == "query" else "item"
    result: list[RawFeature] = []
    for feature in getattr(config, tower).features:
        of = feature.of or owner
        if feature.kind in ("id_bag", "weighted_id_bag"):
            result += _lists(feature, of, config)
        elif feature.kind == "text" and feature.column == SEARCHES and of == "event":
            length = config.examples.search_length
            result.append(
                RawFeature(feature.name, SEARCHES, of, "bytes", is_list=True, max_length=length)
            )
        elif feature.kind == "dense":
            result.append(
                RawFeature(feature.name, feature.column, of, "float", default=feature.default)
            )
        elif feature.kind == "age":
            result.append(
                RawFeature(
                    feature.name,
                    feature.column,
                    of,
                    "float",
                    default=feature.serving_days,
                    since=feature.since,
                )
            )
        else:
            result.append(RawFeature(feature.name, feature.column, of, "bytes"))
    return result


def _lists(feature, of: str, config: Config) -> list[RawFeature]:
    length = feature.max_length
    if feature.column == HISTORY and of == "event":
        length = min(length or config.examples.history_length, config.examples.history_length)
    ids = RawFeature(
        feature.name,
        feature.column,
        of,
        "bytes",
        is_list=True,
        separator=getattr(feature, "separator", None),
        max_length=length,
    )
    if feature.kind == "id_bag":
        return [ids]
    weights = dataclasses.replace(
        ids, name=f"{feature.name}_weights", column=feature.weights, dtype="float"
    )
    return [ids, weights]
