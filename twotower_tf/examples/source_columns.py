"""Which columns the configuration names, and whether the source has them.

A header says it of a whole file. Where each record says it for itself (JSON) it is counted, and
known when a day, a catalogue or the profiles were read.
"""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from absl import logging

from twotower_tf.config import Config
from twotower_tf.config.section import nearest
from twotower_tf.config.source import ALWAYS
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import has_column, names_of
from twotower_tf.errors import InputError
from twotower_tf.examples import unreadable_files

# In fewer records a column that is rarely given may be missing by chance.
_RECORDS_THAT_TELL = 20
_RARE = 0.01
_NAMES_SHOWN = 20
_LONGEST_NAME = 60
# What stands between fields, if it is no comma and no tab.
_DELIMITERS = (";", "|", "\t", "::", ",")
_RECORDS_LOOKED_AT = 100


def named_columns(config: Config, what: str) -> dict[str, str]:
    """Returns the columns that are read of a part of the source, and the key that names each.

    Args:
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``. The column
            ``examples.reward.divided_by`` is not among them, since it may be the event's or the
            item's; nor are the query's features of impressions, which have their defaults.
    """
    named = _mapped(config, what)
    for column, key, _ in _of_features(config, what):
        named.setdefault(column, key)
    return named


def required_columns(config: Config, what: str) -> dict[str, str]:
    """Returns those of ``named_columns`` that must be there.

    Not those of features with ``required: false``, nor ``optional`` ones of the source.
    """
    optional = getattr(config.source, what).optional
    needed = {
        column: key for column, key in _mapped(config, what).items() if column not in optional
    }
    for column, key, required in _of_features(config, what):
        if required:
            needed.setdefault(column, key)
    return needed


def _mapped(config: Config, what: str) -> dict[str, str]:
    columns = getattr(config.source, what).columns
    mapped = {
        column: f"source.{what}.columns.{key}" for key, column in columns if column is not None
    }
    for column in getattr(config.source, what).where:
        mapped.setdefault(column, f"source.{what}.where")
    if what == "events" and config.examples.reward is not None:
        mapped.setdefault(config.examples.reward.column, "examples.reward.column")
        for column in config.examples.reward.times:
            mapped.setdefault(column, "examples.reward.times")
    if what == "events":
        for column in config.examples.duplicates.key:
            mapped.setdefault(column, "examples.duplicates.key")
    return mapped


def _of_features(config: Config, what: str) -> Iterable[tuple[str, str, bool]]:
    """Yields the column of each raw feature that is read, its key, whether it must be there."""
    tower = "candidate" if what == "items" else "query"
    for feature in getattr(config, tower).features:
        for raw in feature.raw_features(feature.owner(tower), config):
            if f"{raw.of}s" == what and raw.filled_in is None:
                yield raw.source_column, f"{tower}.features, {raw.name}", feature.required


def check_columns(file: SourceFile, config: Config, what: str) -> None:
    """Checks that a file has the columns the configuration names, as far as its header says.

    Args:
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``.

    Raises:
        InputError: Names the file, the column and its key, and the columns that are there; or why
            the file can't be read, if that is an error.
    """
    there = column_names(file)
    if isinstance(there, Unreadable):
        if config.examples.unreadable_files == "error":
            raise InputError(unreadable_files.error(file, there.reason))
        return
    if there is None:
        return
    named = required_columns(config, what)
    for column, key in named.items():
        if column not in there:
            # What another key names is hardly meant.
            hint = nearest(column, [name for name in there if name not in named])
            raise InputError(
                f"{file.path}: there is no column '{column}' ({key}){hint}; its columns are "
                f"{_listed(there)}{_other_delimiter(there, what)}{_way_out(key, what)}"
            )
        if there.count(column) > 1:
            raise InputError(f"{file.path}: the column '{column}' ({key}) is there more than once")


@dataclasses.dataclass
class ColumnsSeen:
    """In how many records without a header each column was.

    Attributes:
        records: How many records there were.
        having: By column, how many of them have it, be it empty.
        names: Of columns that some of them have.
    """

    records: int = 0
    having: Counter[str] = dataclasses.field(default_factory=Counter)
    names: set[str] = dataclasses.field(default_factory=set)

    def add(self, record: Mapping | Unreadable, columns: Iterable[str]) -> None:
        """Counts a record of a file without a header."""
        if isinstance(record, Unreadable):
            return
        if self.records < _RECORDS_LOOKED_AT:
            self.names.update(names_of(record))
        self.records += 1
        for column in columns:
            if column in record or has_column(record, column):
                self.having[column] += 1

    def check(self, of: str, config: Config, what: str) -> None:
        """Checks that the columns were there; warns of those that hardly were.

        Args:
            of: Words whose records they are, such as ``events of 2024-03-01``.
            config: The deployment.
            what: As in ``required_columns``.

        Raises:
            InputError: Names a column that no record has, its key and the nearest that is there.
        """
        for column, key in required_columns(config, what).items():
            having = self.having[column]
            if not having and self.records >= _RECORDS_THAT_TELL:
                raise InputError(
                    f"not one of the {self.records:,} {of} has a column '{column}' "
                    f"({key}){nearest(column, self.names)}; they have {_listed(sorted(self.names))}"
                    f"{_way_out(key, what)}"
                )
            if having < _RARE * self.records:
                logging.warning(
                    "only %s of the %s %s (%.2f%%) have a column '%s' (%s)%s",
                    *(f"{having:,}", f"{self.records:,}", of, 100 * having / self.records),
                    *(column, key, nearest(column, self.names - {column})),
                )


def _listed(names: Sequence[str]) -> str:
    """Returns names for a message, so many and of such a length as one wants to read."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    short = (name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..." for name in names)
    return ", ".join(itertools.islice(short, _NAMES_SHOWN)) + more


def _other_delimiter(there: Sequence[str], what: str) -> str:
    """Says which delimiter would divide a header that is one name."""
    likely = [one for one in _DELIMITERS if len(there) == 1 and one in there[0]]
    return f"; is source.{what}.delimiter: {json.dumps(likely[0])} meant?" if likely else ""


def _way_out(key: str, what: str) -> str:
    """Says what to write where a column may be missing."""
    if ".features, " in key:
        return "; if they may lack it, say required: false of the feature"
    if key.startswith("source.") and key.rpartition(".")[2] not in ALWAYS:
        return f"; if they may lack it, name it in source.{what}.optional"
    return ""
