"""A catalogue's embeddings in shards: how one is made, wherever.

A shard is some of the rows that were chosen from one row group of the catalogue. The same rows,
tower and batch size make the same bits.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.items.catalogue_reader import RowGroup, read_row_group, row_groups
from twotower_tf.indexing.candidates.embedding_files import read_file, write_embeddings
from twotower_tf.indexing.candidates.item_hashes import item_hashes
from twotower_tf.models.inference import TowerInference
from twotower_tf.storage import Partition, exists, open_input
from twotower_tf.storage.whole_files import whole_file

# Of a shard: some seconds of work, some dozens of megabytes.
_MOST_ROWS = 65_536


class EmbeddedShard(NamedTuple):
    """The n items of a shard: ids [n] (str), vectors float32 [n, d], ``item_hashes`` [n]."""

    item_ids: np.ndarray
    embeddings: np.ndarray
    hashes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard to make.

    Attributes:
        file: The name of its file.
        group: The row group of the catalogue.
        rows: The positions in it that were chosen, int32, ascending; or the path of a file with
            them, as NumPy stores it, for workers elsewhere.
    """

    file: str
    group: RowGroup
    rows: np.ndarray | str


def shards_of(catalogue: Partition, rows: np.ndarray) -> list[Shard]:
    """Returns the shards of some rows of a catalogue, ascending, in their order."""
    pieces = []
    first = 0
    for group in row_groups(catalogue):
        start, stop = np.searchsorted(rows, [first, first + group.rows])
        for begin in range(start, stop, _MOST_ROWS):
            some = rows[begin : min(begin + _MOST_ROWS, stop)]
            pieces.append((group, (some - first).astype(np.int32)))
        first += group.rows
    return [
        Shard(f"embeddings-{number:05d}-of-{len(pieces):05d}.parquet", group, some)
        for number, (group, some) in enumerate(pieces)
    ]


def embed_shard(
    config: Config, shard: Shard, tower: TowerInference, advance: Callable[[int], None]
) -> EmbeddedShard:
    """Embeds a shard.

    Args:
        config: The deployment.
        shard: Which.
        tower: The candidate tower.
        advance: Told how many items were embedded, from time to time.
    """
    rows = shard.rows
    if isinstance(rows, str):
        with open_input(rows) as file:
            rows = np.load(file)
    items = read_row_group(shard.group, rows, config)
    parts = []
    for part in tower.embed_items(items, config.embedding.batch_size):
        parts.append(part)
        advance(len(part))
    return EmbeddedShard(items.item_ids, np.concatenate(parts), item_hashes(items))


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """Where the workers of a Beam job leave shards.

    Attributes:
        config: The deployment.
        folder: Where the files go.
    """

    config: Config
    folder: str

    def with_rows(self, shards: list[Shard]) -> list[Shard]:
        """Writes the rows of shards to files, and returns the shards that name these."""
        named = []
        for shard in shards:
            path = os.path.join(self.folder, f"{shard.file}.rows.npy")
            _save(path, shard.rows)
            named.append(dataclasses.replace(shard, rows=path))
        return named

    def write(self, shard: Shard, made: EmbeddedShard) -> None:
        """Writes what was made of a shard; the file with the vectors last."""
        # A worker that hangs may write the same shard as the one that took its place.
        _save(self._hashes(shard), made.hashes)
        write_embeddings(os.path.join(self.folder, shard.file), made.item_ids, made.embeddings, 0)

    def read(self, shard: Shard) -> EmbeddedShard:
        """Reads what ``write`` wrote.

        Raises:
            JobError: If no worker has.
        """
        path = os.path.join(self.folder, shard.file)
        if not exists(path):
            raise JobError(
                f"the Beam job ended without {shard.file}: do its workers see {self.folder}?"
            )
        with open_input(self._hashes(shard)) as file:
            hashes = np.load(file)
        return EmbeddedShard(*read_file(path, self.config.candidate.layers[-1]), hashes)

    def _hashes(self, shard: Shard) -> str:
        return os.path.join(self.folder, f"{shard.file}.versions.npy")


def _save(path: str, values: np.ndarray) -> None:
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, values)
