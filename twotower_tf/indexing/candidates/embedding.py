"""Embedding inference: the selected items' vectors, by Beam or in this process, as a partition.

The second stage of the index pipeline (Yi et al. 2019, section 5). ``embeddings/dt=YYYY-MM-DD/``
is also what a vector database loads.
"""

import dataclasses
import datetime
import os
import uuid
from collections.abc import Sequence

import numpy as np
from absl import logging

from twotower_tf import beam_runs
from twotower_tf.config import Config
from twotower_tf.config_loader import model_fingerprint
from twotower_tf.errors import JobError
from twotower_tf.examples.items.catalogue_reader import row_groups
from twotower_tf.indexing.candidates.embedding_files import KIND
from twotower_tf.indexing.candidates.embedding_shards import (
    Shard,
    ShardPlan,
    make_shard,
    versions_path,
)
from twotower_tf.indexing.candidates.selection import Selected
from twotower_tf.models.inference import TowerInference, report_broken
from twotower_tf.progress import progress
from twotower_tf.storage import Partition, Workdir, filled_on_disk, move_all, open_input, read_json
from twotower_tf.storage.whole_files import whole_file

# Of a shard: some seconds of work, some dozens of megabytes.
_MOST_ROWS = 65_536


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The items that have vectors.

    Attributes:
        partition: Their ids and vectors, ``embeddings`` of a day.
        versions: uint64 [N], in the order of its rows, what ``item_versions`` says of each.
    """

    partition: Partition
    versions: np.ndarray


def embed_candidates(
    config: Config,
    workdir: Workdir,
    tower: TowerInference,
    selected: Selected,
    day: datetime.date,
    scratch: str,
    beam_args: Sequence[str] = (),
) -> Embedded:
    """Embeds the selected items and publishes the vectors as the day's partition.

    With options for Beam, catalogues of ``embedding.beam_from_items`` items or more are embedded
    by a Beam job, else all are in this process. The files are the same to the byte, on
    processors of the same kind.

    Args:
        config: The deployment.
        workdir: Where the partition goes.
        tower: The candidate tower.
        selected: The items.
        day: The day the model was trained up to; YYYYMMDD of it is the ``version``, with which
            the versions of the releases of this model begin.
        scratch: An empty folder, which the workers can read and write.
        beam_args: Beam's own flags.

    Returns:
        The items; those whose vectors are not finite are left out.

    Raises:
        JobError: If more than ``selection.max_broken_share`` of the vectors are not finite, or no
            item is left; or if the Beam job did not make every shard.
    """
    plan = ShardPlan(config, scratch, int(f"{day:%Y%m%d}"))
    shards = _shards(selected, scratch)
    if beam_args and len(selected.rows) >= config.embedding.beam_from_items:
        _run_by_beam(plan, shards, tower, beam_args)
    else:
        with progress("embedding the catalogue", len(selected.rows), "items") as shown:
            for shard in shards:
                make_shard(plan, shard, tower, shown.advance)
    made = [_report(plan, shard) for shard in shards]
    broken = sum(one["broken"] for one in made)
    first_broken = [item_id for one in made for item_id in one["first_broken"]]
    report_broken(first_broken, broken, len(selected.rows), config.selection.max_broken_share)
    partition = workdir.partition(KIND, day)
    _publish(plan, partition, selected, made)
    return Embedded(partition, _versions(plan, shards))


def _shards(selected: Selected, scratch: str) -> list[Shard]:
    """Returns the shards of the selected rows, in their order; writes which rows each has."""
    pieces = []
    first = 0
    for group in row_groups(selected.catalogue):
        start, stop = np.searchsorted(selected.rows, [first, first + group.rows])
        for begin in range(start, stop, _MOST_ROWS):
            rows = selected.rows[begin : min(begin + _MOST_ROWS, stop)]
            pieces.append((group, rows - first))
        first += group.rows
    shards = []
    for number, (group, rows) in enumerate(pieces):
        path = os.path.join(scratch, f"rows-{number:05d}.npy")
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            np.save(file, rows.astype(np.int32))
        name = f"embeddings-{number:05d}-of-{len(pieces):05d}.parquet"
        shards.append(Shard(name, group, path))
    return shards


def _run_by_beam(
    plan: ShardPlan, shards: list[Shard], tower: TowerInference, beam_args: Sequence[str]
) -> None:
    beam_runs.load_beam()
    from twotower_tf.indexing.candidates.embedding_job import run_embedding_job

    logging.info("embedding the catalogue by Beam, shards: %d", len(shards))
    # A name of its own: a worker that outlives a build must not take it for one it has loaded.
    folder = os.path.join(plan.folder, f"tower-{uuid.uuid4().hex}")
    with filled_on_disk(folder) as local:
        tower.save(local)
    run_embedding_job(plan, shards, folder, beam_args)


def _report(plan: ShardPlan, shard: Shard) -> dict:
    report = read_json(os.path.join(plan.folder, f"{shard.file}.json"))
    if report is None:
        raise JobError(
            f"the Beam job ended without {shard.file}: do its workers see {plan.folder}?"
        )
    return report


def _versions(plan: ShardPlan, shards: list[Shard]) -> np.ndarray:
    parts = []
    for shard in shards:
        with open_input(versions_path(plan, shard.file)) as file:
            parts.append(np.load(file))
    return np.concatenate(parts)


def _publish(plan: ShardPlan, partition: Partition, selected: Selected, made: list) -> None:
    manifest = {
        "version": plan.version,
        "dim": plan.config.candidate.dimension,
        "catalogue": selected.catalogue.day.isoformat(),
        "configuration": model_fingerprint(plan.config),
        "broken": sum(one["broken"] for one in made),
        "shards": [{key: one[key] for key in ("file", "records", "sha256")} for one in made],
    }
    with partition.write(manifest) as folder:
        names = [shard["file"] for shard in manifest["shards"]]
        move_all({os.path.join(plan.folder, name): os.path.join(folder, name) for name in names})
