"""CSV and TSV a block at a time: Arrow parses the lines that are clean, ``separated`` the others.

A line is clean if Arrow's parser and ``separated.row_at`` can't but agree on it: it is valid UTF-8,
has as many fields as the header, quotes only whole fields and closes all of its quotes. What is
clean is found by counting bytes (``clean_lines``). So ``separated`` alone defines what a file
holds; this is fast.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from twotower_tf.datasets import separated
from twotower_tf.datasets.clean_lines import SEPARATOR, Lines, line_ends, line_starts
from twotower_tf.datasets.dialects import Dialect
from twotower_tf.datasets.lines import (
    BYTE_ORDER_MARK,
    Damage,
    TextBlock,
    Unreadable,
    read_text_blocks,
)


@dataclasses.dataclass(frozen=True)
class SeparatedBlock:
    """The rows of some lines.

    Attributes:
        text: The lines.
        starts: Where each line starts in the text, int64 [lines].
        lines: The line in which each row starts, int64 [n].
        clean: bool [n], the rows that are in ``columns``; the others are in ``singly``.
        places: The place of each row there, int64 [n].
        columns: Those that were asked for and are there, text.
        singly: The records of the rows that were parsed one by one.
        header: The names of all columns.
        dialect: How the file is written.
    """

    text: TextBlock
    starts: np.ndarray
    lines: np.ndarray
    clean: np.ndarray
    places: np.ndarray
    columns: dict[str, pa.Array]
    singly: list[dict[str, str] | Unreadable]
    header: list[str]
    dialect: Dialect

    def record(self, row: int) -> dict[str, str] | Unreadable:
        """Returns the record of a row with all its columns, or why its line can't be read."""
        if not self.clean[row]:
            return self.singly[self.places[row]]
        line = _line(self.text.text, int(self.starts[self.lines[row]]))
        row = separated.row_at(line, (), self.dialect, len(self.header))
        return row.record(line, self.header)


def read_separated_blocks(
    path: str, dialect: Dialect, start: int, stop: int | None, columns: Sequence[str]
) -> Iterator[SeparatedBlock | Damage]:
    """Reads the rows that start in ``[start, stop)``, some megabytes at a time.

    Args:
        path: A file.
        dialect: How it is written.
        start: 0, or a byte behind the header at which a row starts.
        stop: A byte at which a row starts; None: to the end.
        columns: Those that are needed.

    Yields:
        What there is; in the end, where the header can't be read or the file is damaged, why.

    Raises:
        InputError: If the file can't be opened.
    """
    header = separated.read_header(path, dialect)
    if header is None:
        return
    if isinstance(header.names, Unreadable):
        if start == 0:
            yield Damage(header.names, 0, header.number - 1)
        return
    blocks = _Blocks(read_text_blocks(path, start, dialect.form))
    if start == 0:
        blocks.skip(header.lines)
        blocks.skip_mark()
    parser = _Parser(header.names, dialect, columns)
    while (block := blocks.take()) is not None:
        if isinstance(block, Damage):
            yield block
            return
        if stop is not None and block.offset >= stop:
            return
        yield parser.parse(block, stop, blocks)
        if stop is not None and block.offset + len(block.text) >= stop:
            return


class _Blocks:
    """Blocks of lines, and a look at the lines to come."""

    def __init__(self, blocks: Iterator[TextBlock | Damage]):
        self._blocks = blocks
        self._ahead: collections.deque[TextBlock | Damage] = collections.deque()

    def take(self) -> TextBlock | Damage | None:
        """Returns the next block; None at the end."""
        return self._ahead.popleft() if self._ahead else next(self._blocks, None)

    def lines_ahead(self) -> Iterator[bytes | Unreadable]:
        """Yields the lines of the blocks to come, which stay where they are."""
        for number in itertools.count():
            if number == len(self._ahead):
                block = next(self._blocks, None)
                if block is None:
                    return
                self._ahead.append(block)
            block = self._ahead[number]
            if isinstance(block, Damage):
                yield block.reason
                return
            yield from _lines(block.text, 0)

    def skip(self, lines: int) -> None:
        """Leaves out some of the lines to come, of those that there are."""
        while lines and (block := self.take()) is not None:
            starts = line_starts(block.text)
            if lines < len(starts):
                self._ahead.appendleft(block.after(int(starts[lines]), lines))
                return
            lines -= len(starts)

    def skip_mark(self) -> None:
        """Leaves out the byte order mark, if the next line is a file's first and begins with it."""
        block = self.take()
        starts_file = isinstance(block, TextBlock) and block.offset == 0
        if starts_file and block.text.startswith(BYTE_ORDER_MARK):
            block = block.after(len(BYTE_ORDER_MARK), 0)
        if block is not None:
            self._ahead.appendleft(block)


class _Parser:
    """Parses blocks of text into columns where lines are clean, and row by row where not.

    Args:
        header: The names of the columns in the file's order.
        dialect: How the file is written.
        columns: The names of those to parse.
    """

    def __init__(self, header: list[str], dialect: Dialect, columns: Sequence[str]):
        self._header = header
        self._dialect = dialect
        # Of several of the same name a record holds the last one.
        places = {name: place for place, name in enumerate(header)}
        self._places = {name: places[name] for name in columns if name in places}

    def parse(self, block: TextBlock, stop: int | None, blocks: _Blocks) -> SeparatedBlock:
        """Parses the rows of a block that start before a byte of the file.

        Takes from the blocks to come the lines that the last row goes on over.
        """
        own = block.text if stop is None else block.text[: max(0, stop - block.offset - 1)]
        starts = line_starts(own)
        empty, clean = Lines(own, starts, self._dialect).classified(len(self._header))
        rows = ~empty
        singly = []
        done = 0
        for line in np.flatnonzero(rows & ~clean).tolist():
            if line < done:
                continue
            raw = _line(block.text, int(starts[line]))
            following = itertools.chain(
                _lines(block.text, int(starts[line]) + len(raw)), blocks.lines_ahead()
            )
            row = separated.row_at(raw, following, self._dialect, len(self._header))
            done = line + 1 + row.continued
            rows[line + 1 : done] = False
            if row.fields is None:
                rows[line] = False
            else:
                singly.append(row.record(raw, self._header))
        blocks.skip(max(0, done - len(starts)))
        is_clean = clean[rows]
        return SeparatedBlock(
            block,
            starts,
            np.flatnonzero(rows),
            is_clean,
            np.where(is_clean, np.cumsum(is_clean), np.cumsum(~is_clean)) - 1,
            self._columns(own, starts, clean & rows, bool((clean | empty).all())),
            singly,
            self._header,
            self._dialect,
        )

    def _columns(
        self, text: bytes, starts: np.ndarray, clean: np.ndarray, is_whole: bool
    ) -> dict[str, pa.Array]:
        """Returns the columns of the clean lines."""
        count = np.count_nonzero(clean)
        if not count or not self._places:
            return {name: pa.array([], pa.string()) for name in self._places}
        if not is_whole:
            ends = line_ends(text, starts)[clean]
            chosen = zip(starts[clean].tolist(), ends.tolist(), strict=True)
            text = b"\n".join([text[start:end] for start, end in chosen])
        delimiter = self._dialect.delimiter
        if len(delimiter.encode()) > 1:
            text, delimiter = text.replace(delimiter.encode(), SEPARATOR), SEPARATOR.decode()
        numbers = [str(place) for place in range(len(self._header))]
        table = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=numbers),
            csv.ParseOptions(
                delimiter=delimiter, quote_char='"' if self._dialect.quoted else False
            ),
            csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(numbers, pa.string()),
                include_columns=[str(place) for place in set(self._places.values())],
            ),
        )
        return {name: table[str(place)].combine_chunks() for name, place in self._places.items()}


def _line(text: bytes, start: int) -> bytes:
    """Returns a line with its line break, which the last one of a text lacks."""
    return next(_lines(text, start))


def _lines(text: bytes, start: int) -> Iterator[bytes]:
    while start <= len(text):
        end = text.find(b"\n", start)
        if end < 0:
            end = len(text)
        yield text[start:end] + b"\n"
        start = end + 1
