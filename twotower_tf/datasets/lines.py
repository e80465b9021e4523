"""Text files line by line, and what stands in the place of what can't be read."""

import dataclasses
import gzip
import zlib
from collections.abc import Iterator

from twotower_tf.errors import InputError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RAW_CHARACTERS = 1000


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


def read_lines(path: str) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Reads a text file, gzipped if its name ends in ``.gz``, line by line.

    Yields:
        The line's number, from 1, and the line with its line break; in the end, where the gzip is
        damaged, one Unreadable.

    Raises:
        InputError: If the file can't be opened.
    """
    opener = gzip.open if path.lower().endswith(".gz") else open
    try:
        file = opener(path, "rb")
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    number = 0
    with file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield number + 1, Unreadable("", f"the gzip file is damaged from here on: {error}")
