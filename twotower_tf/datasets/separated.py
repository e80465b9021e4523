"""CSV and TSV row by row: what a row is, and what is wrong with one that is none.

The first row is the header. Fields may be quoted with ``"`` and then hold delimiters, quotes
(doubled) and line breaks; all values are text. Empty lines, and lines of spaces, are none.
"""

import collections
import csv
import dataclasses
from collections.abc import Iterable, Iterator

from twotower_tf.datasets.lines import Unreadable, not_utf8, read_lines

DELIMITERS = {"csv": ",", "tsv": "\t"}
# A quoted field may hold line breaks; a quote that nobody closed must not swallow the file.
MOST_CONTINUED_BYTES = 1 << 20

_UNCLOSED = "unexpected end of data"

# The csv module refuses fields above 128 KB unless told otherwise, for the whole process.
csv.field_size_limit(1 << 30)


@dataclasses.dataclass(frozen=True)
class Row:
    """What one line, with those that its quotes are open over, is.

    Attributes:
        fields: Its fields; None if the line is empty.
        continued: How many of the lines that follow the first one it takes.
    """

    fields: list[str] | Unreadable | None
    continued: int = 0

    def record(self, line: bytes, header: list[str]) -> dict[str, str] | Unreadable:
        """Returns its fields by the header's names, or why they can't be.

        Args:
            line: Its first line.
            header: The names; of several that are the same the last one counts.
        """
        if isinstance(self.fields, Unreadable):
            return self.fields
        if len(self.fields) == len(header):
            return dict(zip(header, self.fields, strict=True))
        reason = f"{len(self.fields)} fields, but the header has {len(header)}"
        return Unreadable.line(line, reason)


@dataclasses.dataclass(frozen=True)
class Header:
    """The first row of a file.

    Attributes:
        names: Of the columns, or why they can't be read.
        number: Of its line, from 1.
        lines: How many lines there are up to its end.
    """

    names: list[str] | Unreadable
    number: int
    lines: int


def row_at(line: bytes, following: Iterable[bytes | Unreadable], delimiter: str) -> Row:
    """Parses the row that starts with a line.

    A quote that leads nowhere, within ``MOST_CONTINUED_BYTES``, makes only the first line
    unreadable: those that follow are rows of their own.

    Args:
        line: With its line break.
        following: The lines after it, as far as they are asked for.
        delimiter: What stands between fields.
    """
    if b'"' in line:
        return _quoted_row(line, following, delimiter)
    if not line.strip(b" \r\n"):
        return Row(None)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(Unreadable.line(line, not_utf8(error)))
    return Row(text.rstrip("\r\n").split(delimiter))


def _quoted_row(line: bytes, following: Iterable[bytes | Unreadable], delimiter: str) -> Row:
    continued: list[bytes] = []

    def texts() -> Iterator[str]:
        yield line.decode("utf-8", "surrogateescape")
        size = 0
        for more in following:
            if isinstance(more, Unreadable) or size > MOST_CONTINUED_BYTES:
                return
            continued.append(more)
            size += len(more)
            yield more.decode("utf-8", "surrogateescape")

    try:
        fields = next(csv.reader(texts(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        unclosed = str(error) == _UNCLOSED
        reason = "a quote is never closed" if unclosed else f"quoted wrongly: {error}"
        return Row(Unreadable.line(line, reason))
    whole = b"".join([line, *continued])
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(Unreadable.line(whole, not_utf8(error)), len(continued))
    return Row(fields, len(continued))


def is_surely_a_row(line: bytes, delimiter: str) -> bool:
    """Says whether a line must be the start of a row, whatever comes before it.

    It is if no row can go on over it: if a field that is quoted, and still open where the line
    begins, is quoted wrongly in the line.
    """
    text = '"' + line.decode("utf-8", "surrogateescape")
    try:
        next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return str(error) != _UNCLOSED
    return False


def read_separated(path: str, delimiter: str) -> Iterator[tuple[int, dict | Unreadable]]:
    """Reads a file row by row; see ``formats.read_records``."""
    rows = _rows(path, delimiter)
    header = _header(rows)
    if header is None:
        return
    if isinstance(header.names, Unreadable):
        yield header.number, header.names
        return
    for number, line, row in rows:
        if isinstance(line, Unreadable):
            yield number, line
        else:
            yield number, row.record(line, header.names)


def read_header(path: str, delimiter: str) -> Header | None:
    """Returns the header of a file; None of an empty one.

    Raises:
        InputError: If the file can't be opened.
    """
    return _header(_rows(path, delimiter))


def _header(rows: Iterator[tuple[int, bytes | Unreadable, Row]]) -> Header | None:
    for number, line, row in rows:
        names = line if isinstance(line, Unreadable) else row.fields
        if isinstance(names, Unreadable):
            names = Unreadable(names.raw, f"in the header: {names.reason}")
        return Header(names, number, number + row.continued)
    return None


def _rows(path: str, delimiter: str) -> Iterator[tuple[int, bytes | Unreadable, Row]]:
    """Yields the number and the text of the first line of every row, and the row."""
    lines = _PushBack(read_lines(path))
    for number, line in lines:
        if isinstance(line, Unreadable):
            yield number, line, Row(line)
            continue
        taken: list[tuple[int, bytes | Unreadable]] = []
        row = row_at(line, _taking(lines, taken), delimiter)
        lines.take_back(taken[row.continued :])
        if row.fields is not None:
            yield number, line, row


def _taking(lines: Iterator, taken: list) -> Iterator[bytes | Unreadable]:
    """Yields lines without their numbers, and notes what was asked for."""
    for element in lines:
        taken.append(element)
        yield element[1]


class _PushBack:
    """An iterator that takes elements back."""

    def __init__(self, elements: Iterator):
        self._elements = elements
        self._waiting = collections.deque()

    def __iter__(self) -> "_PushBack":
        return self

    def __next__(self):
        return self._waiting.popleft() if self._waiting else next(self._elements)

    def take_back(self, elements: list) -> None:
        """Puts elements in front of those to come."""
        self._waiting.extendleft(reversed(elements))
