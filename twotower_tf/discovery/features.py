"""What the towers may see: for each column a kind of feature, or why it is none."""

import dataclasses
import keyword
import re
from collections import Counter
from typing import Any

from twotower_tf.discovery import words
from twotower_tf.discovery.tables import Column, depends_on

_FILLED_IN = ("history", "seed_item_id", "searches", "basket", "k", "exclude_ids")
_LISTED = 12
_FEW = 64
_USUAL_BUCKETS = 16
_ALMOST_EMPTY = 0.02
_ALMOST_UNIQUE = 0.5
_SEPARATORS = ("|", ";", ",", " ")
_MOST_LABELS = 2000
_MOST_WORDS_AS_LABELS = 100
_PROJECTED_FROM = 64
_LOOKED_AT = 4000


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature as the configuration says it, or one that is left out.

    Attributes:
        values: Its keys.
        left_out: Why it is not used; None: it is.
        table_ids: How many ids its table is for, where the catalogue doesn't say.
    """

    values: dict[str, Any]
    left_out: str | None = None
    table_ids: int | None = None

    @property
    def column(self) -> str:
        """The column it is read from."""
        return self.values.get("column", self.values["name"])


def features_of(columns: list[Column], of: str | None) -> list[Feature]:
    """Returns a feature a column, those that say nothing new left out.

    Args:
        columns: Those that have no other role.
        of: ``user`` for profiles, None for items.
    """
    found: dict[str, Feature] = {}
    used: list[Column] = []
    names: set[str] = set()
    # Of a name and a number that say the same the name is kept.
    for column in sorted(columns, key=lambda one: one.kind == "number"):
        values = {**named(column.name, names), **kind_of(column, of == "user")}
        if of is not None:
            values["of"] = of
        kind = values.get("kind")
        if kind in ("id", "id_bag") and "column" in values:
            # A table is called after the column, which may be no name of a table.
            values["table"] = values["name"]
        why = _why_not(column, values) or _said_by(column, used)
        ids = column.distinct if of == "user" and kind in ("id", "id_bag") else None
        found[column.name] = Feature(values, why, None if why else ids)
        if why is None:
            used.append(column)
    return [found[column.name] for column in columns]


def named(column: str, taken: set[str]) -> dict[str, str]:
    """Returns the name of a feature, and the column where that is called otherwise.

    Args:
        column: The column.
        taken: Names of the tower's other features; this one is added.
    """
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")
    if not name[:1].isalpha():
        name = f"column_{name}".rstrip("_")
    if name in _FILLED_IN or keyword.iskeyword(name):
        name = f"{name}_column"
    first, number = name, 2
    while name in taken:
        name, number = f"{first}_{number}", number + 1
    taken.add(name)
    return {"name": name} if name == column else {"name": name, "column": column}


def kind_of(column: Column, in_query: bool) -> dict[str, Any]:
    """Returns the kind of feature for a column, with its keys; none for what can be no feature.

    Args:
        column: What it holds.
        in_query: Whether the catalogue doesn't have its values.
    """
    if column.kind == "other":
        return {}
    if column.kind == "vector":
        length = len(column.filled[0])
        projected = {"projection": 32} if length >= _PROJECTED_FROM else {}
        return {"kind": "vector", "length": length, **projected, "normalise": True}
    if column.kind == "list":
        parts = Column(column.name, [one for value in column.filled[:1000] for one in value])
        return {"kind": "text"} if is_prose(parts) else {"kind": "id_bag"}
    if column.kind == "text" and (separator := separator_of(column)) is not None:
        return {"kind": "id_bag", "separator": separator}
    if column.kind == "number" and not _is_label(column):
        return {"kind": "dense", "powers": True, "default": _rounded(column.median)}
    if is_prose(column):
        return {"kind": "text"}
    if column.distinct <= _LISTED:
        return {"kind": "category", "values": _texts(column)}
    if in_query and column.distinct <= _FEW:
        buckets = _power_of_2(2 * column.distinct)
        return {"kind": "category", **({"buckets": buckets} if buckets > _USUAL_BUCKETS else {})}
    return {"kind": "id"}


def _texts(column: Column) -> list[str]:
    """Returns the values as features of few values hold them: text as it stands, ``1.0`` too."""
    pairs = zip(column.values, column.keys, strict=True)
    return sorted({one if isinstance(one, str) else key for one, key in pairs if one is not None})


def _is_label(column: Column) -> bool:
    """Whether numbers are names: by how they are called, or as there are two or three."""
    return column.is_whole and (words.says_id(column.name) or column.distinct <= 3)


def is_prose(column: Column) -> bool:
    """Says whether a column holds text to be read for its words."""
    if column.kind != "text":
        return False
    texts = [str(value) for value in column.filled[:2000]]
    spaced = sum(" " in text.strip() for text in texts)
    return spaced >= 0.3 * len(texts) and column.distinct > 0.4 * len(column.filled)


def separator_of(column: Column) -> str | None:
    """Returns what parts texts into labels of which there are few, in many combinations."""
    texts = [str(value) for value in column.some(_LOOKED_AT)]
    combinations = len(set(texts))
    for separator in _SEPARATORS:
        if sum(separator in text for text in texts) < 0.1 * len(texts):
            continue
        parts = [[part for part in text.split(separator) if part] for text in texts]
        labels = Counter(part for one in parts for part in one)
        most = _MOST_WORDS_AS_LABELS if separator == " " else _MOST_LABELS
        few = len(labels) <= most and 2 * len(labels) <= combinations
        once = sum(len(set(one)) == len(one) for one in parts) >= 0.98 * len(parts)
        plain = not any(part.startswith(" ") for part in list(labels)[:100])
        numbers = sum(label.replace(".", "").isdigit() for label in labels)
        if few and once and plain and numbers < 0.5 * len(labels):
            return separator
    return None


def _why_not(column: Column, values: dict) -> str | None:
    if column.kind == "other" and not column.filled:
        return "empty"
    if column.kind == "other":
        return "objects, or values of all sorts"
    if column.fill < _ALMOST_EMPTY:
        return "nearly empty"
    if values["kind"] in ("vector", "id_bag", "text"):
        return None
    if column.distinct == 1 and column.fill > 1 - _ALMOST_EMPTY:
        return "the same everywhere"
    if values["kind"] == "id" and column.distinct > _ALMOST_UNIQUE * len(column.filled):
        return "nearly every row has its own"
    return None


def _said_by(column: Column, used: list[Column]) -> str | None:
    """Returns that another column says the same, if one does."""
    if column.kind in ("list", "vector") or column.distinct < 2:
        return None
    for other in used:
        alike = other.distinct == column.distinct and column.kind != "list"
        if alike and other.counts and depends_on(column, other) and depends_on(other, column):
            return f"says the same as {other.name}"
    return None


def _rounded(number: float) -> int | float:
    short = float(number) if float(number).is_integer() else float(f"{number:.4g}")
    return int(short) if short.is_integer() else short


def _power_of_2(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
