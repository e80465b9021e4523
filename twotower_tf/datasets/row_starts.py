"""Where a file of CSV or TSV can be entered half-way.

A quoted field may hold line breaks, so a line need not be the start of a row; and what quotes mean
depends on all those before. But a row goes on over at most ``MOST_CONTINUED_BYTES``, and whoever
quotes only whole fields can't be misunderstood for long. So it takes a look at a few lines.
"""

import itertools
from collections.abc import Iterator, Sequence

from twotower_tf.datasets import separated
from twotower_tf.datasets.dialects import Dialect
from twotower_tf.datasets.lines import read_line_blocks, read_lines

# Of what a row may take. Where quotes are of no help in so much text, it goes undivided.
_MOST_LOOKED_AT = 4
_BYTE_ORDER_MARK_BYTES = 3


def row_starts(path: str, dialect: Dialect, wanted: Sequence[int]) -> list[int]:
    """Returns bytes behind the header at which surely a row starts.

    Such is a line that no row from before can go on over, be it since it quotes as only the start
    of a row can, or since there are no quotes in the ``MOST_CONTINUED_BYTES`` before it.

    Args:
        path: A file whose form is plain.
        dialect: How it is written.
        wanted: Bytes, ascending.

    Returns:
        The next one that is found for each that is wanted, ascending; where there is none soon,
        none.

    Raises:
        InputError: If the file can't be opened.
    """
    header = separated.read_header(path, dialect) if wanted else None
    if header is None:
        return []
    of_header = itertools.islice(read_lines(path), header.lines)
    behind = _BYTE_ORDER_MARK_BYTES + sum(len(line) for _, line in of_header)
    found = (_next_row_start(path, dialect, max(behind, byte)) for byte in wanted)
    return sorted({start for start in found if start is not None})


def _next_row_start(path: str, dialect: Dialect, wanted: int) -> int | None:
    without_quotes = None
    for at, line in _lines(path, wanted):
        if without_quotes is None:
            without_quotes = at
        if at - without_quotes > separated.MOST_CONTINUED_BYTES:
            return at
        if at - wanted > _MOST_LOOKED_AT * separated.MOST_CONTINUED_BYTES:
            return None
        if not dialect.quoted:
            return at
        if b'"' in line:
            if separated.is_surely_a_row(line, dialect):
                return at
            without_quotes = at + len(line)
    return None


def _lines(path: str, start: int) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that start at a byte or after it, and where each does."""
    for block in read_line_blocks(path, start):
        at = block.offset
        for line in block.lines:
            yield at, line + b"\n"
            at += len(line) + 1
