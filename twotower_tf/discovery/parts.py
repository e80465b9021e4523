"""The parts of the source: which table is what, its path, its columns, its times."""

import dataclasses
import datetime
from typing import Any

from twotower_tf.discovery import words
from twotower_tf.discovery.behaviour import Behaviour
from twotower_tf.discovery.joins import match_share
from twotower_tf.discovery.roles import Events
from twotower_tf.discovery.tables import Column, Table
from twotower_tf.discovery.times import NATIVE, TimeForm

_IN_DAY = 0.97
_LEAST_JOINED = 0.3
_PUBLISHED_BEFORE = 0.95
# Keys of columns without a default: a column of that very name must be said, too.
_OPTIONAL = ("seed_item_id", "history", "event_type", "dwell", "published_at", "title")
_OPTIONAL += ("position", "page_id", "source", "score", "surface", "clicked", "watched_seconds")


@dataclasses.dataclass
class Part:
    """A part of the source, as the configuration says it.

    Attributes:
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``.
        table: Its table.
        values: Its keys.
    """

    what: str
    table: Table
    values: dict[str, Any]


def part_of(
    what: str, table: Table, path: str, columns: dict[str, str], times: list[Column]
) -> Part:
    """Returns a part of the source.

    Args:
        what: Which one.
        table: Its table.
        path: The pattern of its files.
        columns: Which column is what.
        times: The columns that are times, the most important one first.
    """
    file = table.group.layout
    values: dict[str, Any] = {"path": path}
    if not file.named:
        values["format"] = file.format
    for key in ("encoding", "header", "delimiter", "comment"):
        if (value := getattr(file.layout, key)) is not None:
            values[key] = list(value) if key == "header" else value
    said = {key: column for key, column in columns.items() if column != key or key in _OPTIONAL}
    form = next((one.past_time for one in times if one.past_time is not None), None)
    if form is not None and form.unit not in (NATIVE, "seconds"):
        values["timestamp_unit"] = form.unit
    if said:
        values["columns"] = said
    return Part(what, table, values)


def path_of_log(table: Table, in_day: float | None, doubts: list[str]) -> str:
    """Returns the pattern of a log's files: with ``{date}`` if it is the day (UTC) of its times."""
    group = table.group
    if not group.days or in_day is None:
        return group.undated
    if in_day >= _IN_DAY:
        return group.dated
    doubts.append(
        f"{group.dated}: only {in_day:.0%} of the sampled records are of the day (UTC) in their "
        f"file's path, so it is read as {group.undated}, each record going to the day of its time; "
        "files that are cut at local midnight are the usual reason: then keep {date}, and say when "
        "days start (source.day_starts)"
    )
    return group.undated


def path_of_snapshots(table: Table, behaviour: Behaviour, doubts: list[str]) -> str:
    """Returns the pattern of a catalogue or of profiles: dated if its days begin in time."""
    days = table.group.days
    if not days or table.group.dated == table.group.undated:
        return table.group.undated
    if days[0] <= behaviour.first:
        return table.group.dated
    doubts.append(
        f"{table.name}: its first day, {days[0]}, is after the first events, so all its files are "
        "read for every day, the last row of each id counting"
    )
    return table.group.undated


def time_doubts(what: str, column: Column) -> list[str]:
    """Returns what is unsure of a column of times, in words."""
    form: TimeForm = column.time or column.past_time
    found = []
    if form.others:
        found.append(
            f"{what}: the times of {column.name} are read as {form.unit}; they would also be "
            f"{' or '.join(form.others)}"
        )
    if not form.has_zone and not form.days_only:
        found.append(
            f"{what}: the times of {column.name} don't say their zone; UTC is assumed, "
            f"source.{what}.time_zone says another one"
        )
    if form.days_only:
        found.append(
            f"{what}: {column.name} is dates without a time of day, so what a user did on one day "
            "is not in the history of that day's events"
        )
    return found


def published_column(table: Table, key: Column, events: Events, unit: str | None) -> Column | None:
    """Returns the column with the time an item was published, if it is before its events.

    Args:
        table: The catalogue.
        key: The items' ids.
        events: The events.
        unit: Of the catalogue's times.
    """
    when = events.time.time.seconds(events.time.values)
    for column in table.columns.values():
        form = column.past_time
        if form is None or form.unit != unit or not words.said(column.name, words.PUBLISHED):
            continue
        published = dict(zip(key.keys, form.seconds(column.values), strict=True))
        pairs = [
            (published[item], time)
            for item, time in zip(events.item.column.keys, when, strict=True)
            if time is not None and published.get(item) is not None
        ]
        before = sum(one <= time for one, time in pairs)
        if pairs and before >= _PUBLISHED_BEFORE * len(pairs):
            return column
    return None


def title_of(columns: list[Column]) -> Column | None:
    """Returns the column that names an item to people: by what it is called, by what it holds."""
    best, most = None, 0.0
    for column in columns:
        if column.kind != "text" or column.past_time is not None:
            continue
        share = column.distinct / max(len(column.filled), 1)
        score = words.said(column.name, words.TITLE) + share
        longest = max(len(str(value)) for value in column.filled[:500])
        if words.said(column.name, words.TITLE) and share > 0.02 and longest < 400 and score > most:
            best, most = column, score
    return best


def searches_of(tables: list[Table], events: Events, taken: set[str]) -> Part | None:
    """Returns the log of what users typed, if one of the other tables clearly is that."""
    for table in tables:
        user, time = _user_of(table, events), _time_of(table)
        texts = [
            column
            for column in table.columns.values()
            if column.kind == "text" and words.said(column.name, words.QUERY_TEXT)
        ]
        named = words.said(table.name, words.SEARCHES) > 0
        if table.name in taken or user is None or time is None or not texts or not named:
            continue
        columns = {"user_id": user.name, "query": texts[0].name, "timestamp": time.name}
        path = path_of_log(table, _in_day(table, time), [])
        return part_of("searches", table, path, columns, [time])
    return None


def impressions_of(tables: list[Table], events: Events, taken: set[str]) -> Part | None:
    """Returns the log of what users were shown, if one of the other tables clearly is that."""
    for table in tables:
        user, time = _user_of(table, events), _time_of(table)
        item = table.columns.get(events.item.column.name)
        shown = [one for one in table.columns if words.said(one, words.OF_IMPRESSIONS)]
        named = words.said(table.name, words.IMPRESSIONS) > 0
        if table.name in taken or None in (user, time, item) or not (named or len(shown) > 1):
            continue
        columns = {"user_id": user.name, "item_id": item.name, "timestamp": time.name}
        for key, says in _OF_IMPRESSIONS.items():
            found = [one for one in table.columns if one.lower() in says]
            if found:
                columns[key] = found[0]
        if "clicked" in columns and "watched_seconds" not in columns:
            del columns["clicked"]
        path = path_of_log(table, _in_day(table, time), [])
        return part_of("impressions", table, path, columns, [time])
    return None


_OF_IMPRESSIONS = {
    "position": ("position", "rank", "slot", "pos"),
    "page_id": ("page_id", "page", "request_id", "pageid", "impression_id"),
    "source": ("source", "nominator", "generator"),
    "score": ("score",),
    "surface": ("surface", "placement"),
    "clicked": ("clicked", "is_clicked", "click"),
    "watched_seconds": ("watched_seconds", "dwell_seconds", "watch_seconds"),
}


def _user_of(table: Table, events: Events) -> Column | None:
    mine = table.columns.get(events.user.column.name)
    if mine is None or not mine.may_be_id:
        return None
    share, _ = match_share(mine, events.table, events.user.column)
    return mine if share >= _LEAST_JOINED or events.table.sample.share < 0.5 else None


def _time_of(table: Table) -> Column | None:
    times = [one for one in table.columns.values() if one.time is not None and one.fill > 0.5]
    times = [one for one in times if words.said(one.name, words.TIME) or not one.time.is_number]
    return max(times, key=lambda one: words.said(one.name, words.TIME), default=None)


def _in_day(table: Table, time: Column) -> float | None:
    pairs = [
        (datetime.date(1970, 1, 1) + datetime.timedelta(days=one // 86_400), day)
        for one, day in zip(time.time.seconds(time.values), table.sample.days, strict=True)
        if one is not None and day is not None
    ]
    return sum(one == day for one, day in pairs) / len(pairs) if pairs else None
