"""Which table holds the events, and which of its columns are user, item and time.

Each pair of columns of each table with times is scored by what names say, and by whether the
values name the rows of another table; the best wins, the next best is a doubt if it is close.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

from twotower_tf.discovery import words
from twotower_tf.discovery.joins import Join, joins_of
from twotower_tf.discovery.tables import Column, Table

_CLOSE = 0.75
# Of a column that neither its name nor another table vouches for.
_UNNAMED = 0.3
_LEAST_SURE = 1.0
_MOST_DISTINCT = 0.95
_FEW_RECORDS = 50


@dataclasses.dataclass(frozen=True)
class Part:
    """A column of the events that names users or items.

    Attributes:
        column: The column.
        join: The table with a row each, if there is one.
        score: How likely it is.
    """

    column: Column
    join: Join | None
    score: float


@dataclasses.dataclass(frozen=True)
class Events:
    """What is taken for the events.

    Attributes:
        table: The table.
        user: Who acted.
        item: On which item.
        time: When.
        score: How likely it is, to be compared with others.
        doubts: What else it may be, in words.
    """

    table: Table
    user: Part
    item: Part
    time: Column
    score: float
    doubts: tuple[str, ...] = ()


def find_events(tables: list[Table]) -> Events | None:
    """Returns the likeliest events, or None where no table can be.

    Args:
        tables: All tables.
    """
    found = [one for table in tables for one in _candidates(table, tables)]
    found.sort(key=lambda one: (-one.score, one.table.name, one.user.column.name))
    if not found:
        return None
    best = found[0]
    return dataclasses.replace(best, doubts=tuple(_doubts(best, found[1:])))


def what_lacks(events: Events | None, tables: list[Table]) -> str | None:
    """Says which table has no times, or nothing that can be read, where only that is the events.

    Args:
        events: What ``find_events`` found: it is doubted if its user or item is hardly one.
        tables: All tables.
    """
    if events is not None and min(events.user.score, events.item.score) >= _LEAST_SURE:
        return None
    for table in tables:
        if not table.columns:
            return f"of {table.name} not one record can be read by its header"
        if any(_time_score(one, table) > 0 for one in table.columns.values()):
            continue
        for user, item in _pairs(table, tables, None):
            if min(user.score, item.score) >= _LEAST_SURE:
                return (
                    f"{table.name} has users ({user.column.name}) and items "
                    f"({item.column.name}), but no column of times"
                )
    return None


def _candidates(table: Table, tables: list[Table]) -> list[Events]:
    times = sorted(
        ((_time_score(one, table), one) for one in table.columns.values()),
        key=lambda pair: (-pair[0], pair[1].name),
    )
    if not times or times[0][0] <= 0:
        return []
    time_score, time = times[0]
    found = []
    for user, item in _pairs(table, tables, time):
        score = user.score + item.score + time_score + _table_score(table)
        sure = max(user.score, item.score) >= _LEAST_SURE and min(user.score, item.score) > 0
        if sure or (not table.has_header and min(user.score, item.score) > 0):
            found.append(Events(table, user, item, time, score))
    return found


def _pairs(table: Table, tables: list[Table], time: Column | None) -> Iterator[tuple[Part, Part]]:
    """Yields what may be the user and the item of a table's records."""
    parts: dict[str, tuple[Part, Part]] = {}
    for column in table.columns.values():
        if column is not time and (_named(column) or (column.may_be_id and not column.is_time)):
            joins = joins_of(column, table, tables)
            user = _part(column, table, joins, words.USER, words.ITEM, _is_of_users)
            item = _part(column, table, joins, words.ITEM, words.USER, _is_of_items)
            parts[column.name] = user, item
    for one, other in itertools.permutations(parts, 2):
        yield _apart(parts[one][0], parts[other][1])


def _named(column: Column) -> bool:
    """Whether a name says that a column is of users or items, though it may look like times."""
    named = max(words.said(column.name, words.USER), words.said(column.name, words.ITEM))
    return column.may_be_id and named >= 2


def _time_score(column: Column, table: Table) -> float:
    """Returns how likely a column is the time of events, 0: not at all."""
    if column.time is None or column.fill < 0.5:
        return 0.0
    named = words.said(column.name, words.TIME)
    published = words.said(column.name, words.PUBLISHED)
    if not column.time.is_number:
        return 2.0 + named - published
    if named or published:
        return 1.0 + named - published
    return 1.0 if not table.has_header and column.is_whole else 0.0


def _part(
    column: Column, table: Table, joins: list[Join], mine: dict, others: dict, fits: Callable
) -> Part:
    score = 2 * words.said(column.name, mine) / 3 - words.said(column.name, others) / 3
    if score > 0 and words.says_id(column.name):
        score += 0.5
    # What came before an item, or is to come after it, is another one.
    score -= words.said(column.name, words.ANOTHER)
    if words.said(column.name, words.ORDER) and not words.said(column.name, mine):
        score -= 1.0
    # What is hardly ever there again names the event itself.
    if column.distinct > _MOST_DISTINCT * len(column.filled) and column.records > _FEW_RECORDS:
        score -= 1.5
    score -= 2 * (1 - column.fill)
    best = max(joins, key=lambda join: join.weight + fits(join, column), default=None)
    if best is not None:
        score += 2 * best.weight + fits(best, column)
    return Part(column, best, score + _UNNAMED * (column.distinct >= 10))


def _is_of_items(join: Join, column: Column) -> float:
    """Returns how much a table looks like a catalogue, for a column that names its rows."""
    name = join.table.name
    score = 0.5 * (words.said(name, words.ITEM | words.CATALOGUE) > 0)
    score -= 0.5 * (words.said(name, words.USER | words.PROFILES) > 0)
    titled = any(_is_title(one) for one in join.table.columns.values())
    return score + 0.5 * titled + _same_name(join, column)


def _is_of_users(join: Join, column: Column) -> float:
    name = join.table.name
    score = 0.5 * (words.said(name, words.USER | words.PROFILES) > 0)
    score -= 0.5 * (words.said(name, words.ITEM | words.CATALOGUE) > 0)
    titled = any(_is_title(one) for one in join.table.columns.values())
    return score - 0.5 * titled + _same_name(join, column)


def _same_name(join: Join, column: Column) -> float:
    return 0.5 * (words.tokens(join.key.name) == words.tokens(column.name))


def _is_title(column: Column) -> bool:
    """Whether a column holds texts of several words, nearly each its own."""
    spaced = sum(" " in str(value).strip() for value in column.filled[:500])
    several = spaced >= 0.4 * len(column.filled[:500])
    return column.kind == "text" and several and column.distinct > 0.5 * len(column.filled)


def _apart(user: Part, item: Part) -> tuple[Part, Part]:
    """Leaves the rows of one table to the likelier of two columns."""
    if user.join is None or item.join is None or user.join.table is not item.join.table:
        return user, item
    loser = min((user, item), key=lambda part: part.join.weight)
    alone = dataclasses.replace(loser, join=None, score=loser.score - 2 * loser.join.weight)
    return (alone, item) if loser is user else (user, alone)


def _table_score(table: Table) -> float:
    score = 0.3 * math.log10(max(table.sample.rows, 1))
    score += words.said(table.name, words.EVENTS)
    score -= words.said(table.name, words.IMPRESSIONS) + words.said(table.name, words.SEARCHES)
    score -= 2 * words.said(table.name, words.CATALOGUE | words.PROFILES)
    return score


def _doubts(best: Events, others: list[Events]) -> Iterator[str]:
    seen: set[str] = set()
    for other in others:
        if best.score - other.score > _CLOSE:
            return
        for what in ("table", "user", "item"):
            mine, theirs = _shown(best, what), _shown(other, what)
            if mine != theirs and what not in seen:
                seen.add(what)
                called = {"table": "the events", "user": "the user", "item": "the item"}[what]
                yield f"{called}: {mine}; nearly as likely is {theirs}"


def _shown(events: Events, what: str) -> str:
    if what == "table":
        return events.table.name
    return f"the column {getattr(events, what).column.name}"
