"""Vocabularies of item ids that a file lists, held against the catalogue."""

import datetime

from absl import logging

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import distinct_ids, latest_catalogue
from twotower_tf.storage import Workdir
from twotower_tf.storage.id_lists import read_ids, unknown_ids


def warn_of_unknown_items(config: Config, workdir: Workdir, day: datetime.date) -> None:
    """Says how many ids of the listed items the catalogue lacks: their rows are never trained.

    Args:
        config: Has the tables.
        workdir: Has the catalogues.
        day: The latest catalogue that is not after it is asked.

    Raises:
        InputError: If a list can't be read.
    """
    own = config.source.items.columns.item_id
    of_items = {
        feature.table
        for feature in config.candidate.features
        if feature.column == own and getattr(feature, "table", None) is not None
    }
    for name in sorted(of_items):
        path = config.tables[name].vocabulary
        if isinstance(path, str):
            ids = read_ids(path, f"tables.{name}.vocabulary")
            there = set(distinct_ids(latest_catalogue(workdir, day)))
            known = [one in there for one in ids]
            what = f"tables.{name}.vocabulary: {path}"
            if said := unknown_ids(ids, known, what, "the catalogue"):
                logging.warning("%s", said)
