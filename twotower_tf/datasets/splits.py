"""Parts of source files that can be read apart from each other, on as many workers."""

import dataclasses

from twotower_tf import storage
from twotower_tf.datasets import parquet
from twotower_tf.datasets.dialects import DELIMITERS, dialect_of
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import json_form
from twotower_tf.datasets.row_starts import row_starts
from twotower_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class SourceSplit:
    """A part of a source file, or all of it.

    Attributes:
        file: The file.
        start: Of text the first byte, of Parquet the first row group. A line of JSON belongs to
            the split in which it starts; in CSV and TSV a row starts here.
        stop: The byte or row group that it ends before; None: it goes to the end of the file.
    """

    file: SourceFile
    start: int = 0
    stop: int | None = None


def splits_of(file: SourceFile, split_bytes: int) -> list[SourceSplit]:
    """Divides a file into parts that different workers may read, in their order.

    See ``parts_of``. A file that no day divides is one split: its records without a readable time
    belong to the day of the file's earliest readable one, which only its one reader knows.
    """
    return [SourceSplit(file)] if file.day is None else parts_of(file, split_bytes)


def parts_of(file: SourceFile, split_bytes: int) -> list[SourceSplit]:
    """Divides a file into parts of about the same size, in their order.

    Plain text is divided by bytes and Parquet by row groups. Everything else is one split: what is
    if file.layout.lists:
        return [SourceSplit(file)]

    Args:
        file: The file.
        split_bytes: About how many bytes a split should have; a row group is never divided.

    Raises:
        InputError: If the file can't be opened.
    """
    if file.layout.lists:
        return [SourceSplit(file)]
    if file.format == "parquet":
        return _by_row_groups(file, split_bytes)
    first, *wanted = _even_bytes(file, split_bytes)
    if file.format == "jsonl" and wanted and json_form(file).is_plain:
        return _between(file, [first, *wanted])
    if file.format in DELIMITERS and wanted:
        dialect = dialect_of(file.path, file.format, file.layout)
        if dialect.form.is_plain:
            return _between(file, [first, *row_starts(file.path, dialect, wanted)])
    return [SourceSplit(file)]


def _even_bytes(file: SourceFile, split_bytes: int) -> list[int]:
    try:
        size = storage.size(file.path)
    except OSError as error:
        raise InputError(f"{file.path} can't be read: {error.strerror or error}") from error
    count = max(1, round(size / split_bytes))
    return [size * number // count for number in range(count)]


def _by_row_groups(file: SourceFile, split_bytes: int) -> list[SourceSplit]:
    starts, taken = [0], 0
    for group, size in enumerate(parquet.row_group_bytes(file.path)):
        if taken and taken + size > split_bytes:
            starts.append(group)
            taken = 0
        taken += size
    return _between(file, starts)


def _between(file: SourceFile, starts: list[int]) -> list[SourceSplit]:
    # The last one is open: what was appended meanwhile must not be lost.
    stops = [*starts[1:], None]
    return [SourceSplit(file, *ends) for ends in zip(starts, stops, strict=True)]
