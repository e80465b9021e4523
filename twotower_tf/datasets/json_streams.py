"""JSON that is not an object a line: an array of objects, or objects one after another."""

import codecs
import json
import re
from collections.abc import Iterator

_BETWEEN = re.compile(r"[\s,]*")
_BREAKS = re.compile(r"[\r\n]+")
# A single value that is longer than this is none: something is wrong in it.
_LONGEST = 64 << 20
_decode = json.JSONDecoder().raw_decode


def is_stream(head: bytes) -> bool:
    """Says of the first bytes of a file of JSON whether it is an array, or has objects in a row."""
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if text.startswith("["):
        return text[1:].lstrip()[:1] in ("{", "]", "")
    if not text.startswith("{"):
        return False
    try:
        _, end = _decode(text)
    except (ValueError, RecursionError):
        return False
    # An object of several lines, or one more in the same line.
    return "\n" in text[:end] or text[end:].lstrip(" \t,").startswith("{")


def as_lines(pieces: Iterator[bytes], damaged: type[Exception]) -> Iterator[bytes]:
    """Yields each value of a stream as a line: the same text but for its line breaks.

    Args:
        pieces: What a file holds.
        damaged: What to raise where it can't be told any more where a value ends.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest, opened, number = "", False, 0
    for piece in _and_the_end(pieces):
        try:
            rest += decoder.decode(piece or b"", final=piece is None)
        except UnicodeDecodeError as error:
            raise damaged(f"not UTF-8 from here on, after value {number}: {error}") from error
        if not opened and rest:
            rest = rest.lstrip("\ufeff \t\r\n").removeprefix("[")
            opened = True
        values, rest = _whole_values(rest, piece is None)
        number += len(values)
        if values:
            yield "".join(f"{value}\n" for value in values).encode("utf-8", "surrogatepass")
        if (piece is None or len(rest) > _LONGEST) and rest.strip(" \t\r\n,]"):
            raise damaged(f"not JSON from here on, after value {number}: {rest[:40]!r}")


def _and_the_end(pieces: Iterator[bytes]) -> Iterator[bytes | None]:
    yield from pieces
    yield None


def _whole_values(text: str, at_end: bool) -> tuple[list[str], str]:
    """Returns the values that are whole, each in a line, and what is left."""
    values, start = [], 0
    while True:
        start = _BETWEEN.match(text, start).end()
        try:
            _, end = _decode(text, start)
        except (ValueError, RecursionError):
            return values, text[start:]
        if end == len(text) and not at_end and text[end - 1] not in "]}":
            return values, text[start:]  # A number may go on.
        values.append(_BREAKS.sub(" ", text[start:end]))
        start = end
