"""The catalogue and the user profiles, read whole: what the logs name is looked for in them."""

import dataclasses
import datetime
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.users.profiles import ProfileRecords, user_features


@dataclasses.dataclass(frozen=True)
class ReadCatalogue:
    """A snapshot of the catalogue.

    Attributes:
        day: The first day it holds for.
        files: Its files.
        parsed: What was read of them.
        stored: How many bytes it takes in the work directory.
        lookup: Finds items in it.
    """

    day: datetime.date
    files: list[SourceFile]
    parsed: catalogue.ParsedCatalogue
    stored: int
    lookup: ItemLookup


@dataclasses.dataclass(frozen=True)
class ReadProfiles:
    """A snapshot of the profiles.

    Attributes:
        day: The first day it holds for.
        files: Its files.
        read: How many records they hold.
        rejected: A line of JSON for each that can't be used.
        rows: The profiles in the order they were delivered, a column ``query/<name>`` each.
        row_of: The row that holds of each user.
    """

    day: datetime.date
    files: list[SourceFile]
    read: int
    rejected: list[str]
    rows: pa.Table
    row_of: dict[str, int]

    def of(self, user_ids: pa.Array, config: Config) -> tuple[pa.Table, np.ndarray]:
        """Returns users' profiles as ``profiles.lookup`` does, and which users have one."""
        rows = np.array([self.row_of.get(one, -1) for one in user_ids.to_pylist()], np.int64)
        known = rows >= 0
        features = user_features(config)
        values = self.rows.select([raw.key for raw in features])
        named = values.rename_columns([raw.name for raw in features])
        return named.take(pa.array(rows, mask=~known)), known


def read_catalogues(
    config: Config, source: str, needed: Mapping[datetime.date, list[SourceFile]]
) -> dict[datetime.date, ReadCatalogue]:
    """Reads snapshots of the catalogue, given the files of each (``needed_files``).

    Raises:
        InputError: As the build does.
    """
    read = {}
    for day, files in needed.items():
        parsed = catalogue.parse_catalogue(files, source, config)
        catalogue.check_catalogue(parsed, config, day, files, source)
        stored = pa.BufferOutputStream()
        catalogue.write_catalogue(parsed, stored)
        buffer = stored.getvalue()
        read[day] = ReadCatalogue(day, files, parsed, buffer.size, ItemLookup(buffer, config))
    return read


def read_profiles(
    config: Config, source: str, needed: Mapping[datetime.date, list[SourceFile]]
) -> dict[datetime.date, ReadProfiles]:
    """Reads snapshots of the profiles, as ``read_catalogues``."""
    return {day: _read_profiles(config, source, day, files) for day, files in needed.items()}


def _read_profiles(
    config: Config, source: str, day: datetime.date, files: Sequence[SourceFile]
) -> ReadProfiles:
    records, rejected = ProfileRecords(config, source), io.StringIO()
    tables = list(records.tables(files, rejected))
    lines = rejected.getvalue().splitlines()
    records.check(day, files, lines)
    rows = pa.concat_tables(tables) if tables else records.no_profiles()
    ids = rows["user_id"].to_pylist()
    # Of several profiles of a user the last one holds.
    row_of = dict(zip(ids, range(len(ids)), strict=True))
    return ReadProfiles(day, list(files), records.read, lines, rows, row_of)
