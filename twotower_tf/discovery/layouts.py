"""How one unknown file is written: its format, its delimiter, whether it has a header."""

import codecs
import csv
import dataclasses
import itertools
import os
import re
from collections import Counter
from typing import get_args

from twotower_tf.config.source import Format
from twotower_tf.datasets import parquet
from twotower_tf.datasets.dialects import AS_USUAL, DELIMITERS, Layout
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import EACH, names_of
from twotower_tf.datasets.text_files import ENDINGS as COMPRESSED
from twotower_tf.datasets.text_files import Damaged, form_of, pieces
from twotower_tf.errors import InputError

_HEAD_BYTES = 1 << 20
_LINES = 100
_RECORDS = 200
_MOST = 0.95
_SAME_LENGTH = 0.9
# So many lines that have fields are no accident; a text for people has none.
_FEWEST_LINES = 3
_BY_ENDING = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl"}
_BY_ENDING[".parquet"] = "parquet"
_NOT_DATA = re.compile(r"(^|/)(readme|licen[cs]e|notice|changelog)[^/]*$", re.I)
_DELIMITERS = (",", "\t", ";", "|", "::")
_COMMENT = "#"
# Formats of published data sets, which are told by whether their reader makes sense of a file.
_PUBLISHED = tuple(one for one in get_args(Format) if one not in ("auto", *_BY_ENDING.values()))
_NUMBER = re.compile(r"\s*[-+]?[0-9][0-9.,:eE+/ -]*\s*")
_NAME = re.compile(r"[A-Za-z_#][\w .()/#-]*")


@dataclasses.dataclass(frozen=True)
class FileLayout:
    """How a file is written.

    Attributes:
        format: As ``source.*.format``; never ``auto``.
        named: Whether the file's name tells the format, so that ``auto`` does.
        layout: What differs from what the format usually has.
        columns: The outermost columns, in their order.
    """

    format: str
    named: bool
    layout: Layout
    columns: tuple[str, ...]


def layout_of(path: str) -> FileLayout | str:
    """Returns how a file is written, or why it is taken for no data.

    Args:
        path: The file.

    Raises:
        InputError: If the file can't be opened.
    """
    if _NOT_DATA.search(path):
        return "a text for people"
    format = _format_by_name(path)
    if format in ("parquet", "jsonl"):
        return _of_named_columns(path, format, named=True)
    return _of_text(path, format)


def _format_by_name(path: str) -> str | None:
    stem, ending = os.path.splitext(path.lower())
    if ending in COMPRESSED:
        ending = os.path.splitext(stem)[1]
    return _BY_ENDING.get(ending)


def _of_named_columns(path: str, format: str, named: bool) -> FileLayout | str:
    file = SourceFile(path, format)
    if format == "parquet":
        columns = parquet.parquet_columns(path)
        if isinstance(columns, Unreadable):
            return columns.reason
        # Those inside of others are found in the records.
        outermost = [name for name in columns if "." not in name and EACH not in name]
        return FileLayout(format, named, AS_USUAL, tuple(outermost))
    if isinstance(there := column_names(file), Unreadable):
        return there.reason
    records = [one for _, one in itertools.islice(read_records(file), _RECORDS)]
    good = [one for one in records if isinstance(one, dict)]
    if not good or len(good) < _SAME_LENGTH * len(records):
        return records[0].reason if records and not good else "empty" if not records else "not JSON"
    columns = dict.fromkeys(name for record in good for name in record)
    return FileLayout(format, named, AS_USUAL, tuple(columns))


def _of_text(path: str, format: str | None) -> FileLayout | str:
    form = form_of(path)
    if form.no_data is not None:
        return form.no_data
    try:
        head = next(pieces(path, form, _HEAD_BYTES), b"")[:_HEAD_BYTES]
    except Damaged as error:
        return str(error)
    if not head.strip():
        return "empty"
    if b"\0" in head:
        return "not text"
    for published in _PUBLISHED if format is not None else ():
        if (columns := _read_as(path, published)) is not None:
            return FileLayout(published, False, AS_USUAL, columns)
    encoding = None if _is_utf8(head) else "latin-1"
    text = head.decode(encoding or "utf-8", "ignore")
    if format is None and text.lstrip()[:1] in ("{", "["):
        return _of_named_columns(path, "jsonl", named=False)
    comment = _COMMENT if text.startswith(_COMMENT) else None
    lines = [line for line in text.splitlines() if line.strip()]
    if comment:
        lines = [line for line in lines if not line.startswith(comment)]
    return _of_lines(lines[:_LINES], format, encoding, comment)


def _read_as(path: str, format: str) -> tuple[str, ...] | None:
    """Returns the columns of a file that the reader of a published data set makes sense of."""
    try:
        records = [
            one for _, one in itertools.islice(read_records(SourceFile(path, format)), _RECORDS)
        ]
    except InputError:
        return None
    good = [one for one in records if isinstance(one, dict)]
    if len(good) < _FEWEST_LINES or len(good) < _MOST * len(records):
        return None
    return tuple(dict.fromkeys(name for record in good for name in names_of(record)))


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _of_lines(
    lines: list[str], format: str | None, encoding: str | None, comment: str | None
) -> FileLayout | str:
    if not lines:
        return "empty"
    usual = DELIMITERS[format or "csv"]
    delimiter = _delimiter(lines, usual)
    if delimiter is None and (format is None or (len(lines) > 1 and usual in "".join(lines))):
        return "not a table"
    delimiter = delimiter or usual
    if format is None and len(lines) < _FEWEST_LINES:
        return "not a table"
    named = format is not None
    format = format or ("tsv" if delimiter == "\t" else "csv")
    rows = [_fields(line, delimiter) for line in lines]
    header = None
    if not _has_header(rows):
        length = Counter(map(len, rows)).most_common(1)[0][0]
        header = tuple(f"column_{number}" for number in range(1, length + 1))
    columns = header or tuple(rows[0])
    own = None if delimiter == DELIMITERS[format] else delimiter
    return FileLayout(format, named, Layout(encoding, header, own, "auto", comment), columns)


def _delimiter(lines: list[str], usual: str) -> str | None:
    """Returns what parts nearly all lines into as many fields: the usual one, or the finest."""
    lengths = {}
    for delimiter in dict.fromkeys((usual, *_DELIMITERS)):
        counts = Counter(len(_fields(line, delimiter)) for line in lines)
        length, times = counts.most_common(1)[0]
        if length > 1 and times >= _SAME_LENGTH * len(lines):
            lengths[delimiter] = length
    if usual in lengths or not lengths:
        return usual if lengths else None
    return max(lengths, key=lambda delimiter: lengths[delimiter])


def _fields(line: str, delimiter: str) -> list[str]:
    if len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return line.split(delimiter)


def _has_header(rows: list[list[str]]) -> bool:
    """Says whether the first row names the columns: words of which none is a value below."""
    first, *rest = rows
    rest = [row for row in rest if len(row) == len(first)]
    if len(set(first)) < len(first) or not all(_NAME.fullmatch(field) for field in first):
        return False
    for place, field in enumerate(first):
        below = [row[place] for row in rest]
        if any(below) and all(_NUMBER.fullmatch(one) for one in below if one):
            return True
        if field in below:
            return False
    return True
