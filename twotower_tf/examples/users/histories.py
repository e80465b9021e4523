"""Histories: every user's last items at the end of a day, written for the active users alone.

A partition ``histories/dt=DAY`` holds a keyed file (``user_files``) for every shard of users: a
*delta*, the users active that day, or a *full* one, all users so far. A user's row is in the first
file that has it of the shard's *chain*: the day's file, the file of the built day before, and so
on back to the last full one. The manifest says the days of every shard's chain, newest first
(``chains``). A full file comes every ``examples.full_histories_every_days`` days, for each shard
on another day, so that no day pays for all. On the first day with another number of shards all
are full, made of the chains of the shards before that may hold their users (``resharded``).

Of the histories, everything older than the oldest day in the newest manifest's chains may be
removed (``oldest_day_needed``).

The rows are those of ``history_rows``.
"""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from twotower_tf.errors import InputError
from twotower_tf.examples.hashes import shards
from twotower_tf.examples.users import user_files
from twotower_tf.examples.users.history_rows import (
    ANSWERED,
    OWN,
    SCHEMA,
    SEARCHES,
    SHOWN,
    TRAITS,
    Carried,
    CarriedOwn,
    Past,
)
from twotower_tf.storage import Partition, Workdir
from twotower_tf.storage.whole_files import whole_file

KIND = "histories"


class Link(NamedTuple):
    """A file of a chain.

    Attributes:
        day: The day whose partition it is in.
        path: Where it is.
        shards: How many files that partition has.
    """

    day: datetime.date
    path: str
    shards: int


class OwnItem(NamedTuple):
    """An item a user acted on.

    Attributes:
        item_id: Which.
        count: How often.
        last: When last, in Unix seconds.
    """

    item_id: str
    count: int
    last: int


def _file_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([user_files.KEYS[0], *schema])


def file_name(shard: int, count: int) -> str:
    """Returns the name of a shard's file in a partition, of so many shards."""
    return f"histories-{shard:05d}-of-{count:05d}.arrow"


def is_full_due(shard: int, day: datetime.date, previous: datetime.date | None, every: int) -> bool:
    """Says whether a shard's file of a day must be full.

    Args:
        shard: Its number; full files of different shards are due on different days.
        day: The day.
        previous: The built day before it, however long before; None if there is none.
        every: ``examples.full_histories_every_days``.
    """
    if previous is None:
        return True
    return (day.toordinal() + shard) // every != (previous.toordinal() + shard) // every


def with_link(chain: Sequence[Link], link: Link, shard: int, every: int) -> tuple[Link, ...]:
    """Returns a chain with the file of a newer day: a full one is a chain by itself.

    Args:
        chain: Up to the built day before.
        link: The newer file.
        shard: The shard's number.
        every: ``examples.full_histories_every_days``.
    """
    goes_on = chain and chain[0].shards == link.shards
    previous = chain[0].day if goes_on else None
    return (link,) if is_full_due(shard, link.day, previous, every) else (link, *chain)


class ShardHistories:
    """The histories of a shard's users as days are built, oldest first.

    Attributes:
        chain: Where the histories up to now are, newest first.
        rows_read: How many rows were read so far.
        schema: As given.

    Args:
        shard: Its number.
        shards: How many there are.
        every: ``examples.full_histories_every_days``.
        chain: Where the histories up to now are, newest first (``chains_of``, ``resharded``).
        schema: Of the rows (``schema_of``).
    """

    def __init__(
        self,
        shard: int,
        shards: int,
        every: int,
        chain: Sequence[Link] = (),
        schema: pa.Schema = SCHEMA,
    ):
        self._shard, self._shards = shard, shards
        self._every = every
        self.schema = schema
        self._file_schema = _file_schema(schema)
        self.chain = tuple(chain)
        self.rows_read = 0

    def lookup(self, user_ids: pa.Array) -> Past:
        """Returns what users (no user twice) did up to the last day written.

        Raises:
            InputError: If a file of the chain is gone.
        """
        found = user_files.lookup([link.path for link in self.chain], user_ids, self._file_schema)
        columns = {
            name: _spread(found.rows[name], found.asked, len(user_ids))
            for name in self.schema.names[1:]
        }
        self.rows_read += found.rows_read
        searches, shown, own = (
            [columns[name] for name, _ in group if name in columns]
            for group in (SEARCHES, SHOWN, OWN)
        )
        traits = {trait: columns[name] for trait, (name, _) in TRAITS.items() if name in columns}
        return Past(
            Carried(columns["item_ids"], columns["timestamps"], traits),
            Carried(*searches, {}) if searches else None,
            Carried(*shown[:2], {ANSWERED: shown[2]}) if shown else None,
            CarriedOwn(*own) if own else None,
        )

    def write(self, day: datetime.date, path: str, active: pa.Table) -> int:
        """Writes the shard's file of a day, and goes on from it.

        Args:
            day: After the days written before.
            path: Where the file goes.
            active: In the schema, a row for each user active that day, as it is at the day's end.

        Returns:
            The number of rows written; ``chain`` begins with the file.
        """
        chain = with_link(self.chain, Link(day, path, self._shards), self._shard, self._every)
        older = self.chain if len(chain) == 1 else ()
        sources = [[user_files.keyed(active)], *map(self._pieces, older)]
        with (
            whole_file(path) as temporary,
            user_files.writing(temporary, self._file_schema) as writer,
        ):
            for piece in user_files.merged(sources):
                writer.add(piece)
        self.chain = chain
        return writer.rows

    def _pieces(self, link: Link) -> Iterator[pa.Table]:
        """Yields the rows of a file that are of this shard's users, in this schema."""
        for piece in user_files.pieces(link.path):
            self.rows_read += len(piece)
            if link.shards != self._shards:
                of = shards(piece["user_hash"].to_numpy(), self._shards)
                piece = piece.filter(pa.array(of == self._shard))
            yield user_files.in_schema(piece, self._file_schema)


def _spread(lists: pa.ChunkedArray, places: np.ndarray, count: int) -> pa.ListArray:
    """Returns ``count`` lists: the given ones in their places (ascending), the others empty."""
    lengths = np.zeros(count, np.int32)
    lengths[places] = pyarrow.compute.list_value_length(lists).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pyarrow.compute.list_flatten(lists).combine_chunks()
    )


def chains_of(workdir: Workdir, partition: Partition) -> list[list[Link]]:
    """Returns where the histories at the end of a day are: for every shard its chain.

    Args:
        workdir: Has the partitions.
        partition: The day's histories; none if the log brings its own.

    Raises:
        InputError: If a partition that a chain leads to is gone; names it.
    """
    chains = [
        [datetime.date.fromisoformat(day) for day in days]
        for days in partition.manifest()["chains"]
    ]
    partitions = {day: workdir.partition(KIND, day) for chain in chains for day in chain}
    for needed in (partitions[day] for day in sorted(partitions)):
        if not needed.exists():
            raise InputError(
                f"{needed.path} is gone, but the histories of {partition.day} need all since "
                f"{min(partitions)}: put it back, or build all days anew in a new folder"
            )
    count = len(chains)
    return [
        [Link(day, partitions[day].file(file_name(shard, count)), count) for day in chain]
        for shard, chain in enumerate(chains)
    ]


def resharded(chains: Sequence[Sequence[Link]], count: int) -> list[list[Link]]:
    """Returns the chains of so many shards, of those of any number of shards.

    A user is in the shard that the remainder of a hash says, so that those of a shard were in few
    of the others where one number divides the other.
    """
    if not chains or len(chains) == count:
        return [list(chain) for chain in chains]
    common = math.gcd(len(chains), count)
    return [
        [link for old, chain in enumerate(chains) if (old - shard) % common == 0 for link in chain]
        for shard in range(count)
    ]


def chains_entry(chains: Sequence[Sequence[Link]]) -> list[list[str]]:
    """Returns what the manifest of a day says of its shards' chains (``chains``)."""
    return [[link.day.isoformat() for link in chain] for chain in chains]


def find_users(
    workdir: Workdir, partition: Partition, user_ids: Sequence[str], schema: pa.Schema
) -> list[dict[str, list] | None]:
    """Returns the rows of users at the end of a day, None of a user who did nothing up to then.

    Args:
        workdir: Has the histories.
        partition: Those of a day.
        user_ids: No user twice.
        schema: What is read of the rows (``schema_of``); the histories must have it.

    Raises:
        InputError: If the day's histories were not published, or a file of a chain is gone.
    """
    chains = [[link.path for link in chain] for chain in chains_of(workdir, partition)]
    return user_files.find_rows(chains, user_ids, _file_schema(schema))


def own_items(row: Mapping[str, list]) -> list[OwnItem]:
    """Returns the own items of a row that has them, in the order in which examples have them.

    That is by count, then the latest, then by id.
    """
    items = map(OwnItem, *(row[name] for name, _ in OWN))
    return sorted(items, key=lambda item: (-item.count, -item.last, item.item_id.encode()))


def some_users(workdir: Workdir, partition: Partition, count: int) -> list[str]:
    """Returns at most so many users with a history at the end of a day, always the same ones."""
    user_ids: list[str] = []
    for chain in chains_of(workdir, partition):
        for piece in user_files.scan([link.path for link in chain]):
            user_ids += piece["user_id"][: count - len(user_ids)].to_pylist()
            if len(user_ids) == count:
                return user_ids
    return user_ids
