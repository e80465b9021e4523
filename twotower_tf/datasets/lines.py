"""Text files in blocks of lines, and what stands in the place of what can't be read."""

import dataclasses
from collections.abc import Iterator

from twotower_tf.datasets.text_files import Damaged, TextForm, form_of, open_plain, pieces

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
        of_file: Whether the file can't be read from here on: nobody knows how many records it
            stands for.
    """

    raw: str
    reason: str
    of_file: bool = False

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
        offset: The byte at which the first one begins; of a compressed file, of what it holds.
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
    """What stands in the place of all that would follow, where a file is damaged.

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
        offset: The byte at which the first one begins; of a compressed file, of what it holds.
        first: How many lines of the split come before the first one.
    """

    lines: list[bytes]
    offset: int
    first: int


def read_lines(path: str, form: TextForm | None = None) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Reads a text file line by line.

    Args:
        path: The file.
        form: What it is, if that is known.

    Yields:
        The line's number, from 1, and the line with a line break; in the end, where the file is
        damaged, one Unreadable.

    Raises:
        InputError: If the file can't be opened.
    """
    for block in read_line_blocks(path, form=form):
        if isinstance(block, Damage):
            yield block.first + 1, block.reason
            return
        for number, line in enumerate(block.lines, block.first + 1):
            yield number, (without_mark(line) if number == 1 else line) + b"\n"


def read_line_blocks(
    path: str, start: int = 0, stop: int | None = None, form: TextForm | None = None
) -> Iterator[LineBlock | Damage]:
    """Reads the lines that start in ``[start, stop)``, some megabytes at a time.

    Args:
        path: A text file.
        start: A byte; 0 if its form is not plain.
        stop: A byte; None: to the end, as it must be if its form is not plain.
        form: What it is, if that is known.

    Raises:
        InputError: If the file can't be opened.
    """
    for block in read_text_blocks(path, start, form):
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


def read_text_blocks(
    path: str, start: int = 0, form: TextForm | None = None
) -> Iterator[TextBlock | Damage]:
    """Reads the lines that start at a byte or after it, some megabytes at a time.

    Args:
        path: A text file.
        start: A byte; 0 if its form is not plain.
        form: What it is, if that is known.

    Raises:
        InputError: If the file can't be opened.
    """
    if form is None:
        form = TextForm() if start else form_of(path)
    offset = _first_line_start(path, start)
    first = 0
    for text in _whole_lines(_blocks(path, form, offset)):
        if isinstance(text, Unreadable):
            yield Damage(text, offset, first)
            return
        yield TextBlock(text, offset, first)
        offset += len(text) + 1
        first += text.count(b"\n") + 1


def without_mark(first_line: bytes) -> bytes:
    """Returns the first line of a file without the byte order mark it may begin with."""
    return first_line.removeprefix(BYTE_ORDER_MARK)


def _first_line_start(path: str, start: int) -> int:
    """Returns where the first line starts that starts at a byte or after it."""
    if start == 0:
        return 0
    with open_plain(path) as file:
        file.seek(start - 1)
        return start - 1 + len(file.readline())


def _whole_lines(blocks: Iterator[bytes | Unreadable]) -> Iterator[bytes | Unreadable]:
    """Yields the lines of each block; the rest of a line belongs to what is damaged after it."""
    rest: list[bytes] = []
    for block in blocks:
        if isinstance(block, Unreadable):
            yield block
            return
        lines, line_break, tail = block.rpartition(b"\n")
        if not line_break:
            rest.append(block)
            continue
        yield b"".join([*rest, lines])
        rest = [tail]
    last = b"".join(rest)
    if last:
        yield last


def _blocks(path: str, form: TextForm, start: int) -> Iterator[bytes | Unreadable]:
    """Yields what a file holds in blocks of a few megabytes, and where it is damaged the reason."""
    waiting: list[bytes] = []
    size = 0
    damage = None
    try:
        for piece in pieces(path, form, _BLOCK_BYTES, start):
            waiting.append(piece)
            size += len(piece)
            if size >= _BLOCK_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    except Damaged as error:
        damage = Unreadable("", str(error), of_file=True)
    if size:
        yield b"".join(waiting)
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
    left = _first_line_start(path, start)
    with open_plain(path) as file:
        count = 0
        while left:
            piece = file.read(min(left, _BLOCK_BYTES))
            if not piece:
                break
            left -= len(piece)
            count += piece.count(b"\n")
        return count
