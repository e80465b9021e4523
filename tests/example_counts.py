"""Writes the counts of a day's training examples, as a build would."""

import datetime
from collections.abc import Sequence

import pyarrow as pa

from twotower_tf.examples import counts
from twotower_tf.storage import Workdir


def table_of(seed_ids: Sequence[str], item_ids: Sequence[str]) -> pa.Table:
    """Returns the counts of pairs of some examples, ``""`` where one has no seed."""
    ids = (pa.array(list(ids), pa.string()) for ids in (seed_ids, item_ids))
    return counts.of_examples(*ids)


def write_counts(
    workdir: Workdir, day: datetime.date, seed_ids: Sequence[str], item_ids: Sequence[str]
) -> None:
    """Writes the counts of examples."""
    with workdir.partition(counts.KIND, day).write({}) as folder:
        counts.write_day(folder, table_of(seed_ids, item_ids))
