"""What the users of held-out examples did before, of which the baseline ``item_knn`` recommends."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.examples.counts import NO_SEED_ITEM, seed_item_history
from twotower_tf.examples.schema import OWN


@dataclasses.dataclass(frozen=True)
class PastItems:
    """The items of Q queries.

    Attributes:
        item_ids: [n] str, one query's after the other's, each once for a query.
        starts: int64 [Q + 1], where each query's begin.
    """

    item_ids: list[str]
    starts: np.ndarray


def rows_of(lists: tf.RaggedTensor) -> list[list[bytes]]:
    """Returns the texts of ragged rows."""
    values, splits = lists.values.numpy().tolist(), lists.row_splits.numpy().tolist()
    return [values[start:end] for start, end in itertools.pairwise(splits)]


def past_items(config: Config, held_out: HeldOut) -> PastItems:
    """Returns what is known of each held-out example: the items before it, and its seed item.

    The items before it are those of the history that the model reads; where it reads none, the
    user's own items, if they are counted.
    """
    history = seed_item_history(config)
    known: list[list[str]] = []
    for batch, own in zip(held_out.batches, held_out.own, strict=True):
        lists = own.get(OWN[0]) if history is None else batch[history.name]
        if lists is None:
            known += [[]] * int(next(iter(batch.values())).shape[0])
        else:
            known += [[item_id.decode() for item_id in ids] for ids in rows_of(lists)]
    item_ids: list[str] = []
    starts = [0]
    for ids, seed_item in zip(known, held_out.seed_ids, strict=True):
        item_ids += [one for one in dict.fromkeys([*ids, seed_item]) if one != NO_SEED_ITEM]
        starts.append(len(item_ids))
    return PastItems(item_ids, np.array(starts, np.int64))
