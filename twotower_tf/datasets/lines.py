"""Text files in blocks of lines, and what stands in the place of what can't be read."""

import contextlib
import dataclasses
import gzip
import io
import zlib
from collections.abc import Iterator

from twotower_tf import storage
from twotower_tf.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RAW_CHARACTERS = 1000
_BLOCK_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """What stands in the place of a record that can't be read.

    Attributes:
        raw: The start of the line, undecodable bytes escaped with backslashes; ``""`` where there
            is no line to show.
        reason: One line: what is wrong.
    """

    raw: str
    reason: str

    @classmethod
    def line(cls, raw: bytes, reason: str) -> "Unreadable":
        """Returns the unreadable for a line's bytes."""
        start = raw[:_RAW_CHARACTERS].rstrip(b"\r\n").decode("utf-8", "backslashreplace")
        return cls(start[:_RAW_CHARACTERS], reason)


def not_utf8(error: UnicodeDecodeError) -> str:
    """Returns a reason that names the byte that is wrong."""
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start + 1}"


@dataclasses.dataclass(frozen=True)
class TextBlock:
    """Some lines that follow one another, as they stand in the file.

    Attributes:
        text: The lines, the last one without its ``\\n``; at least one, which may be empty.
        offset: The byte at which the first one begins; of a gzipped file, of what it holds.
        first: How many lines of the split come before the first one.
    """

    text: bytes
    offset: int
    first: int

    def after(self, start: int, lines: int) -> "TextBlock":
        """Returns what is left of it from a line on.

        Args:
            start: The byte of the text at which that line begins.
            lines: How many lines come before it.
        """
        return TextBlock(self.text[start:], self.offset + start, self.first + lines)


@dataclasses.dataclass(frozen=True)
class Damage:
    """What stands in the place of all that would follow, where a gzip is damaged.

    Attributes:
        reason: What is wrong.
        offset: As in ``TextBlock``, of what can't be read.
        first: As in ``TextBlock``.
    """

    reason: Unreadable
    offset: int
    first: int


@dataclasses.dataclass(frozen=True)
class LineBlock:
    """Some lines that follow one another.

    Attributes:
        lines: The lines without their ``\\n``.
        offset: The byte at which the first one begins; of a gzipped file, of what it holds.
        first: How many lines of the split come before the first one.
    """

    lines: list[bytes]
    offset: int
    first: int


def is_gzip(path: str) -> bool:
    """Says whether a file is read as gzipped: if its name ends in ``.gz``."""
    return path.lower().endswith(".gz")


def read_lines(path: str) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Reads a text file, gzipped if its name ends in ``.gz``, line by line.

    Yields:
        The line's number, from 1, and the line with a line break; in the end, where the gzip is
        damaged, one Unreadable.

    Raises:
        InputError: If the file can't be opened.
    """
    for block in read_line_blocks(path):
        if isinstance(block, Damage):
            yield block.first + 1, block.reason
            return
        for number, line in enumerate(block.lines, block.first + 1):
            yield number, (without_mark(line) if number == 1 else line) + b"\n"


def read_line_blocks(
    path: str, start: int = 0, stop: int | None = None
) -> Iterator[LineBlock | Damage]:
    """Reads the lines that start in ``[start, stop)``, some megabytes at a time.

    Args:
        path: A text file, gzipped if its name ends in ``.gz``; then all of it is read.
        start: A byte.
        stop: A byte; None: to the end.

    Raises:
        InputError: If the file can't be opened.
    """
    for block in read_text_blocks(path, start):
        if stop is not None and block.offset >= stop:
            return
        if isinstance(block, Damage):
            yield block
            return
        lines = block.text.split(b"\n")
        is_last = stop is not None and block.offset + len(block.text) >= stop
        if is_last:
            lines = _starting_before(lines, stop - block.offset)
        yield LineBlock(lines, block.offset, block.first)
        if is_last:
            return


def read_text_blocks(path: str, start: int = 0) -> Iterator[TextBlock | Damage]:
    """Reads the lines that start at a byte or after it, some megabytes at a time.

    Args:
        path: A text file, gzipped if its name ends in ``.gz``.
        start: A byte; 0 if it is gzipped.

    Raises:
        InputError: If the file can't be opened.
    """
    with _open(path) as file:
        offset = _first_line_start(file, start)
        first = 0
        for text in _whole_lines(file):
            if isinstance(text, Unreadable):
                yield Damage(text, offset, first)
                return
            yield TextBlock(text, offset, first)
            offset += len(text) + 1
            first += text.count(b"\n") + 1


def without_mark(first_line: bytes) -> bytes:
    """Returns the first line of a file without the byte order mark it may begin with."""
    return first_line.removeprefix(BYTE_ORDER_MARK)


@contextlib.contextmanager
def _open(path: str) -> Iterator[io.BufferedIOBase]:
    try:
        file = storage.open_input(path)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error
    with file:
        yield gzip.GzipFile(fileobj=file, mode="rb") if is_gzip(path) else file


def _first_line_start(file: io.BufferedIOBase, start: int) -> int:
    """Goes to the first line that starts at a byte or after it; returns where that is."""
    if start == 0:
        return 0
    file.seek(start - 1)
    return start - 1 + len(file.readline())


def _whole_lines(file: io.BufferedIOBase) -> Iterator[bytes | Unreadable]:
    """Yields the lines of each piece; the rest of a line belongs to what is damaged after it."""
    rest: list[bytes] = []
    for piece in _pieces(file):
        if isinstance(piece, Unreadable):
            yield piece
            return
        lines, line_break, tail = piece.rpartition(b"\n")
        if not line_break:
            rest.append(piece)
            continue
        yield b"".join([*rest, lines])
        rest = [tail]
    last = b"".join(rest)
    if last:
        yield last


def _pieces(file: io.BufferedIOBase) -> Iterator[bytes | Unreadable]:
    """Yields what a file holds in pieces of a few megabytes, and where it is damaged the reason."""
    waiting: list[bytes] = []
    size = 0
    damage = None
    more = True
    while more:
        try:
            piece = file.read1(_BLOCK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            damage = Unreadable("", f"the gzip file is damaged from here on: {error}")
            piece = b""
        waiting.append(piece)
        size += len(piece)
        more = bool(piece)
        if size and (size >= _BLOCK_BYTES or not more):
            yield b"".join(waiting)
            waiting, size = [], 0
    if damage is not None:
        yield damage


def _starting_before(lines: list[bytes], size: int) -> list[bytes]:
    """Returns the first lines, those that start among the first ``size`` bytes."""
    begins = 0
    for count, line in enumerate(lines):
        if begins >= size:
            return lines[:count]
        begins += len(line) + 1
    return lines


def lines_before(path: str, start: int) -> int:
    """Returns how many lines of a plain text file start before the first line of a split.

    Args:
        path: The file.
        start: The split's first byte.
    """
    if start == 0:
        return 0
    with _open(path) as file:
        left = _first_line_start(file, start)
        file.seek(0)
        count = 0
        while left:
            piece = file.read(min(left, _BLOCK_BYTES))
            if not piece:
                break
            left -= len(piece)
            count += piece.count(b"\n")
        return count
