"""Embeds many rows of raw features in batches, with one traced graph per tower."""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.schema import RawFeature, raw_features


class TowerInference:
    """Computes embeddings of raw features outside of training.

    Args:
        tower: The query or the candidate tower; its variables are used as they are at the call.
        config: The configuration it was built from.
        side: ``query`` or ``candidate``.
    """

    def __init__(self, tower: tf.keras.layers.Layer, config: Config, side: str):
        raws = raw_features(config, side)
        self._names = [raw.name for raw in raws]
        self._embed = tf.function(
            lambda raw: tower(raw), input_signature=[{raw.name: _spec(raw) for raw in raws}]
        )

    def __call__(self, raw: Mapping[str, tf.Tensor | tf.RaggedTensor]) -> np.ndarray:
        """Returns float32 [batch, d] of one batch; lists ragged."""
        return self._embed({name: raw[name] for name in self._names}).numpy()

    def embed_batches(self, batches: Iterable[Mapping]) -> np.ndarray:
        """Returns float32 [rows, d] of batches, in their order; there must be at least one."""
        return np.concatenate([self(batch) for batch in batches])

    def embed_columns(self, columns: Mapping, rows: int, batch_size: int) -> np.ndarray:
        """Returns float32 [rows, d] of features given as whole columns (arrays, lists ragged).

        Raises:
            JobError: If an embedding is not finite; names the row.
        """
        starts = range(0, max(rows, 1), batch_size)
        embeddings = self.embed_batches(
            {name: values[start : start + batch_size] for name, values in columns.items()}
            for start in starts
        )
        broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        if len(broken):
            raise JobError(f"the embedding of row {broken[0]} is not finite")
        return embeddings


def _spec(raw: RawFeature):
    dtype = tf.string if raw.dtype == "bytes" else tf.float32
    if raw.is_list:
        return tf.RaggedTensorSpec([None, None], dtype, ragged_rank=1)
    return tf.TensorSpec([None], dtype)
