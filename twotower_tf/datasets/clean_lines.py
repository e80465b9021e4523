"""Which lines of separated values Arrow reads as ``separated`` does: found by counting bytes."""

import numpy as np

from twotower_tf.datasets import separated
from twotower_tf.datasets.dialects import Dialect
from twotower_tf.datasets.lines import BYTE_ORDER_MARK

# In place of a delimiter of several bytes, of which Arrow knows nothing.
SEPARATOR = b"\x1f"
_LINE_FEED, _CARRIAGE_RETURN, _SPACE, _QUOTE = b'\n\r "'


class Lines:
    """Counts the bytes of lines.

    Args:
        text: The lines.
        starts: As ``line_starts`` gives them.
        dialect: How the file is written.
    """

    def __init__(self, text: bytes, starts: np.ndarray, dialect: Dialect):
        self._text = text
        self._dialect = dialect
        self._bytes = np.frombuffer(text, np.uint8)
        self._starts = starts
        self._ends = line_ends(text, starts)

    def classified(self, fields: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns which lines are empty and which ones are clean, bool [lines]; some are neither.

        Args:
            fields: How many a clean line has.
        """
        lengths = self._ends - self._starts
        empty = lengths == 0
        # Gigabytes are more than Arrow's parser holds.
        odd = lengths > separated.MOST_CONTINUED_BYTES
        if b"\r" in self._text:
            returns = np.flatnonzero(self._bytes == _CARRIAGE_RETURN)
            at_end = self._at(returns + 1) == _LINE_FEED
            empty[self._of(returns[at_end & (self._at(returns - 1) == _LINE_FEED)])] = True
            odd[self._of(returns[~at_end])] = True
        if fields == 1:
            # It may be empty.
            odd |= self._at(self._starts) == _SPACE
        if b"\0" in self._text or BYTE_ORDER_MARK in self._text:
            odd[self._of(np.flatnonzero(self._bytes == 0))] = True
            odd |= self._at(self._starts) == BYTE_ORDER_MARK[0]
        if not self._text.isascii():
            odd |= self._not_utf8()
        if self._dialect.comment is not None:
            odd |= self._at(self._starts) == self._dialect.comment[0]
        delimiter = self._dialect.delimiter.encode()
        delimiters = np.flatnonzero(self._bytes == delimiter[0])
        if len(delimiter) > 1:
            delimiters = self._whole(delimiters, delimiter, odd)
        if b'"' in self._text:
            quotes = np.flatnonzero(self._bytes == _QUOTE)
            if self._dialect.quoted:
                odd |= self._wrongly_quoted(quotes, delimiter[0])
                delimiters = delimiters[self._count(quotes, delimiters) % 2 == 0]
            elif self._dialect.looked_for_quotes:
                odd[self._of(quotes)] = True
        bounds = np.append(np.searchsorted(delimiters, self._starts), len(delimiters))
        odd |= np.diff(bounds) != fields - 1
        return empty, ~(odd | empty)

    def _whole(self, begins: np.ndarray, delimiter: bytes, odd: np.ndarray) -> np.ndarray:
        """Returns where a delimiter of several bytes is; what Arrow would get wrong becomes odd.

        Args:
            begins: Where its first byte is.
            delimiter: All of it.
            odd: bool [lines], changed in place.
        """
        for place, byte in enumerate(delimiter[1:], 1):
            begins = begins[self._at(begins + place) == byte]
        odd[self._of(begins[1:][np.diff(begins) < len(delimiter)])] = True
        odd[self._of(np.flatnonzero(self._bytes == SEPARATOR[0]))] = True
        return begins

    def _wrongly_quoted(self, quotes: np.ndarray, delimiter: int) -> np.ndarray:
        """Says in which lines not every quote is the first or last of a field, or a doubled one."""
        of_line = self._of(quotes)
        opens = self._count(quotes, quotes) % 2 == 0
        before, after = self._at(quotes - 1), self._at(quotes + 1)
        begins = (before == delimiter) | (before == _LINE_FEED) | (before == _QUOTE)
        # A carriage return that is not the last of its line makes the line odd anyway.
        ends = (after == delimiter) | (after == _LINE_FEED) | (after == _QUOTE)
        ends |= after == _CARRIAGE_RETURN
        wrong = np.zeros(len(self._starts), bool)
        wrong[of_line[~np.where(opens, begins, ends)]] = True
        wrong |= np.bincount(of_line, minlength=len(wrong)) % 2 == 1
        return wrong

    def _count(self, quotes: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Returns how many quotes of its line are before each place."""
        before_line = np.searchsorted(quotes, self._starts)
        return np.searchsorted(quotes, places) - before_line[self._of(places)]

    def _not_utf8(self) -> np.ndarray:
        """Says which lines are not UTF-8."""
        wrong = np.zeros(len(self._starts), bool)
        if _is_utf8(self._text):
            return wrong
        for line in np.unique(self._of(np.flatnonzero(self._bytes >= 0x80))).tolist():
            wrong[line] = not _is_utf8(self._text[self._starts[line] : self._ends[line]])
        return wrong

    def _of(self, places: np.ndarray) -> np.ndarray:
        """Returns the lines of some bytes."""
        return np.searchsorted(self._starts, places, "right") - 1

    def _at(self, places: np.ndarray) -> np.ndarray:
        """Returns bytes, a line feed before and after the text."""
        inside = (places >= 0) & (places < len(self._bytes))
        found = np.full(len(places), _LINE_FEED, np.uint8)
        found[inside] = self._bytes[places[inside]]
        return found


def line_starts(text: bytes) -> np.ndarray:
    """Returns where each line starts, int64 [lines]."""
    breaks = np.flatnonzero(np.frombuffer(text, np.uint8) == _LINE_FEED)
    return np.append(0, breaks + 1)


def line_ends(text: bytes, starts: np.ndarray) -> np.ndarray:
    """Returns where each line ends, before its line feed, int64 [lines]."""
    return np.append(starts[1:] - 1, len(text))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
