"""Some of the records of a group of files: of the first, the middle and the last ones."""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from twotower_tf import storage
from twotower_tf.datasets import parquet
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import taken_apart
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit, splits_of
from twotower_tf.discovery.file_groups import FileGroup

# Neighbouring days, so that what people do again and again is seen.
_FILES_IN_A_ROW = 5
_SPLIT_BYTES = 4 << 20
_LIST_SEEN_IN = 200
# How much larger text is than its compressed file, where nothing better is known.
_COMPRESSED = 4
# Only files of a day are divided; which day makes no difference here.
_ANY_DAY = datetime.date(2000, 1, 1)


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some records of a group.

    Attributes:
        records: Their columns, those inside of others by their paths (``details.brand``).
        days: Of each record, the day in its file's path.
        rows: About how many records all files have.
        whole: Whether these are all of them.
        unreadable: How many were no records.
    """

    records: list[dict[str, Any]]
    days: list[datetime.date | None]
    rows: int
    whole: bool
    unreadable: int

    @property
    def share(self) -> float:
        """Which share of all records these are."""
        return min(1.0, len(self.records) / max(self.rows, 1))


def read_sample(group: FileGroup, most: int) -> Sample:
    """Reads some records of a group of files, in bounded time.

    Args:
        group: The files.
        most: At most so many.
    """
    chosen = _chosen(group.files)
    records: list[dict] = []
    days: list[datetime.date | None] = []
    unreadable, cut = 0, len(chosen) < len(group.files)
    for file in chosen:
        splits = _splits(file)
        places = sorted({0, len(splits) // 2, len(splits) - 1})
        cut |= len(places) < len(splits)
        each = max(1, most // len(chosen) // len(places))
        for place in places:
            found, lost, more = _read(splits[place], each)
            cut |= more
            unreadable += lost
            records += found
            days += [file.day] * len(found)
    flat = [_flat(record) for record in records]
    total = max(len(flat), _rows(group, chosen, flat)) if cut else len(flat)
    return Sample(flat, days, total, not cut, unreadable)


def taken_apart_by(sample: Sample, column: str) -> Sample:
    """Returns a sample with a record an element of a list of objects (``items[]``)."""
    records: list[dict] = []
    days: list[datetime.date | None] = []
    for record, day in zip(sample.records, sample.days, strict=True):
        for one in taken_apart(record, [column]):
            if isinstance(one, dict):
                records.append(_flat(one))
                days.append(day)
    each = len(records) / max(len(sample.records), 1)
    return Sample(records, days, int(sample.rows * each), sample.whole, sample.unreadable)


def lists_of_objects(sample: Sample) -> list[str]:
    """Returns the columns that hold lists of objects, such as the items of an order."""
    found: dict[str, None] = {}
    for record in sample.records[:_LIST_SEEN_IN]:
        for name, value in record.items():
            if isinstance(value, list) and value and isinstance(value[0], Mapping):
                found[name] = None
    return list(found)


def _chosen(files: tuple[SourceFile, ...]) -> list[SourceFile]:
    if len(files) <= 3 * _FILES_IN_A_ROW:
        return list(files)
    middle = len(files) // 2
    row = _FILES_IN_A_ROW
    return [*files[:row], *files[middle : middle + row], *files[-row:]]


def _splits(file: SourceFile) -> list[SourceSplit]:
    divided = splits_of(dataclasses.replace(file, day=_ANY_DAY), _SPLIT_BYTES)
    return divided or [SourceSplit(file)]


def _read(split: SourceSplit, most: int) -> tuple[list[dict], int, bool]:
    """Returns the first records of a split, how many were none, and whether there are more."""
    records: list[dict] = []
    unreadable = 0
    for one in _records(split):
        if len(records) + unreadable >= most:
            return records, unreadable, True
        if isinstance(one, dict):
            records.append(one)
        else:
            unreadable += 1
    return records, unreadable, False


def _records(split: SourceSplit) -> Iterator[dict | Unreadable]:
    file = split.file
    if file.format == "parquet":
        for _, batch in parquet.read_parquet(file.path, None, split.start, split.stop):
            yield from [batch] if isinstance(batch, Unreadable) else parquet.batch_records(batch)
        return
    for batch in read_batches(split, ()):
        for row in range(len(batch)):
            yield batch.record(row)


def _flat(record: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Returns a record with the columns inside of others beside them, by their paths."""
    if not any(isinstance(value, Mapping) for value in record.values()):
        return {above + name: value for name, value in record.items()} if above else dict(record)
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[above + name] = value
    return flat


def _rows(group: FileGroup, chosen: list[SourceFile], records: list[dict]) -> int:
    """Returns about how many records all files have, by the size of those that were read."""
    if group.layout.format == "parquet":
        read = sum(_parquet_rows(file.path) for file in chosen)
        size = sum(storage.size(file.path) for file in chosen)
        return round(read * group.bytes / max(size, 1))
    each = max(1.0, sum(map(_text_bytes, records[:1000])) / max(len(records[:1000]), 1))
    if group.layout.format == "jsonl":
        each += 5.0 * len(group.layout.columns) + sum(map(len, group.layout.columns))
    compressed = group.files[0].path.endswith((".gz", ".bz2", ".xz", ".zst"))
    return round(group.bytes * (_COMPRESSED if compressed else 1) / each)


def _text_bytes(record: Mapping[str, Any]) -> int:
    return sum(len(str(value)) + 1 for value in record.values())


def _parquet_rows(path: str) -> int:
    return pq.read_metadata(storage.arrow_input(path)).num_rows
