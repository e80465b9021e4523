"""A catalogue's embeddings in shards: how one is made, wherever.

A shard is some of the rows that were chosen from one row group of the catalogue; see
``embedding_files`` for its file. The same rows, tower and batch size make the same bytes.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import RowGroup, read_row_group
from twotower_tf.indexing.candidates.embedding_files import embedding_table
from twotower_tf.indexing.candidates.item_versions import item_versions
from twotower_tf.models.inference import TowerInference, finite_rows
from twotower_tf.storage import checksum, open_input, write_json
from twotower_tf.storage.whole_files import whole_file

_MOST_BROKEN_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard to make.

    Attributes:
        file: The name of its file.
        group: The row group of the catalogue.
        rows_path: The positions in it that were chosen, int32, as NumPy stores them.
    """

    file: str
    group: RowGroup
    rows_path: str


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """What the making of all shards has in common.

    Attributes:
        config: The deployment.
        folder: Where the files go.
        version: What stands in the column ``version``.
    """

    config: Config
    folder: str
    version: int


def versions_path(plan: ShardPlan, file: str) -> str:
    """Returns where the versions of a shard's items are (``item_versions``), as NumPy stores them.

    They are made when the items are embedded, since then their features are there.
    """
    return os.path.join(plan.folder, f"{file}.versions.npy")


def make_shard(
    plan: ShardPlan, shard: Shard, tower: TowerInference, advance: Callable[[int], None]
) -> None:
    """Embeds a shard; writes its file, the versions of its items, and at last ``<file>.json``.

    That says of the shard: ``file``, ``records``, ``sha256``; ``broken``, how many items were left
    out since their vectors are not finite, and ``first_broken``, ids of some of them.

    Args:
        plan: See there.
        shard: Which.
        tower: The candidate tower.
        advance: Told how many items were embedded, from time to time.
    """
    path = os.path.join(plan.folder, shard.file)
    with open_input(shard.rows_path) as file:
        rows = np.load(file)
    items = read_row_group(shard.group, rows, plan.config)
    parts = []
    for part in tower.embed_items(items, plan.config.embedding.batch_size):
        parts.append(part)
        advance(len(part))
    embeddings = np.concatenate(parts)
    finite = finite_rows(embeddings)
    broken = items.item_ids[~finite].tolist()
    table = embedding_table(items.item_ids[finite], embeddings[finite], plan.version)
    # A worker that hangs may write the same shard as the one that took its place.
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)
    with whole_file(versions_path(plan, shard.file)) as temporary, open(temporary, "wb") as file:
        np.save(file, item_versions(items)[finite])
    write_json(
        f"{path}.json",
        {
            "file": shard.file,
            "records": len(table),
            "sha256": checksum(path),
            "broken": len(broken),
            "first_broken": broken[:_MOST_BROKEN_NAMED],
        },
    )
