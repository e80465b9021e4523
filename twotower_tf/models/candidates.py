"""The candidates of a batch: its distinct items, on all replicas, and negatives drawn beside."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.replicas import gather_from_replicas, replica_count, rows_before
from twotower_tf.models.losses.batch_loss import WholeBatch


class RawCandidates(NamedTuple):
    """The distinct items of one replica's share of a batch, not embedded yet.

    Attributes:
        item_id: string [D], those of the examples first, each in order of first occurrence.
        features: The candidate tower's raw features by name, D rows each.
        positives: int32 [n] in [0, D), each example's item.
        in_batch: int32 scalar, how many of the D are some example's item.
    """

    item_id: tf.Tensor
    features: dict[str, tf.Tensor | tf.RaggedTensor]
    positives: tf.Tensor
    in_batch: tf.Tensor


class Candidates(NamedTuple):
    """The distinct items of a whole batch, embedded.

    Attributes:
        embeddings: [D, d].
        probabilities: [D] in (0, 1], of being in a batch; None if not estimated.
        positives: int32 [n] in [0, D), the item of each of this replica's examples.
        whole: The batch they are of.
    """

    embeddings: tf.Tensor
    probabilities: tf.Tensor | None
    positives: tf.Tensor
    whole: WholeBatch


def distinct_items(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The distinct items of a batch, in the order of their first occurrence.

    Gather the candidate features at `first` and run the candidate tower on those D rows only;
    the row of example i's item is then `positives[i]`.

    Args:
        ids: [B], the item id of every example; strings or integers.

    Returns:
        positives: int32 [B], the index of every example's item among the distinct ones.
        first: int32 [D], the position in the batch at which each distinct item first occurs.

    Raises:
        ValueError: If `ids` are not a vector.

    >>> import twotower_tf
    >>> positives, first = distinct_items(tf.constant(["b", "a", "b", "c"]))
    >>> positives.numpy().tolist(), first.numpy().tolist()
    ([0, 1, 0, 2], [0, 1, 3])
    """
    ids = tf.convert_to_tensor(ids)
    if ids.shape.rank != 1:
        raise ValueError(f"ids must be a vector, one id an example, got shape {ids.shape}")
    distinct, positives = tf.unique(ids)
    positions = tf.range(tf.size(ids))
    return positives, tf.math.unsorted_segment_min(positions, positives, tf.size(distinct))


def raw_candidates(batch: Mapping, with_uniform: bool) -> RawCandidates:
    """The distinct items of a batch, and of its ``uniform_negatives`` if they are wanted.

    Args:
        batch: As `TwoTowerModel` takes it.
        with_uniform: Whether ``uniform_negatives`` are candidates too.
    """
    item_id, features = batch["item_id"], dict(batch["candidate"])
    examples = tf.size(item_id)
    if with_uniform:
        drawn = batch["uniform_negatives"]
        item_id = tf.concat([item_id, drawn["item_id"]], axis=0)
        features = {
            name: tf.concat([raw, drawn["candidate"][name]], axis=0)
            for name, raw in features.items()
        }
    items, first = distinct_items(fingerprint(item_id))
    return RawCandidates(
        tf.gather(item_id, first),
        {name: tf.gather(raw, first) for name, raw in features.items()},
        items[:examples],
        tf.reduce_sum(tf.cast(first < examples, tf.int32)),
    )


def of_all_replicas(
    raw: RawCandidates, embeddings: tf.Tensor, probabilities: tf.Tensor | None
) -> Candidates:
    """The candidates of the whole batch, of which each replica embedded those of its share.

    Each replica runs the candidate tower on its own distinct items only. The embeddings are
    gathered, so that every example has the negatives of all replicas; through them the gradients
    of all replicas flow back to where an item was embedded. An item that several replicas hold is
    one candidate: its first replica's embedding.

    Args:
        raw: This replica's candidates.
        embeddings: [their number, d].
        probabilities: [their number], or None.
    """
    own = WholeBatch.of(raw.positives, embeddings)
    if replica_count() == 1:
        return Candidates(embeddings, probabilities, raw.positives, own)
    places, first = distinct_items(gather_from_replicas(fingerprint(raw.item_id)))
    before = rows_before(tf.shape(embeddings)[0])
    counts = gather_from_replicas(own.counts)
    whole = WholeBatch(
        examples=tf.reduce_sum(counts),
        first_example=rows_before(own.examples),
        counts=tf.math.unsorted_segment_sum(counts, places, tf.size(first)),
    )
    if probabilities is not None:
        probabilities = tf.gather(gather_from_replicas(probabilities), first)
    return Candidates(
        tf.gather(gather_from_replicas(embeddings), first),
        probabilities,
        tf.gather(places, before + raw.positives),
        whole,
    )
