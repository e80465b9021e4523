"""Embedding inference: the vectors of a day's catalogue, by Beam or in this process.

The second stage of the index pipeline (Yi et al. 2019, section 5). All items that there are on the
day are embedded, once by a model: evaluation ranks all of them, the index takes those that were
selected, and ``embeddings/dt=YYYY-MM-DD/``, which a vector database loads too, holds these.
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
from twotower_tf.examples.items.catalogue_reader import current_rows, latest_catalogue
from twotower_tf.indexing.candidates.embedding_files import KIND, write_embeddings
from twotower_tf.indexing.candidates.embedding_shards import (
    EmbeddedShard,
    ShardPlan,
    embed_shard,
    shards_of,
)
from twotower_tf.indexing.candidates.selection import Selected
from twotower_tf.models.inference import TowerInference, finite_rows, report_broken
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.progress import progress
from twotower_tf.storage import Partition, Workdir, checksum, filled_on_disk, scratch


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Items of a catalogue with their vectors by one model.

    Attributes:
        catalogue: What they are of.
        rows: [N] int64, their positions in the catalogue's rows, ascending.
        item_ids: [N] objects (str).
        embeddings: float32 [N, d]; not all need be finite.
        hashes: uint64 [N], what ``item_hashes`` says of each.
    """

    catalogue: Partition
    rows: np.ndarray
    item_ids: np.ndarray
    embeddings: np.ndarray
    hashes: np.ndarray

    def take(self, places: np.ndarray) -> "Embedded":
        """Returns some of the items, by their places among these."""
        return Embedded(
            self.catalogue,
            self.rows[places],
            self.item_ids[places],
            self.embeddings[places],
            self.hashes[places],
        )


class CatalogueEmbedder:
    """Embeds the catalogues of days by a model, each once as long as the model stays as it is.

    With options for Beam, catalogues of ``embedding.beam_from_items`` items or more are embedded
    by a Beam job, else all are in this process. The vectors are the same to the bit, on processors
    of the same kind: the same rows are in the same batches.

    Args:
        config: The deployment.
        workdir: Has the catalogues.
        model: Its candidate tower is used as it is at each call.
        beam_args: Beam's own flags.
    """

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        model: TwoTowerModel,
        beam_args: Sequence[str] = (),
    ):
        self._config = config
        self._workdir = workdir
        self._model = model
        self._beam_args = beam_args
        self._tower = TowerInference(model.candidate_tower, config, "candidate")
        self._last: tuple[tuple[datetime.date, int], Embedded] | None = None

    def embed(self, day: datetime.date) -> Embedded:
        """Returns all items of the latest catalogue not after a day that are published by its end.

        Raises:
            InputError: If there is no catalogue up to the day.
            JobError: If the Beam job did not make every shard.
        """
        as_it_is = (day, int(self._model.optimizer.iterations))
        if self._last is None or self._last[0] != as_it_is:
            self.forget()
            self._last = (as_it_is, self._embed(day))
        return self._last[1]

    def forget(self) -> None:
        """Lets go of what was embedded last: nobody will ask for it again."""
        self._last = None

    def _embed(self, day: datetime.date) -> Embedded:
        catalogue = latest_catalogue(self._workdir, day)
        rows = current_rows(catalogue, self._config, day)
        if self._beam_args and len(rows) >= self._config.embedding.beam_from_items:
            with scratch(self._workdir.path("embed_catalogue")) as folder:
                return embed_by_beam(
                    self._config, self._tower, catalogue, rows, folder, self._beam_args
                )
        return embed_here(self._config, self._tower, catalogue, rows)


def embed_here(
    config: Config, tower: TowerInference, catalogue: Partition, rows: np.ndarray
) -> Embedded:
    """Embeds some rows of a catalogue, ascending, in this process."""
    parts = []
    with progress("embedding the catalogue", len(rows), "items") as shown:
        for shard in shards_of(catalogue, rows):
            parts.append(embed_shard(config, shard, tower, shown.advance))
    return _together(config, catalogue, rows, parts)


def embed_by_beam(
    config: Config,
    tower: TowerInference,
    catalogue: Partition,
    rows: np.ndarray,
    folder: str,
    beam_args: Sequence[str],
) -> Embedded:
    """Embeds some rows of a catalogue, ascending, by a Beam job.

    Args:
        config: The deployment.
        tower: The candidate tower.
        catalogue: Has the rows.
        rows: Their positions.
        folder: An empty one, which the workers can read and write.
        beam_args: Beam's own flags.

    Raises:
        JobError: If the job did not make every shard.
    """
    beam_runs.load_beam()
    from twotower_tf.indexing.candidates.embedding_job import run_embedding_job

    plan, shards = ShardPlan(config, folder), shards_of(catalogue, rows)
    logging.info("embedding the catalogue by Beam, shards: %d", len(shards))
    # A name of its own: a worker that outlives a build must not take it for one it has loaded.
    tower_folder = os.path.join(folder, f"tower-{uuid.uuid4().hex}")
    with filled_on_disk(tower_folder) as local:
        tower.save(local)
    run_embedding_job(plan, plan.with_rows(shards), tower_folder, beam_args)
    return _together(config, catalogue, rows, [plan.read(shard) for shard in shards])


def publish_embeddings(
    config: Config, workdir: Workdir, embedded: Embedded, selected: Selected, day: datetime.date
) -> tuple[Partition, Embedded]:
    """Publishes the vectors of the selected items as the day's partition.

    Args:
        config: The deployment.
        workdir: Where the partition goes.
        embedded: All items of the catalogue.
        selected: Which of them.
        day: The day the model was trained up to; YYYYMMDD of it is the ``version``, with which
            the versions of the releases of this model begin.

    Returns:
        The partition, and the items in it: those whose vectors are not finite are left out.

    Raises:
        JobError: If more than ``selection.max_broken_share`` of the vectors are not finite, or no
            item is left.
    """
    chosen = embedded.take(np.searchsorted(embedded.rows, selected.rows))
    finite = finite_rows(chosen.embeddings)
    broken = chosen.item_ids[~finite].tolist()
    report_broken(broken, len(broken), len(finite), config.selection.max_broken_share)
    shards = shards_of(selected.catalogue, selected.rows)
    manifest: dict = {
        "version": int(f"{day:%Y%m%d}"),
        "dim": config.candidate.dimension,
        "catalogue": selected.catalogue.day.isoformat(),
        "configuration": model_fingerprint(config),
        "broken": len(broken),
        "shards": [],
    }
    partition = workdir.partition(KIND, day)
    with partition.write(manifest) as folder:
        first = 0
        for shard in shards:
            kept = np.arange(first, first + len(shard.rows))
            kept = kept[finite[kept]]
            first += len(shard.rows)
            path = os.path.join(folder, shard.file)
            vectors = chosen.embeddings[kept]
            write_embeddings(path, chosen.item_ids[kept], vectors, manifest["version"])
            entry = {"file": shard.file, "records": len(kept), "sha256": checksum(path)}
            manifest["shards"].append(entry)
    return partition, chosen if finite.all() else chosen.take(np.flatnonzero(finite))


def _together(
    config: Config, catalogue: Partition, rows: np.ndarray, parts: list[EmbeddedShard]
) -> Embedded:
    nothing = EmbeddedShard(
        np.empty(0, object),
        np.empty((0, config.candidate.dimension), np.float32),
        np.empty(0, np.uint64),
    )
    columns = zip(*(parts or [nothing]), strict=True)
    return Embedded(catalogue, rows, *map(np.concatenate, columns))
