"""What the query tower may see of an event: items on screen, the past, what is known before."""

import dataclasses
from collections import Counter
from collections.abc import Iterable

from twotower_tf.discovery import words
from twotower_tf.discovery.features import Feature, kind_of, named
from twotower_tf.discovery.joins import match_share
from twotower_tf.discovery.roles import Events
from twotower_tf.discovery.tables import Column, depends_on

_OF_ITEMS = 0.5
_THE_SAME = 0.9
_FOLLOWS = 5.0
_FEWEST_PAIRS = 100
_FEW = 64


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the events say beside user, item and time.

    Attributes:
        features: The features, those left out too.
        columns: Keys of ``source.events.columns``: seed item, history.
        residual: Features whose vectors skip the layers; empty: the default ones.
        doubts: What is unsure.
    """

    features: list[Feature]
    columns: dict[str, str]
    residual: list[str]
    doubts: list[str]


def seen_by_query(events: Events, not_features: tuple[str, ...]) -> Seen:
    """Returns what the query tower may see of the events.

    Args:
        events: The events.
        not_features: Columns that are known only after the event, such as the reward's.
    """
    taken = {events.user.column.name, events.item.column.name, events.time.name, *not_features}
    rest = [one for name, one in events.table.columns.items() if name not in taken]
    of_items: list[Column] = []
    for one in rest:
        if _is_of_items(one, events) and not any(_say_the_same(one, other) for other in of_items):
            of_items.append(one)
    past = next((one for one in rest if _is_past(one, events)), None)
    seed = max(of_items, key=lambda one: words.said(one.name, words.SEED), default=None)
    if seed is not None and not words.said(seed.name, words.SEED):
        seed = None
    columns = {}
    names = {"history", "seed_item_id"}
    features = []
    if seed is not None:
        columns["seed_item_id"] = seed.name
        features.append(Feature({"name": "seed_item_id", "kind": "id"}))
    if past is not None:
        columns["history"] = past.name
    features.append(Feature({"name": "history", "kind": "id_bag"}))
    for column in of_items:
        if column is not seed:
            features.append(Feature({**named(column.name, names), "kind": "id", "encode": "item"}))
    told = [feature.values["name"] for feature in features]
    own = [one for one in of_items if _is_followed(one, events)]
    for column in own:
        source = "seed_item_id" if column is seed else column.name
        values = {**named(f"{source}_own", names), "column": source, "kind": "id"}
        values["table"] = values["name"]
        features.append(Feature(values, None, events_items(events)))
    residual = [*told, *(one.values["name"] for one in features[len(told) :])] if own else []
    said = [*of_items, *([past] if past else [])]
    features += _context([one for one in rest if one not in said], said, names)
    doubts = [
        f"query: {one.name} is taken for items that are known before the event"
        for one in of_items
        if one is not seed
    ]
    return Seen(features, columns, residual, doubts)


def events_items(events: Events) -> int:
    """Returns how many items there are, as far as the samples know."""
    join = events.item.join
    if join is not None and join.is_key:
        return join.table.sample.rows
    return events.item.column.distinct


def _is_of_items(column: Column, events: Events) -> bool:
    """Whether a column names items as the events' own does, but not the same ones."""
    if not column.may_be_id or column.kind != events.item.column.kind:
        return False
    join, item = events.item.join, events.item.column
    if join is not None and join.is_key:
        share, used = match_share(column, join.table, join.key)
    else:
        share, used = match_share(column, events.table, item)
    same = sum(one == other for one, other in zip(column.keys, item.keys, strict=True))
    # Small whole numbers are ids of anything.
    enough = column.distinct >= 20 and (column.kind == "text" or used >= 0.2)
    known = enough or (words.said(column.name, words.SEED | words.ITEM) > 0 and used > 0.02)
    return share >= _OF_ITEMS and known and same < _THE_SAME * column.records


def _say_the_same(one: Column, other: Column) -> bool:
    return depends_on(one, other) and depends_on(other, one)


def _is_past(column: Column, events: Events) -> bool:
    """Whether a column has lists of items that were acted on before."""
    if column.kind != "list" or not words.said(column.name, words.PAST):
        return False
    known = set(events.item.join.key.counts if events.item.join else events.item.column.counts)
    some = [one for value in column.filled[:2000] for one in value]
    return bool(some) and sum(str(one) in known for one in some) >= _OF_ITEMS * len(some)


def _is_followed(column: Column, events: Events) -> bool:
    """Whether what comes after an item is more often the same than what comes after any item.

    Then what one goes to from it is more than what it is like, and deserves a table of its own.
    """
    pairs = Counter(
        pair for pair in zip(column.keys, events.item.column.keys, strict=True) if None not in pair
    )
    before, after = Counter(), Counter()
    for (one, other), count in pairs.items():
        before[one] += count
        after[other] += count
    total = sum(pairs.values())
    given, chance = _alike(before.values()), _alike([total])
    if given == 0 or total < _FEWEST_PAIRS:
        return False
    return _alike(pairs.values()) / given >= _FOLLOWS * _alike(after.values()) / chance


def _alike(counts: Iterable[int]) -> int:
    """Returns how many pairs of two of the same there are."""
    return sum(count * (count - 1) for count in counts)


def _context(rest: list[Column], said: list[Column], names: set[str]) -> list[Feature]:
    """Returns features of columns that are known before the event; others are left out."""
    features = []
    for column in rest:
        values = {**named(column.name, names), **kind_of(column, in_query=True)}
        why = None
        if column.past_time is not None or column.kind == "other":
            why = "a time" if column.filled else "empty"
        elif any(depends_on(column, one) for one in said if one.kind != "list"):
            why = "goes with another column"
        elif not words.said(column.name, words.CONTEXT) or words.says_id(column.name):
            why = "may be known only after the event"
        elif values.get("kind") != "category" or column.distinct < 2 or column.distinct > _FEW:
            why = "not one of few values"
        features.append(Feature(values, why))
    return features
