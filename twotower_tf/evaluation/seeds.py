"""The seed items of held-out examples, where a release never recommends them."""

import numpy as np

from twotower_tf.config import Config
from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.examples.schema import excluded_seed
from twotower_tf.indexing.ranking import Removed


def seeds_of(config: Config, held_out: HeldOut, item_ids: list[str]) -> Removed | None:
    """Returns what ``index.exclude_seed`` takes out of the rankings; None without it.

    Args:
        config: Says whether seeds are excluded, and which feature has them.
        held_out: The Q examples.
        item_ids: The catalogue's N ids.
    """
    name = excluded_seed(config)
    if name is None:
        return None
    positions = {item_id.encode(): row for row, item_id in enumerate(item_ids)}
    seeds = [seed for batch in held_out.batches for seed in batch[name].numpy().tolist()]
    items = np.array([positions.get(seed, -1) for seed in seeds], np.int64)
    queries = np.flatnonzero(items >= 0)
    return Removed(queries, items[queries])
