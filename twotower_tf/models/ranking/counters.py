"""What a user did with things like an item before: counted in the graph, from the lists themselves.

Training and serving count alike, for both have the same lists. *Keys* are what things are compared
by: of an item its id's fingerprint, of a channel its own.
"""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf


class Past(NamedTuple):
    """Events of users before now, each user's in a row that is padded at its end.

    Attributes:
        keys: int [B, L], by what is compared (``item``, or an item feature).
        counts: bool [B, L] by the same names: whether an event's key is one; not of padding.
        days: float32 [B, L], how long ago each event was.
        amount: float32 [B, L], how much each came to, such as the seconds watched; None: not known.
    """

    keys: Mapping[str, tf.Tensor]
    counts: Mapping[str, tf.Tensor]
    days: tf.Tensor
    amount: tf.Tensor | None = None


def counters(candidates: Mapping[str, tf.Tensor], past: Past) -> dict[str, tf.Tensor]:
    """Counts, for each candidate and each of its keys, the events with the same key.

    Args:
        candidates: int [B, C] by the names of ``past.keys``.
        past: Of the B users that the candidates are for.

    Returns:
        float32 [B, C] each, for every name:

        - ``<name>_count``: how many there are
        - ``<name>_days``: days since the last one; infinite where there is none
        - ``<name>_amount``: the sum of their amounts, where these are known
    """
    made = {}
    for name, keys in candidates.items():
        same = keys[:, :, tf.newaxis] == past.keys[name][:, tf.newaxis, :]
        same &= past.counts[name][:, tf.newaxis, :]
        as_number = tf.cast(same, tf.float32)
        made[f"{name}_count"] = tf.reduce_sum(as_number, axis=-1)
        made[f"{name}_days"] = _least(past.days[:, tf.newaxis, :], same)
        if past.amount is not None:
            made[f"{name}_amount"] = tf.reduce_sum(as_number * past.amount[:, tf.newaxis], axis=-1)
    return made


def days_since(days: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Returns how long ago each user's last event was, float32 [B]; infinite where there is none.

    Args:
        days: float32 [B, L].
        counts: bool [B, L], which of them are events.
    """
    return _least(days, counts)


def _least(days: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
    # Of no columns the minimum is the largest float, not infinity: a column of its own is added.
    chosen = tf.where(which, days, float("inf"))
    never = tf.fill(tf.concat([tf.shape(chosen)[:-1], [1]], axis=0), float("inf"))
    return tf.reduce_min(tf.concat([chosen, never], axis=-1), axis=-1)
