"""Reads the records of source files, one at a time.

What can't be read becomes an ``Unreadable`` in the place of its record and reading goes on: a
broken line must not cost the day.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from twotower_tf.datasets import parquet, wikispeedia
from twotower_tf.datasets.dialects import DELIMITERS, dialect_of
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.lines import Unreadable, not_utf8, read_lines
from twotower_tf.datasets.nested import batch_taken_apart, lists_of, taken_apart
from twotower_tf.datasets.separated import read_header, read_separated
from twotower_tf.datasets.text_files import TextForm, form_of
from twotower_tf.datasets.text_lists import names_of_elements, with_lists

# As Python objects, rows take many times their space.
_ROWS_AT_ONCE = 1024


def read_records(
    file: SourceFile, columns: Sequence[str] = ()
) -> Iterator[tuple[int, dict | Unreadable]]:
    """Reads a file's records in their order, in bounded memory.

    CSV and TSV are read as ``separated`` says, and all their values are text. Empty lines are
    skipped. Of a file that is damaged half-way (a truncated gzip, a corrupt Parquet row group) the
    records before the damage come first, then one Unreadable that is ``of_file``; of Parquet then
    the next row group.

    Args:
        file: The file.
        columns: Those that are needed: if they name the elements of lists (``items[].id``), there
            is a record an element, as ``nested`` says.

    Yields:
        The position (line or row number, from 1; of several lines, the first) and the record.

    Raises:
        InputError: If the file can't be opened.
    """
    lists = lists_of(columns)
    if file.format == "parquet":
        return _read_parquet(file.path, lists)
    if file.format == "jsonl":
        records = _read_json_lines(file)
        return _taken_apart(records, lists) if lists else records
    if file.format == "wikispeedia_paths":
        return wikispeedia.read_paths(file.path)
    if file.format == "wikispeedia_articles":
        return wikispeedia.read_articles(file.path)
    records = read_separated(file.path, dialect_of(file.path, file.format, file.layout))
    if not file.layout.lists:
        return records
    with_text_lists = with_lists(records, file.layout.lists)
    return _taken_apart(with_text_lists, lists) if lists else with_text_lists


def column_names(file: SourceFile) -> list[str] | Unreadable | None:
    """Returns the columns that a file says it has, or why nothing of it can be read.

    None where each record says it (JSON), where the columns are always the same (Wikispeedia) and
    in an empty file.

    Raises:
        InputError: If the file can't be opened.
    """
    if file.format == "parquet":
        return parquet.parquet_columns(file.path)
    if file.format in DELIMITERS:
        dialect = dialect_of(file.path, file.format, file.layout)
        header = read_header(file.path, dialect)
        if header is None or isinstance(header.names, Unreadable):
            return None if header is None else header.names
        return [*header.names, *names_of_elements(header.names, file.layout.lists)]
    if file.format == "jsonl" and (no_data := json_form(file).no_data) is not None:
        return Unreadable("", no_data, of_file=True)
    return None


def json_form(file: SourceFile) -> TextForm:
    """Returns what the text of a file of JSON is."""
    return form_of(file.path, file.layout.encoding, is_json=True)


def _read_json_lines(file: SourceFile) -> Iterator[tuple[int, dict | Unreadable]]:
    for number, line in read_lines(file.path, json_form(file)):
        if isinstance(line, Unreadable):
            yield number, line
        elif not line.isspace():
            yield number, json_object(line)


def _taken_apart(
    numbered: Iterable[tuple[int, dict | Unreadable]], lists: Sequence[str]
) -> Iterator[tuple[int, dict | Unreadable]]:
    for number, record in numbered:
        for one in taken_apart(record, lists):
            yield number, one


def json_object(line: bytes) -> dict | Unreadable:
    """Returns the record that a line of JSON holds."""
    try:
        value = json.loads(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        return Unreadable.line(line, not_utf8(error))
    except json.JSONDecodeError as error:
        # Some of json's own messages end in "at".
        what = error.msg.removesuffix(" at")
        return Unreadable.line(line, f"not JSON: {what} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Unreadable.line(line, f"not JSON that can be read: {error}")
    if not isinstance(value, dict):
        return Unreadable.line(line, f"not a JSON object but a {type(value).__name__}")
    return value


def _read_parquet(path: str, lists: Sequence[str]) -> Iterator[tuple[int, dict | Unreadable]]:
    for row, batch in parquet.read_parquet(path):
        if isinstance(batch, Unreadable):
            yield row, batch
            continue
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            some = batch.slice(start, _ROWS_AT_ONCE)
            numbers = range(row + start, row + start + len(some))
            if lists:
                some, rows, _ = batch_taken_apart(some, lists)
                numbers = (row + start + rows).tolist()
            yield from zip(numbers, parquet.batch_records(some), strict=True)
