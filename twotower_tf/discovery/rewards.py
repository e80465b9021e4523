"""What an event is worth: a type, a rating, how much of it was watched."""

import dataclasses
from typing import Any

from twotower_tf.discovery import words
from twotower_tf.discovery.roles import Events
from twotower_tf.discovery.tables import Column, as_number

_MOST_TYPES = 30
_MOST_STEPS = 21
_MOST_LASTED = 1.1
_MOST = 0.95
_FEWEST = 20
_USUAL_WORTH = 0.5
# So far up a scale begins what somebody liked: above 2 of 1 to 5.
_LIKED_FROM = 0.25


@dataclasses.dataclass(frozen=True)
class Reward:
    """What ``examples.reward`` may be.

    Attributes:
        values: The section; None: every event is worth 1.
        note: What it means.
        doubt: What is unsure of it, if anything is.
        columns: The columns of the event that it reads.
    """

    values: dict[str, Any] | None = None
    note: str = "Every event is worth 1."
    doubt: str | None = None
    columns: tuple[str, ...] = ()


def find_reward(events: Events) -> Reward:
    """Returns the reward that the columns of the events suggest."""
    taken = {events.user.column.name, events.item.column.name, events.time.name}
    columns = [one for name, one in events.table.columns.items() if name not in taken]
    for find in (_of_types, _of_lasting, _of_ratings):
        found = find(columns, events)
        if found is not None:
            return found
    return Reward()


def _of_types(columns: list[Column], events: Events) -> Reward | None:
    for column in columns:
        named = words.said(column.name, words.EVENT_TYPE) > 0 or not events.table.has_header
        few = column.kind == "text" and 2 <= column.distinct <= _MOST_TYPES
        if not named or not few or column.fill < _MOST:
            continue
        worth = {text: _worth(text) for text in sorted(column.counts)}
        known = sum(one is not None for one in worth.values())
        if known < 2 or known < 0.5 * len(worth):
            continue
        values = {text: _USUAL_WORTH if one is None else one for text, one in worth.items()}
        top = max(values.values())
        if top <= 0:
            continue
        return Reward(
            {"column": column.name, "values": values},
            "What each type of event is worth.",
            f"reward: what each text of {column.name} is worth is guessed by its words; events of "
            "a text that is not listed are rejected",
            (column.name,),
        )
    return None


def _worth(text: str) -> float | None:
    found = [words.WORTH[one] for one in words.tokens(text) if one in words.WORTH]
    if text.lower() in words.WORTH:
        found.append(words.WORTH[text.lower()])
    if not found:
        return None
    return 0.0 if min(found) == 0.0 else max(found)


def _of_lasting(columns: list[Column], events: Events) -> Reward | None:
    join = events.item.join
    if join is None or not join.is_key:
        return None
    found = []
    for column in columns:
        named = words.said(column.name, words.LASTED)
        if not named or column.kind != "number" or column.fill < _MOST or min(column.numbers) < 0:
            continue
        for whole in join.table.columns.values():
            lasts = words.said(whole.name, words.LASTED) and whole.kind == "number"
            if lasts and min(whole.numbers) > 0:
                inside = _inside(column, whole, events)
                if inside >= _MOST:
                    found.append((inside, column.name, whole.name))
    if not found:
        return None
    _, column, whole = max(found)
    return Reward(
        {"column": column, "divided_by": whole, "low": 0.1, "high": 1.0},
        f"{column} of a tenth of {whole} or less is worth 0, of all of it 1.",
        f"reward: {column} is taken for how much of the item's {whole} there was",
        (column,),
    )


def _inside(column: Column, whole: Column, events: Events) -> float:
    """Returns the share of the events that lasted no longer than their items."""
    join = events.item.join
    lengths = dict(zip(join.key.keys, map(as_number, whole.values), strict=True))
    pairs = [
        (as_number(value), lengths[key])
        for value, key in zip(column.values, events.item.column.keys, strict=True)
        if key in lengths and lengths[key] is not None and as_number(value) is not None
    ]
    if len(pairs) < _FEWEST:
        return 0.0
    inside = sum(value <= _MOST_LASTED * length for value, length in pairs) / len(pairs)
    # A tenth or more of what there is, for the middle event: another unit would be far below.
    shares = sorted(value / length for value, length in pairs)
    return inside if shares[len(shares) // 2] > 0.02 else 0.0


def _of_ratings(columns: list[Column], events: Events) -> Reward | None:
    for column in columns:
        named = words.said(column.name, words.RATING)
        few = column.kind == "number" and 3 <= column.distinct <= _MOST_STEPS
        # Of a file without a header a rating is what has the steps of a scale.
        unnamed = not events.table.has_header and few and column.is_whole and column.distinct <= 11
        if not few or not (named or unnamed) or column.fill < _MOST:
            continue
        low, high = min(column.numbers), max(column.numbers)
        if low < 0 or high > 100:
            continue
        liked = low + _LIKED_FROM * (high - low)
        return Reward(
            {"column": column.name, "low": _plain(liked), "high": _plain(high)},
            f"{_plain(liked)} and less is worth nothing, {_plain(high)} is worth 1.",
            f"reward: {column.name} is taken for a rating from {_plain(low)} to {_plain(high)}",
            (column.name,),
        )
    return None


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else round(number, 3)
