"""CSV and TSV row by row: what a row is, and what is wrong with one that is none.

The first row is the header, unless the dialect has the names. Where the dialect has quotes, fields
may be quoted with ``"`` and then hold delimiters, quotes (doubled) and line breaks; all values are
text. Empty lines, lines of spaces and comments are none.
"""

import collections
import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator

from twotower_tf.datasets.dialects import Dialect
from twotower_tf.datasets.lines import Unreadable, not_utf8, read_lines

# A quoted field may hold line breaks; a quote that nobody closed must not swallow the file.
MOST_CONTINUED_BYTES = 1 << 20

_UNCLOSED = "unexpected end of data"
# In a file of one column every line is a row, whatever it is.
_FEWEST_FIELDS = 2

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


def row_at(
    line: bytes,
    following: Iterable[bytes | Unreadable],
    dialect: Dialect,
    fields: int | None = None,
) -> Row:
    """Parses the row that starts with a line.

    A quote that leads nowhere, within ``MOST_CONTINUED_BYTES``, makes only the first line
    unreadable: those that follow are rows of their own. So does one that is closed, but over lines
    that are rows themselves: nobody meant them to be a part of a field.

    Args:
        line: With its line break.
        following: The lines after it, as far as they are asked for.
        dialect: How the file is written.
        fields: How many a row has, if that is known.
    """
    if dialect.comment is not None and line.startswith(dialect.comment):
        return Row(None)
    if b'"' in line:
        if dialect.quoted:
            return _quoted_row(line, following, dialect, fields)
        if dialect.is_quoted_after_all(line):
            reason = "a quoted field, after a megabyte without any: set quote to double or none"
            return Row(Unreadable.line(line, reason))
    if not line.strip(b" \r\n"):
        return Row(None)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(Unreadable.line(line, not_utf8(error)))
    return Row(text.rstrip("\r\n").split(dialect.delimiter))


def _quoted_row(
    line: bytes, following: Iterable[bytes | Unreadable], dialect: Dialect, fields: int | None
) -> Row:
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
        found = next(csv.reader(texts(), delimiter=dialect.delimiter, strict=True))
    except csv.Error as error:
        unclosed = str(error) == _UNCLOSED
        reason = "a quote is never closed" if unclosed else f"quoted wrongly: {error}"
        return Row(Unreadable.line(line, reason))
    if continued and _are_rows([line, *continued], dialect.delimiter, fields):
        reason = (
            f"a quote opens here and is closed {len(continued)} lines below, over lines that are "
            "rows of their own"
        )
        return Row(Unreadable.line(line, reason))
    whole = b"".join([line, *continued])
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(Unreadable.line(whole, not_utf8(error)), len(continued))
    return Row(found, len(continued))


def _are_rows(lines: list[bytes], delimiter: str, fields: int | None) -> bool:
    """Says whether lines that a quoted field goes over have as many fields each as a row has.

    The first and the last must, and most of those between: one may be broken.
    """
    if fields is None or fields < _FEWEST_FIELDS:
        return False
    # Of a field that is quoted, the start and the end of a line need not be the field's.
    between = re.escape(delimiter)
    own = re.compile(rf'(?:^|(?<={between}))"(?:[^"]|"")*"(?={between}|$)')

    def is_row(line: bytes) -> bool:
        text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
        return own.sub("", text).count(delimiter) == fields - 1

    inner = [line for line in lines[1:-1] if line.strip()]
    ends_are = is_row(lines[0]) and is_row(lines[-1])
    return ends_are and 2 * sum(map(is_row, inner)) >= len(inner)


def is_surely_a_row(line: bytes, dialect: Dialect) -> bool:
    """Says whether a line must be the start of a row, whatever comes before it.

    It is if no row can go on over it: if a field that is quoted, and still open where the line
    begins, is quoted wrongly in the line.
    """
    text = '"' + line.decode("utf-8", "surrogateescape")
    try:
        next(csv.reader([text], delimiter=dialect.delimiter, strict=True))
    except csv.Error as error:
        return str(error) != _UNCLOSED
    return False


def read_separated(path: str, dialect: Dialect) -> Iterator[tuple[int, dict | Unreadable]]:
    """Reads a file row by row; see ``formats.read_records``."""
    rows = _Rows(path, dialect)
    header = _header(rows, dialect)
    if header is None:
        return
    if isinstance(header.names, Unreadable):
        yield header.number, header.names
        return
    rows.fields = len(header.names)
    for number, line, row in rows:
        if isinstance(line, Unreadable):
            yield number, line
        else:
            yield number, row.record(line, header.names)


def read_header(path: str, dialect: Dialect) -> Header | None:
    """Returns the header of a file; None of an empty one.

    Raises:
        InputError: If the file can't be opened.
    """
    return _header(_Rows(path, dialect), dialect)


def _header(rows: "_Rows", dialect: Dialect) -> Header | None:
    if dialect.header is not None:
        return Header(list(dialect.header), 0, 0)
    for number, _, row in rows:
        names = row.fields
        if isinstance(names, Unreadable) and not names.of_file:
            names = Unreadable(names.raw, f"in the header: {names.reason}", of_file=True)
        return Header(names, number, number + row.continued)
    return None


class _Rows:
    """Yields the number and the text of the first line of every row, and the row.

    Attributes:
        fields: How many fields a row has, once that is known.
    """

    def __init__(self, path: str, dialect: Dialect):
        self._lines = _PushBack(read_lines(path, dialect.form))
        self._dialect = dialect
        self.fields: int | None = None

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> tuple[int, bytes | Unreadable, Row]:
        for number, line in self._lines:
            if isinstance(line, Unreadable):
                return number, line, Row(line)
            taken: list[tuple[int, bytes | Unreadable]] = []
            row = row_at(line, _taking(self._lines, taken), self._dialect, self.fields)
            self._lines.take_back(taken[row.continued :])
            if row.fields is not None:
                return number, line, row
        raise StopIteration


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
