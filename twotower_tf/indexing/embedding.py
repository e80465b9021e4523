"""Embedding inference: the candidate tower over all candidates, batch by batch."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from twotower_tf.errors import JobError
from twotower_tf.indexing.candidates import Candidates, Lists
from twotower_tf.progress import progress

Tower = Callable[[Mapping[str, tf.Tensor | tf.RaggedTensor]], tf.Tensor]


def embed_items(candidate_tower: Tower, candidates: Candidates, batch_size: int) -> np.ndarray:
    """Returns the candidates' embeddings, float32 [N, d], in their order.

    Args:
        candidate_tower: Maps raw features by name to vectors [batch, d].
        candidates: The N items.
        batch_size: How many items the tower gets at a time.

    Raises:
        JobError: If an embedding has a number that is not finite; names the first such item.
    """
    specs = {name: _spec(values) for name, values in candidates.features.items()}
    # One signature for all batches: the smaller last one must not trace the tower again.
    tower = tf.function(candidate_tower).get_concrete_function(specs)
    parts = []
    with progress("embedding the catalogue", len(candidates), "items") as shown:
        for start in range(0, len(candidates), batch_size):
            rows = slice(start, min(start + batch_size, len(candidates)))
            batch = {name: _tensor(values[rows]) for name, values in candidates.features.items()}
            part = tower(batch).numpy()
            _check_finite(part, candidates.item_ids[rows])
            parts.append(part)
            shown.advance(len(part))
    return np.concatenate(parts).astype(np.float32, copy=False)


def _check_finite(embeddings: np.ndarray, item_ids: np.ndarray) -> None:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        item_id = item_ids[np.flatnonzero(~finite)[0]]
        raise JobError(
            f"the embedding of item '{item_id}' is not finite: look for a missing or enormous "
            "number in its catalogue row, or train with a lower optimizer.learning_rate"
        )


def _dtype(values: np.ndarray) -> tf.DType:
    return tf.float32 if values.dtype == np.float32 else tf.string


def _spec(values: np.ndarray | Lists) -> tf.TypeSpec:
    if isinstance(values, Lists):
        return tf.RaggedTensorSpec([None, None], _dtype(values.values), row_splits_dtype=tf.int64)
    return tf.TensorSpec([None], _dtype(values))


def _tensor(values: np.ndarray | Lists) -> tf.Tensor | tf.RaggedTensor:
    if isinstance(values, Lists):
        return tf.RaggedTensor.from_row_splits(_tensor(values.values), values.row_splits)
    return tf.constant(values, _dtype(values))
