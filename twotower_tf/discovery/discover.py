"""Looks at a folder of files and proposes a configuration for it."""

from twotower_tf.discovery import words
from twotower_tf.discovery.behaviour import Behaviour, behaviour_of
from twotower_tf.discovery.features import Feature, features_of, named
from twotower_tf.discovery.file_groups import find_groups
from twotower_tf.discovery.joins import Join
from twotower_tf.discovery.parts import (
    Part,
    impressions_of,
    part_of,
    path_of_log,
    path_of_snapshots,
    published_column,
    searches_of,
    time_doubts,
    title_of,
)
from twotower_tf.discovery.proposal import Proposal, model_name
from twotower_tf.discovery.query_features import Seen, events_items, seen_by_query
from twotower_tf.discovery.rewards import Reward, find_reward
from twotower_tf.discovery.roles import Events, find_events, what_lacks
from twotower_tf.discovery.samples import lists_of_objects, read_sample, taken_apart_by
from twotower_tf.discovery.tables import Column, Table, depends_on
from twotower_tf.errors import InputError

_LEAST_JOINED = 0.3
_COLUMNS_SHOWN, _FILES_SHOWN = 6, 6
_LOW_MATCH = 0.97
# Of a group of files, and of all together: what is looked at must fit into memory.
_FEWEST_RECORDS, _MOST_RECORDS, _ALL_RECORDS = 5_000, 120_000, 1_000_000


def discover(source: str) -> Proposal:
    """Returns a configuration for the files below a folder.

    Args:
        source: A folder or URL, as ``--source``.

    Raises:
        InputError: If no events can be found; says what there is.
    """
    groups, passed_over = find_groups(source.rstrip("/") or source)
    each = min(_MOST_RECORDS, max(_FEWEST_RECORDS, _ALL_RECORDS // max(len(groups), 1)))
    tables = [Table(group, read_sample(group, each)).as_snapshots() for group in groups]
    events = find_events(tables) or find_events([*tables, *_taken_apart(tables)])
    lacking = what_lacks(events, tables)
    if events is None or lacking:
        raise InputError(f"--source={source}: no events can be found: {lacking or _words(tables)}")
    return _proposal(source, events, tables, passed_over)


def _taken_apart(tables: list[Table]) -> list[Table]:
    return [
        Table(table.group, taken_apart_by(table.sample, column), column)
        for table in tables
        for column in lists_of_objects(table.sample)
    ]


def _words(tables: list[Table]) -> str:
    right = "no table has a column of users, one of items and one of times"
    shown = []
    for table in tables[:_FILES_SHOWN]:
        names = list(table.columns)
        more = ", ..." if len(names) > _COLUMNS_SHOWN else ""
        shown.append(f"{table.name} ({', '.join(names[:_COLUMNS_SHOWN])}{more})")
    more = f" and {len(tables) - _FILES_SHOWN} more" if len(tables) > _FILES_SHOWN else ""
    return f"{right}; there is {'; '.join(shown)}{more}" if shown else f"{right}; no file has data"


def _proposal(source: str, events: Events, tables: list[Table], passed_over: dict) -> Proposal:
    doubts = list(events.doubts)
    orders = [name for name in events.table.columns if words.said(name, words.ORDER)]
    behaviour = behaviour_of(events, orders)
    reward = find_reward(events)
    if reward.doubt:
        doubts.append(reward.doubt)
    seen = seen_by_query(events, reward.columns)
    doubts += [*time_doubts("events", events.time), *seen.doubts]
    parts = [_events_part(events, seen, behaviour, doubts)]
    items, candidate = _items(events, seen, behaviour, doubts)
    parts.append(items)
    query = list(seen.features)
    users = _users(events, behaviour, doubts)
    if users is not None:
        parts.append(users[0])
        query += _unlike(users[1], query)
    taken = {part.table.name for part in parts}
    searches = searches_of(tables, events, taken) if "history" not in seen.columns else None
    if searches is not None:
        parts.append(searches)
        query.append(Feature({"name": "searches", "kind": "text"}))
    impressions = impressions_of(tables, events, taken)
    if impressions is not None and _tells_outcome(impressions, parts[0], reward):
        parts.append(impressions)
    taken = {part.table.name for part in parts}
    unused = {table.name: "no role was found" for table in tables if table.name not in taken}
    join = events.item.join
    return Proposal(
        model_name(source),
        parts,
        query,
        candidate,
        reward,
        behaviour,
        join.share if join is not None else 1.0,
        events_items(events),
        doubts,
        {**passed_over, **unused},
        tuple(seen.residual),
    )


def _tells_outcome(impressions: Part, events: Part, reward: Reward) -> bool:
    """Whether it is known how long what was shown was watched, which ranking learns."""
    if "watched_seconds" in impressions.values["columns"]:
        return True
    lasted = reward.values is not None and "divided_by" in reward.values
    if lasted:
        events.values.setdefault("columns", {})["dwell"] = reward.values["column"]
    return lasted


def _events_part(events: Events, seen: Seen, behaviour: Behaviour, doubts: list[str]) -> Part:
    columns = {
        "user_id": events.user.column.name,
        "item_id": events.item.column.name,
        "timestamp": events.time.name,
        **seen.columns,
    }
    path = path_of_log(events.table, behaviour.in_day, doubts)
    return part_of("events", events.table, path, columns, [events.time])


def _items(
    events: Events, seen: Seen, behaviour: Behaviour, doubts: list[str]
) -> tuple[Part, list[Feature]]:
    join = events.item.join
    if join is None:
        return _items_of_events(events, doubts)
    path = path_of_snapshots(join.table, behaviour, doubts)
    if join.share < _LOW_MATCH:
        doubts.append(
            f"items: about {join.share:.0%} of the events are of items of {join.table.name}; the "
            "others are kept (examples.unknown_items)"
        )
    others = [one for one in join.table.columns.values() if one is not join.key]
    if not join.is_key:
        doubts.append(
            f"items: {join.table.name} has several rows an item, of which the last one counts, so "
            "its other columns are no features; a table with a row an item would help"
        )
        part = part_of("items", join.table, path, {"item_id": join.key.name}, [])
        return part, [_own_id(join.key)]
    return _catalogue(join, path, others, events)


def _catalogue(
    join: Join, path: str, others: list[Column], events: Events
) -> tuple[Part, list[Feature]]:
    """Returns the catalogue with a row an item: title, ages, features."""
    times = [one for one in others if one.past_time is not None]
    unit = times[0].past_time.unit if times else None
    published = published_column(join.table, join.key, events, unit)
    columns = {"item_id": join.key.name}
    title = title_of(others)
    if title is not None:
        columns["title"] = title.name
    if published is not None:
        columns["published_at"] = published.name
    part = part_of("items", join.table, path, columns, times)
    features = features_of([join.key, *(one for one in others if one not in times)], None)
    features[0] = _own_id(join.key)
    names = {one.values["name"] for one in features}
    for time in times:
        name = named(f"{time.name}_age", names)["name"]
        why = None if time.past_time.unit == unit else f"times, but not in {unit}"
        features.append(Feature({"name": name, "kind": "age", "since": time.name}, why))
    return part, features


def _own_id(key: Column) -> Feature:
    return Feature({**named(key.name, set()), "kind": "id"})


def _items_of_events(events: Events, doubts: list[str]) -> tuple[Part, list[Feature]]:
    """Returns the events' own items as the catalogue, with what is always the same of each."""
    item = events.item.column
    doubts.append(
        "items: no catalogue was found; the items are those of the events' own files, so items "
        "without an event can't be recommended"
    )
    taken = (events.user.column, events.time, item)
    fixed = [
        one
        for one in events.table.columns.values()
        if one not in taken
        and one.counts
        and not one.is_time
        and depends_on(one, item)
        and one.distinct > 1
        and one.distinct <= item.distinct
    ]
    # A row an item, as a catalogue would have it.
    rows = list({key: row for row, key in enumerate(item.keys) if key is not None}.values())
    of_item = [Column(one.name, [one.values[row] for row in rows]) for one in (item, *fixed)]
    columns = {"item_id": item.name}
    title = title_of(of_item[1:])
    if title is not None:
        columns["title"] = title.name
    part = part_of("items", events.table, events.table.group.undated, columns, [events.time])
    return part, [_own_id(item), *features_of(of_item, None)[1:]]


def _users(
    events: Events, behaviour: Behaviour, doubts: list[str]
) -> tuple[Part, list[Feature]] | None:
    join = events.user.join
    if join is None or not join.is_key or join.share < _LEAST_JOINED:
        return None
    others = [one for one in join.table.columns.values() if one is not join.key and not one.is_time]
    features = features_of(others, "user")
    if not any(feature.left_out is None for feature in features):
        return None
    path = path_of_snapshots(join.table, behaviour, doubts)
    part = part_of("users", join.table, path, {"user_id": join.key.name}, [])
    return part, features


def _unlike(features: list[Feature], taken: list[Feature]) -> list[Feature]:
    """Returns features under names that no other one of the tower has."""
    names = {one.values["name"] for one in taken}
    renamed = []
    for feature in features:
        values = {**feature.values, **named(feature.column, names)}
        if values["name"] != feature.column:
            values["column"] = feature.column
        renamed.append(Feature(values, feature.left_out, feature.table_ids))
    return renamed
