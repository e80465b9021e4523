"""Whether the users of held-out examples had acted on the item before.

The user's own items say so, which are those of all the past (``examples.own_length``), strictly
before the example. Of a user who acted on more items than these hold, some are forgotten: whether
an item that is not among them is new can't be told then.
"""

import dataclasses

import numpy as np

from twotower_tf.config import Config
from twotower_tf.evaluation.day_metrics import REPEATS
from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.evaluation.past_items import rows_of
from twotower_tf.examples.schema import OWN, has_own_items
from twotower_tf.indexing.ranking import Removed


@dataclasses.dataclass(frozen=True)
class Repeats:
    """What is known of Q held-out examples.

    Attributes:
        kinds: int64 [Q], places in ``day_metrics.REPEATS``.
        seen: The items that the user of each acted on before.
    """

    kinds: np.ndarray
    seen: Removed

    def of_kind(self, kind: str) -> np.ndarray:
        """Returns the examples of a kind, int64 [n], ascending."""
        return np.flatnonzero(self.kinds == REPEATS.index(kind))


def asked_repeats(config: Config) -> str | None:
    """Returns ``evaluation.repeats``, or what stands for it; None: it can't be told."""
    return config.evaluation.repeats or ("all" if has_own_items(config) else None)


def repeats_of(held_out: HeldOut, item_ids: list[str], own_length: int) -> Repeats:
    """Returns what the own items of held-out examples tell of them.

    Args:
        held_out: Has the own items.
        item_ids: The catalogue's N ids.
        own_length: As many items as own items hold at most.
    """
    positions = {item_id.encode(): row for row, item_id in enumerate(item_ids)}
    lists = (ids for batch in held_out.own for ids in rows_of(batch[OWN[0]]))
    kinds, queries, items = [], [], []
    for query, (ids, wanted) in enumerate(zip(lists, held_out.item_ids, strict=True)):
        found = [positions[item_id] for item_id in ids if item_id in positions]
        queries += [query] * len(found)
        items += found
        if wanted.encode() in ids:
            kinds.append(REPEATS.index("repeat"))
        else:
            kinds.append(REPEATS.index("new" if len(ids) < own_length else "unknown"))
    seen = Removed(np.array(queries, np.int64), np.array(items, np.int64))
    return Repeats(np.array(kinds, np.int64), seen)
