"""Rejected records: a line of JSON each, so that people can look at what could not be used."""

import json
import math
import os
import re
from collections.abc import Iterable

from twotower_tf import storage
from twotower_tf.config.examples import ExamplesSection

KIND = "rejected"
# What makes two reasons of the same kind differ: quoted values and numbers.
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")
# How the reasons begin why a record is not of its file's day.
LATE, AHEAD = "late", "ahead of its time"
_OF_ANOTHER_DAY = (f"{LATE}: ", f"{AHEAD}: ")
_CUT_ELSEWHERE = (
    "; if the log's days are cut at another time, say when they start: source.day_starts"
)


def file_name(log: str) -> str:
    """Returns the file that the rejected records of a log, such as ``events``, are in."""
    return f"{log}.jsonl"


def rejected_line(root: str, path: str, number: int, record, reason: str) -> str:
    """Returns a rejected record as a line of JSON.

    Args:
        root: The source folder; the file is given relative to it.
        path: The file the record is from.
        number: Its line or row there, from 1.
        record: The record, or the text of one that could not be read.
        reason: Why it can't be used.
    """
    values = {
        "file": os.path.relpath(path, root),
        "line": number,
        "reason": reason,
        "record": record,
    }
    try:
        return json.dumps(values, default=str, allow_nan=False)
    except ValueError:
        return json.dumps({**values, "record": _without_nan(record)}, default=str)


def _without_nan(value):
    """JSON has no NaN and no infinity: they become text."""
    if isinstance(value, dict):
        return {str(key): _without_nan(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def are_too_many(rejected: int, read: int, section: ExamplesSection) -> bool:
    """Says whether too many records were rejected for the others to be used.

    Args:
        rejected: How many.
        read: How many records there are.
        section: Has the limits.
    """
    most = max(section.max_rejected_share * read, section.max_rejected)
    return rejected > most or (rejected == read > 0 and section.max_rejected_share < 1)


def too_many(what: str, lines: list[str], read: int, most: float) -> str:
    """Words that too many records were rejected, with the reason most of them share.

    Args:
        what: The records, such as ``events of 2024-01-01``.
        lines: The rejected ones.
        read: How many records there are.
        most: The share that may be rejected.
    """
    alike = by_reason(lines)[0]
    example = alike[0]
    of_another_day = example["reason"].startswith(_OF_ANOTHER_DAY)
    return (
        f"{len(lines)} of {read} {what} were rejected ({len(lines) / read:.1%}), more than "
        f"examples.max_rejected_share={most:g} allows; {len(alike)} of them like "
        f"{example['file']}:{example['line']}: {example['reason']}"
        f"{_CUT_ELSEWHERE if of_another_day else ''}"
    )


def by_reason(lines: Iterable[str]) -> list[list[dict]]:
    """Returns rejected records, as ``rejected_line`` has them, those of a kind of reason together.

    The most frequent kind comes first, and the records of a kind in their order.
    """
    kinds: dict[str, list[dict]] = {}
    for line in lines:
        record = json.loads(line)
        kinds.setdefault(_PARTICULARS.sub("?", record["reason"]), []).append(record)
    return sorted(kinds.values(), key=len, reverse=True)


def count_lines(path: str) -> int:
    """Returns how many records a file of rejected ones holds, 0 if there is none."""
    try:
        with storage.open_input(path) as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0
