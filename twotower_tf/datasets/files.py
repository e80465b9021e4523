"""Finds the source files below ``--source``."""

import dataclasses
import datetime
import os
from collections.abc import Mapping

from twotower_tf import storage
from twotower_tf.config.source import Files
from twotower_tf.datasets.dialects import AS_USUAL, Layout
from twotower_tf.datasets.path_patterns import matches
from twotower_tf.datasets.text_files import ENDINGS as COMPRESSED
from twotower_tf.errors import InputError

_ENDINGS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl"}
_WITH_DATA = (*_ENDINGS, ".parquet")


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A file to read.

    Attributes:
        path: Where it is.
        format: What it is; never ``auto``.
        day: The day that ``{date}`` stands for in its path, if the pattern has one.
        layout: What the configuration says of how it is written.
        hour: The hour that ``{hour}`` stands for in its path, if the pattern has one.
        where: Which of its records are meant, as in ``where``; the others are passed over.
    """

    path: str
    format: str
    day: datetime.date | None = None
    layout: Layout = AS_USUAL
    hour: int | None = None
    where: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)


def find_files(root: str, files: Files, what: str, homepage: str | None) -> list[SourceFile]:
    """Returns the files that a part of the source names, sorted by path.

    Which match: ``path_patterns``.

    Args:
        root: The folder or URL that ``--source`` gives.
        files: The path below it (a file, a glob, ``{date}``, or a mixture) and the format.
        what: Which part of the source: ``events``, ``items`` or ``users``.
        homepage: Where one gets the data set, for the message.

    Raises:
        InputError: If there is no such folder or file, if one that matches can't be opened, or if a
            file's format can't be told.
    """
    get_it = f"; get the data set from {homepage}" if homepage else ""
    root = root.rstrip("/") or root
    try:
        there = storage.is_folder(root)
    except InputError as error:
        raise InputError(f"--source={error}") from error
    if not there:
        raise InputError(
            f"--source={root}: there is no such folder; give the one that holds {files.path} "
            f"(source.{what}.path){get_it}"
        )
    pattern = os.path.normpath(files.path)
    found = sorted(matches(root, pattern, _WITH_DATA))
    if not found:
        there_is = f"--source={root}: there is no {files.path} (source.{what}.path)"
        if storage.is_folder(os.path.join(root, pattern)):
            raise InputError(f"{there_is} that is a file; give the files in that folder")
        raise InputError(there_is + _of_other_dates(root, pattern) + get_it)
    layout, where = Layout.of(files), files.where_texts()
    return [
        SourceFile(path, _format_of(path, files.format, what), day, layout, hour=hour, where=where)
        for path, day, hour in found
    ]


def _of_other_dates(root: str, pattern: str) -> str:
    """Words that there are files of days in another form, if there are."""
    for form in ("%Y%m%d", "%Y/%m/%d", "%Y_%m_%d", "%Y-%m-%d"):
        other = pattern.replace("{date}", f"{{date:{form}}}")
        for path, *_ in matches(root, other, _WITH_DATA) if other != pattern else ():
            return f"; there is {os.path.relpath(path, root)}, which is {other}"
    return ""


def _format_of(path: str, given: str, what: str) -> str:
    if given != "auto":
        return given
    name = path.lower()
    if name.endswith(".parquet"):
        return "parquet"
    stem, ending = os.path.splitext(name)
    if ending in COMPRESSED:
        ending = os.path.splitext(stem)[1]
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    raise InputError(
        f"{path}: its name doesn't tell its format; let it end in .csv, .tsv, .jsonl, .json (each "
        f"also with {', '.join(COMPRESSED)}) or .parquet, or set source.{what}.format"
    )
