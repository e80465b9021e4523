"""User profiles: parsed once a snapshot, then looked up for the users of a day.

A partition ``profiles/dt=DAY`` holds a keyed file (``user_files``) for every shard of users: a row
a profile, with ``user_id`` and ``query/<name>`` for each raw query feature ``of: user`` (of an
age, the Unix seconds of its column ``since``, null: unknown). Of several records of a user the
last delivered holds. A snapshot is parsed again only when its files change: the manifest's
``inputs`` say their sizes and checksums.
"""

import contextlib
import dataclasses
import datetime
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np
import pyarrow as pa

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.where import meant_records
from twotower_tf.errors import InputError
from twotower_tf.examples.hashes import shards, text_hashes
from twotower_tf.examples.records import User, UserParser
from twotower_tf.examples.rejects import are_too_many, rejected_line, too_many
from twotower_tf.examples.schema import RawFeature, raw_features
from twotower_tf.examples.source_columns import (
    ColumnsSeen,
    named_columns,
    required_columns,
)
from twotower_tf.examples.unreadable_files import UnreadableFiles, check_share
from twotower_tf.examples.users import user_files
from twotower_tf.examples.values import RejectedRecord

KIND = "profiles"
REJECTED_FILE = "users.jsonl"
# Profiles are sorted a bucket of their hashes at a time: memory is one bucket's, whatever comes.
_BUCKETS = 64
_HASHES_A_BUCKET = np.uint64(2**64 // _BUCKETS)
_ROWS_AT_ONCE = 16_384


@dataclasses.dataclass(frozen=True)
class StagedProfiles:
    """A snapshot of profiles that was parsed and waits to be published.

    Attributes:
        folder: Holds the shards' files, and ``REJECTED_FILE`` with the rejected records.
        read: How many records the source's files hold: users, duplicates and rejected together.
        duplicates: How many of them a later one of the same user replaced.
        rejected: How many can't be used.
        users: How many rows each shard's file has.
    """

    folder: str
    read: int
    duplicates: int
    rejected: int
    users: tuple[int, ...]

    def counts(self) -> dict[str, int]:
        """Returns what the manifest counts: ``read`` is the sum of the others."""
        return {
            "read": self.read,
            "users": sum(self.users),
            "duplicates": self.duplicates,
            "rejected": self.rejected,
        }


def file_name(shard: int, count: int) -> str:
    """Returns the name of a shard's file in a partition, of so many shards."""
    return f"profiles-{shard:05d}-of-{count:05d}.arrow"


def user_features(config: Config) -> list[RawFeature]:
    """Returns the raw query features that come from the user's profile."""
    return [raw for raw in raw_features(config, "query") if raw.of == "user"]


def _file_schema(config: Config) -> pa.Schema:
    # Prefixed, for features may have any name, "user_id" too.
    values = [pa.field(raw.key, raw.type.stored_type) for raw in user_features(config)]
    return pa.schema([*user_files.KEYS, *values])


def stage_profiles(
    config: Config, day: datetime.date, files: Sequence[SourceFile], root: str, folder: str
) -> StagedProfiles:
    """Parses the profiles of a snapshot into the files of a partition, in bounded memory.

    Args:
        config: The deployment.
        day: The day of the snapshot, for messages.
        files: The source's files in the order of delivery.
        root: The source folder.
        folder: An empty folder to write to.

    Raises:
        InputError: If more than ``examples.max_rejected_share`` of the records were rejected, or
            a file can't be opened.
    """
    schema = _file_schema(config)
    rejected_path = os.path.join(folder, REJECTED_FILE)
    records = ProfileRecords(config, root)
    with tempfile.TemporaryDirectory(prefix="buckets-", dir=folder) as buckets:
        with open(rejected_path, "w", encoding="utf-8") as rejected_file:
            _fill_buckets(records.tables(files, rejected_file), schema, buckets)
        with open(rejected_path, encoding="utf-8") as rejected_file:
            records.check(day, files, rejected_file)
        users = _write_shards(config.examples.shards, schema, buckets, folder)
    duplicates = records.read - records.rejected - sum(users)
    return StagedProfiles(folder, records.read, duplicates, records.rejected, users)


class ProfileRecords:
    """Reads profiles; what can't be used goes to a file.

    Args:
        config: The deployment.
        root: The source folder.

    Attributes:
        read: How many records were read so far.
        rejected: How many of them can't be used.
        seen: Which columns they have, where no header says it.
        unreadable: Which files can't be read.
    """

    def __init__(self, config: Config, root: str):
        self._config = config
        self._parser = UserParser(config)
        self._root = root
        self._columns = tuple(named_columns(config, "users"))
        self._required = tuple(required_columns(config, "users"))
        self.read = self.rejected = 0
        self.seen = ColumnsSeen()
        self.unreadable = UnreadableFiles(config, root)

    def tables(self, files: Sequence[SourceFile], rejected_file: TextIO) -> Iterator[pa.Table]:
        """Yields the valid profiles of files in their order; the others go as lines to a file.

        The tables have the columns of the partitions' files.
        """
        schema, features = _file_schema(self._config), user_features(self._config)
        users = self._users(files, rejected_file)
        while some := list(itertools.islice(users, _ROWS_AT_ONCE)):
            user_ids = pa.array([user.user_id for user in some], pa.string())
            columns = [pa.array(text_hashes(user_ids), pa.uint64()), user_ids]
            for raw in features:
                values = [user.values[raw.name] for user in some]
                columns.append(pa.array(values, raw.type.stored_type))
            yield pa.Table.from_arrays(columns, schema=schema)

    def no_profiles(self) -> pa.Table:
        """Returns what ``tables`` yields, without a row."""
        return _file_schema(self._config).empty_table()

    def check(
        self, day: datetime.date, files: Sequence[SourceFile], rejected: Iterable[str]
    ) -> None:
        """Checks that the profiles read can be used.

        Args:
            day: The day of the snapshot, for messages.
            files: What was read.
            rejected: The lines of the records that can't be used.

        Raises:
            InputError: If a column that is needed is in no record, or too many of the records, or
                of the bytes, can't be used.
        """
        config, what = self._config, f"user profiles of {day}"
        self.seen.check(what, config, "users")
        check_share(config, what, self._root, self.unreadable.reasons, files)
        if are_too_many(self.rejected, self.read, config.examples):
            most = config.examples.max_rejected_share
            raise InputError(too_many(what, list(rejected), self.read, most))

    def _users(self, files: Sequence[SourceFile], rejected_file: TextIO) -> Iterator[User]:
        for file in files:
            has_header = column_names(file) is not None
            read = meant_records(read_records(file, self._columns), file.where)
            for number, record in self.unreadable.records(file, read):
                self.read += 1
                if not has_header:
                    self.seen.add(record, self._required)
                try:
                    if isinstance(record, Unreadable):
                        raise RejectedRecord(record.reason)
                    yield self._parser.parse(record)
                except RejectedRecord as error:
                    self.rejected += 1
                    shown = record.raw if isinstance(record, Unreadable) else record
                    line = rejected_line(self._root, file.path, number, shown, str(error))
                    rejected_file.write(f"{line}\n")


def _bucket_path(folder: str, bucket: int) -> str:
    return os.path.join(folder, f"{bucket:03d}.arrow")


def _fill_buckets(tables: Iterator[pa.Table], schema: pa.Schema, folder: str) -> None:
    """Writes rows to a file for every range of hashes, in the order they come."""
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(pa.ipc.new_stream(_bucket_path(folder, bucket), schema))
            for bucket in range(_BUCKETS)
        ]
        for table in tables:
            bucket_of = table["user_hash"].to_numpy() // _HASHES_A_BUCKET
            for bucket in np.unique(bucket_of):
                files[bucket].write_table(table.filter(pa.array(bucket_of == bucket)))


def _write_shards(count: int, schema: pa.Schema, buckets: str, folder: str) -> tuple[int, ...]:
    """Writes the shards' files from the buckets; returns how many rows each has."""
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(
                user_files.writing(os.path.join(folder, file_name(shard, count)), schema)
            )
            for shard in range(count)
        ]
        for bucket in range(_BUCKETS):
            with pa.ipc.open_stream(_bucket_path(buckets, bucket)) as file:
                rows = file.read_all()
            if not len(rows):
                continue
            rows = user_files.newest(rows.take(pa.array(np.arange(len(rows))[::-1])))
            shard_of = shards(rows["user_hash"].to_numpy(), count)
            for shard in np.unique(shard_of):
                writers[shard].add(rows.filter(pa.array(shard_of == shard)))
    return tuple(writer.rows for writer in writers)


def lookup(path: str, user_ids: pa.Array, config: Config) -> tuple[pa.Table, np.ndarray]:
    """Returns the profiles of users of a shard.

    Args:
        path: The shard's file.
        user_ids: string [n], no user twice.
        config: The deployment.

    Returns:
        n rows aligned with the users: a column ``<name>`` for each of ``user_features``, of an
        age the Unix seconds; all null for a user without a profile. And which users have one,
        bool [n].

    Raises:
        InputError: If the file is gone.
    """
    schema = _file_schema(config)
    found = user_files.lookup([path], user_ids, schema)
    row_of = np.full(len(user_ids), -1)
    row_of[found.asked] = np.arange(len(found.rows))
    values = found.rows.drop_columns([key.name for key in user_files.KEYS])
    names = [raw.name for raw in user_features(config)]
    known = row_of >= 0
    return values.rename_columns(names).take(pa.array(row_of, mask=~known)), known


def find_profile(partition: storage.Partition, user_id: str, config: Config) -> dict | None:
    """Returns the values of a user's profile by feature name, None for a user without one.

    Raises:
        InputError: If the profiles were not published, or a file is gone.
    """
    count = len(partition.manifest()["shards"])
    user_ids = pa.array([user_id], pa.string())
    (shard,) = shards(text_hashes(user_ids), count)
    path = partition.file(file_name(shard, count))
    rows = user_files.lookup([path], user_ids, _file_schema(config)).rows
    (row,) = rows.to_pylist() or [None]
    return row and {raw.name: row[raw.key] for raw in user_features(config)}


def values_without(user_id: str, config: Config) -> dict:
    """Returns the values, by feature name, of a user without a profile: only the id is known."""
    users = config.source.users
    return {
        raw.name: raw.type.of_past([user_id])
        for raw in user_features(config)
        if raw.is_id(users.columns.user_id)
    }
