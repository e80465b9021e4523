"""What the workers of a build report to the driver: counts, files written, problems."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from twotower_tf import storage
from twotower_tf.datasets.files import SourceFile

# A report: its kind, and values that JSON can hold.
Report = tuple[Any, ...]


def count(day: int, name: str, number: int) -> Report:
    """Reports a part of a day's count."""
    return ("count", day, name, int(number))


def names(day: int, log: str, found: Iterable[str]) -> Report:
    """Reports the names of columns of some records of a day."""
    return ("names", day, log, sorted(found))


def unmatched(day: int, what: str, example: str) -> Report:
    """Reports an id that did not find what it names, of ``matches``."""
    return ("unmatched", day, what, example)


def count_days(name: str, days: np.ndarray, fewer: np.ndarray) -> Iterator[Report]:
    """Counts by how much each day is more often among ``days`` than among ``fewer``."""
    distinct, counts = np.unique(days, return_counts=True)
    counts -= np.bincount(np.searchsorted(distinct, fewer), minlength=len(distinct))
    for day, number in zip(distinct.tolist(), counts.tolist(), strict=True):
        yield count(day, name, number)


def written(path: str, records: int, checksum: str) -> Report:
    """Reports a whole file of the scratch folder, by its path there."""
    return ("written", path, records, checksum)


def problem(text: str) -> Report:
    """Reports why the build can't go on, in a line."""
    return ("problem", text)


def merged(reports: Iterable[Report]) -> list[Report]:
    """Returns reports with the counts of a day and name as one, of others the first of a kind."""
    counts: Counter[tuple[int, str]] = Counter()
    others: dict[tuple, Report] = {}
    for report in reports:
        if report[0] == "count":
            counts[report[1:3]] += report[3]
        else:
            others.setdefault(report[:3], report)
    return [*(count(day, name, number) for (day, name), number in counts.items()), *others.values()]


def manifest_entry(path: str, records: int, checksum: str) -> dict:
    """Returns what a manifest says of a file."""
    return {"file": os.path.basename(path), "records": records, "sha256": checksum}


def input_entry(file: SourceFile, root: str) -> dict:
    """Returns what a manifest says of a source file: its path below the source, its size."""
    return {"file": os.path.relpath(file.path, root), "bytes": storage.size(file.path)}


class Outcome:
    """All reports of a build together.

    Attributes:
        counts: By day and name.
        names: By day and log, columns that some records have, where one is missing.
        unmatched: By day and what, an id that did not find what it names.
        written: What manifests say of the files in the scratch folder, by their path there.
        problems: Why the build can't go on, one line each.
    """

    def __init__(self, reports: Sequence[Report]):
        self.counts: Counter[tuple[int, str]] = Counter()
        self.names: dict[tuple[int, str], set[str]] = {}
        self.unmatched: dict[tuple[int, str], str] = {}
        self.written: dict[str, dict] = {}
        self.problems: list[str] = []
        for kind, *values in sorted(reports):
            if kind == "count":
                day, name, number = values
                self.counts[day, name] += number
            elif kind == "names":
                day, log, found = values
                self.names.setdefault((day, log), set()).update(found)
            elif kind == "unmatched":
                day, what, example = values
                self.unmatched.setdefault((day, what), example)
            elif kind == "problem":
                self.problems += values
            else:
                path, records, checksum = values
                self.written[path] = manifest_entry(path, records, checksum)

    def records(self, path: str) -> int:
        """Returns how many records a file of the scratch folder holds, 0 if there is none."""
        return self.written[path]["records"] if path in self.written else 0
