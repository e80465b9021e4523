"""Which records are looked at: all of a few, of many some from all over their files."""

import dataclasses
import datetime
import math
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from twotower_tf import storage
from twotower_tf.datasets.dialects import DELIMITERS
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import json_form
from twotower_tf.datasets.parquet import row_count
from twotower_tf.datasets.record_batches import RecordBatch
from twotower_tf.datasets.splits import SourceSplit, parts_of
from twotower_tf.datasets.text_files import expansion, form_of
from twotower_tf.errors import InputError

# A place costs a block of text, some megabytes.
_PLACES = 8
_PART_BYTES = 4 << 20
# So much is little: all files are opened, however many they are.
_FEW_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True)
class FileSample:
    """What was read of a file.

    Attributes:
        file: The file.
        number: Its place among all files.
        batches: The records, in their order.
        is_whole: Whether these are all.
        parts: Where in ``batches`` what does not follow on what is before it begins.
    """

    file: SourceFile
    number: int
    batches: list[RecordBatch]
    is_whole: bool
    parts: list[int]

    @property
    def records(self) -> int:
        """How many records were read."""
        return sum(map(len, self.batches))

    def expected(self) -> float:
        """Returns about how many records the file has."""
        if self.is_whole or not self.records:
            return self.records
        if self.file.format == "parquet":
            return max(self.records, row_count(self.file.path))
        if self.file.format == "jsonl":
            form = json_form(self.file)
        elif self.file.format in DELIMITERS:
            form = form_of(self.file.path, self.file.layout.encoding)
        else:
            return self.records
        size = storage.size(self.file.path) * expansion(self.file.path, form)
        return max(self.records, size / self._bytes_a_record())

    def _bytes_a_record(self) -> float:
        """Returns how far apart in the file records begin, in the mean."""
        taken = distances = 0
        for start, stop in zip(self.parts, [*self.parts[1:], len(self.batches)], strict=True):
            places = np.concatenate([one.positions for one in self.batches[start:stop]])
            taken += int(places[-1] - places[0])
            distances += len(places) - 1
        return max(1.0, taken / max(1, distances))


@dataclasses.dataclass(frozen=True)
class Sample:
    """What was read of some files.

    Attributes:
        files: All of them.
        read: Those that something was read of, in their order.
        problems: Why files can't be read, where that is an error, a line each.
    """

    files: list[SourceFile]
    read: list[FileSample]
    problems: list[str]

    @property
    def records(self) -> int:
        """How many records were read."""
        return sum(one.records for one in self.read)

    @property
    def is_whole(self) -> bool:
        """Whether these are all records."""
        return len(self.read) == len(self.files) and all(one.is_whole for one in self.read)

    def expected(self) -> int:
        """Returns about how many records all files have: by their bytes, where not all were read;
        exactly, where they were."""
        if self.is_whole:
            return self.records
        read = sum(storage.size(one.file.path) for one in self.read)
        found = sum(one.expected() for one in self.read)
        return round(found * bytes_of(self.files) / max(1, read))


def bytes_of(files: Sequence[SourceFile]) -> int:
    """Returns how many bytes files have together."""
    return sum(storage.size(file.path) for file in files)


def take_sample(
    read: Callable[[SourceSplit], Iterator[RecordBatch]],
    files: Sequence[SourceFile],
    most: int,
    days: Collection[datetime.date] | None = None,
) -> Sample:
    """Reads about ``most`` records of files, or all if there are no more.

    Of many the first ones of parts from all over the files, as the build divides these to read
    them apart from each other; of what can't be entered half-way the first ones.

    Args:
        read: Reads a part of a file.
        files: The files.
        most: How many records; it may be some blocks of text more.
        days: Of files that belong to a day, those to read; None: all.
    """
    places = _places(files, days)
    sizes = [_bytes(place, places) for place in places]
    taken: dict[int, tuple[list[RecordBatch], bool]] = {}
    problems: list[str] = []
    left = most
    # What small parts leave is for the large ones.
    for rank, number in enumerate(np.argsort(sizes, kind="stable").tolist()):
        share = math.ceil(max(0, left) / (len(places) - rank))
        batches: list[RecordBatch] = []
        try:
            is_whole = _fill(batches, read(places[number][1]), share)
        except InputError as error:
            problems.append(str(error))
            is_whole = True
        taken[number] = batches, is_whole
        left -= sum(map(len, batches))
    return Sample(list(files), _by_file(files, places, taken), problems)


def _places(
    files: Sequence[SourceFile], days: Collection[datetime.date] | None
) -> list[tuple[int, SourceSplit]]:
    """Returns the parts to read, each with its file's number."""
    numbers = [
        number
        for number, file in enumerate(files)
        if days is None or file.day is None or file.day in days
    ]
    if len(numbers) > _PLACES and bytes_of([files[number] for number in numbers]) > _FEW_BYTES:
        some = np.linspace(0, len(numbers) - 1, _PLACES).round().astype(int)
        numbers = [numbers[place] for place in some.tolist()]
    part = max(_PART_BYTES, bytes_of([files[number] for number in numbers]) // _PLACES)
    return [(number, split) for number in numbers for split in parts_of(files[number], part)]


def _bytes(place: tuple[int, SourceSplit], places: list[tuple[int, SourceSplit]]) -> float:
    """Returns about how many bytes a place has."""
    number, split = place
    return storage.size(split.file.path) / sum(other == number for other, _ in places)


def _fill(batches: list[RecordBatch], read: Iterator[RecordBatch], most: int) -> bool:
    """Takes batches until there are so many records; says whether these are all."""
    records = 0
    for batch in read:
        if batches and records >= most:
            return False
        batches.append(batch)
        records += len(batch)
    return True


def _by_file(
    files: Sequence[SourceFile],
    places: list[tuple[int, SourceSplit]],
    taken: dict[int, tuple[list[RecordBatch], bool]],
) -> list[FileSample]:
    """Puts the places of each file together."""
    found = []
    for number, file in enumerate(files):
        of_file = [place for place, (owner, _) in enumerate(places) if owner == number]
        batches: list[RecordBatch] = []
        parts = []
        for place in of_file:
            if taken[place][0]:
                parts.append(len(batches))
                batches += taken[place][0]
        if of_file:
            is_whole = all(taken[place][1] for place in of_file)
            found.append(FileSample(file, number, batches, is_whole, parts))
    return found
