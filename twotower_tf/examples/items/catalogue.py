"""Catalogue snapshots: the item features as they were on a day.

A snapshot is one Parquet file, a row an item, sorted by ``item_id``: ``item_id``, ``title``,
``published_at`` (Unix seconds, null: unknown), ``candidate/<name>`` for every raw feature of the
candidate (of an age, the Unix seconds of its column ``since``) and, if the reward is divided by a
column of the item, ``reward.divided_by``.
"""

import dataclasses
import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.where import meant_records
from twotower_tf.errors import InputError
from twotower_tf.examples.records import DIVISOR, Item, ItemParser
from twotower_tf.examples.rejects import are_too_many, rejected_line, too_many
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.source_columns import (
    ColumnsSeen,
    named_columns,
    required_columns,
)
from twotower_tf.examples.unreadable_files import UnreadableFiles, check_share
from twotower_tf.examples.values import RejectedRecord

KIND = "catalogue"
FILE = "items.parquet"
# So many parsed items are turned into columns at a time.
_ITEMS = 16_384
# After so many items copies are looked for, and after as many as there are.
_ITEMS_ADDED = 1 << 20


@dataclasses.dataclass(frozen=True)
class ParsedCatalogue:
    """What was read of the catalogue files of a snapshot.

    Attributes:
        items: The rows.
        read: How many records the files hold.
        duplicates: How many of them a later one with the same item id replaced.
        rejected: A line of JSON for each that can't be used.
        seen: Which columns they have, where no header says it.
        unreadable: Why files can't be read, by their path below the source.
    """

    items: pa.Table
    read: int
    duplicates: int
    rejected: list[str]
    seen: ColumnsSeen
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def parse_catalogue(files: list[SourceFile], root: str, config: Config) -> ParsedCatalogue:
    """Reads catalogue files; of several records with an item id the last one holds.

    Raises:
        InputError: If a file can't be opened, or read and that is an error.
    """
    parser = ItemParser(config)
    columns, required = named_columns(config, "items"), required_columns(config, "items")
    seen = ColumnsSeen()
    # As Python objects a million items would take more than a gigabyte.
    tables = [_table([], config)]
    items: list[Item] = []
    rejected: list[str] = []
    read = 0
    unreadable = UnreadableFiles(config, root)
    for file in files:
        has_header = column_names(file) is not None
        found = meant_records(read_records(file, tuple(columns)), file.where)
        for number, record in unreadable.records(file, found):
            read += 1
            if not has_header:
                seen.add(record, required)
            try:
                if isinstance(record, Unreadable):
                    raise RejectedRecord(record.reason)
                items.append(parser.parse(record))
            except RejectedRecord as error:
                shown = record.raw if isinstance(record, Unreadable) else record
                rejected.append(rejected_line(root, file.path, number, shown, str(error)))
            if len(items) == _ITEMS:
                tables = _without_copies([*tables, _table(items, config)])
                items = []
    kept = _last_of_each(pa.concat_tables([*tables, _table(items, config)]))
    duplicates = read - len(rejected) - len(kept)
    return ParsedCatalogue(kept, read, duplicates, rejected, seen, unreadable.reasons)


def _without_copies(tables: list[pa.Table]) -> list[pa.Table]:
    """Returns one table in place of several, if these could be mostly copies.

    A log may be the catalogue: memory must grow with its items, not with its events.

    Args:
        tables: Rows in their order; what was put together before comes first.
    """
    added = sum(map(len, tables[1:]))
    if added < max(_ITEMS_ADDED, len(tables[0])):
        return tables
    return [_last_of_each(pa.concat_tables(tables))]


def _last_of_each(items: pa.Table) -> pa.Table:
    """Returns the last row of each item id, by item id."""
    numbered = pa.table({"item_id": items["item_id"], "row": np.arange(len(items))})
    numbered = numbered.sort_by([("item_id", "ascending"), ("row", "ascending")])
    ids = numbered["item_id"].combine_chunks()
    is_last = np.ones(len(items), bool)
    is_last[:-1] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    rows = numbered["row"].to_numpy()[is_last]
    return items.take(pa.array(rows)).combine_chunks()


def _table(items: list[Item], config: Config) -> pa.Table:
    columns = {
        "item_id": pa.array([item.item_id for item in items], pa.string()),
        "title": pa.array([item.title for item in items], pa.string()),
        "published_at": pa.array([item.published_at for item in items], pa.int64()),
    }
    for raw in raw_features(config, "candidate"):
        values = [item.values[raw.name] for item in items]
        columns[raw.key] = pa.array(values, raw.type.stored_type)
    if config.examples.reward is not None and config.examples.reward.divided_by is not None:
        columns[DIVISOR] = pa.array([item.values.get(DIVISOR) for item in items], pa.float64())
    return pa.table(columns)


def check_catalogue(
    parsed: ParsedCatalogue,
    config: Config,
    day: datetime.date,
    files: list[SourceFile],
    root: str,
) -> None:
    """Checks that a catalogue can be used.

    Args:
        parsed: What was read of it.
        config: Has the limits.
        day: The day of the snapshot, for messages.
        files: What ``parsed`` was read of.
        root: The source folder.

    Raises:
        InputError: If a column that is needed is in none of its records, or too many of them, or
            of its bytes, can't be used.
    """
    what, section = f"items of {day}", config.examples
    parsed.seen.check(what, config, "items")
    check_share(config, what, root, parsed.unreadable, files)
    if are_too_many(len(parsed.rejected), parsed.read, section):
        most = section.max_rejected_share
        raise InputError(too_many(what, parsed.rejected, parsed.read, most))


def write_catalogue(parsed: ParsedCatalogue, where: str | pa.NativeFile) -> None:
    """Writes a snapshot as Parquet: the same rows make the same bytes."""
    pyarrow.parquet.write_table(parsed.items, where, compression="zstd")
