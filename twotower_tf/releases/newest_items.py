"""The items that may be recommended now, which may be newer than the last day that was built."""

import datetime
import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from absl import logging

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.examples.building.snapshots import CATALOGUE, snapshots
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue_reader import (
    Catalogue,
    latest_catalogue,
    read_catalogue,
    read_columns,
)
from twotower_tf.indexing.candidates.selection import select_candidates
from twotower_tf.indexing.candidates.withdrawals import read_withdrawals
from twotower_tf.storage import Partition, Workdir
from twotower_tf.storage.id_lists import unknown_ids


def newest_items(
    config: Config,
    workdir: Workdir,
    source: str | None,
    day: datetime.date,
    named: Sequence[str] = (),
) -> Catalogue:
    """Returns the items that the selection lets in, of the newest catalogue not after a day.

    The work directory is not given a catalogue by it: those belong to days that were built.

    Args:
        config: Says where the item files are, which features there are, and the rules.
        workdir: Has the catalogues and the examples of the days that were built.
        source: The folder of the source files; None: the work directory's newest catalogue.
        day: Items published after it are left out.
        named: Ids of items that were named as withdrawn; there is a warning if the catalogue has
            no such item.

    Raises:
        InputError: If there is no catalogue, or too many of its records can't be used.
        JobError: If no item is left, or another process is reading it for the same work directory.
    """
    if source is None:
        return _selected(config, workdir, day, latest_catalogue(workdir, day), named)
    with storage.scratch(workdir.path("refresh_index")) as folder:
        return _selected(config, workdir, day, _stage(config, source, day, folder), named)


def _stage(config: Config, source: str, day: datetime.date, folder: str) -> Partition:
    """Parses the newest item files into a catalogue partition below a folder."""
    staged = Workdir(folder)
    parsed = os.path.join(folder, "parsed")
    (snapshot,) = snapshots(CATALOGUE, config, staged, source, [day], parsed)
    partition = staged.partition(snapshot.kind, snapshot.day)
    with partition.write(snapshot.manifest) as target:
        for shard in snapshot.manifest["shards"]:
            name = shard["file"]
            storage.move(os.path.join(snapshot.folder, name), os.path.join(target, name))
    return partition


def _selected(
    config: Config,
    workdir: Workdir,
    day: datetime.date,
    partition: Partition,
    named: Sequence[str],
) -> Catalogue:
    _warn_of_unknown(named, partition)
    withdrawn = list(read_withdrawals(workdir))
    selected = select_candidates(config, Counts(workdir), day, partition, withdrawn)
    return read_catalogue(partition, config).take(selected.rows)


def _warn_of_unknown(named: Sequence[str], catalogue: Partition) -> None:
    if not named:
        return
    there = read_columns(catalogue, ["item_id"])["item_id"].combine_chunks()
    known = pc.is_in(pa.array(named, pa.string()), there).to_pylist()
    if said := unknown_ids(named, known, "withdrawn items", "the catalogue"):
        logging.warning("%s", said)
