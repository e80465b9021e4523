"""What every kind of feature does: from raw values to vectors, inside the TensorFlow graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from twotower_tf.config.features import BaseFeature
from twotower_tf.models.embeddings import EmbeddingTable

# A batch of a tower's raw features by name, as ``examples.schema`` describes them.
RawFeatures = Mapping[str, tf.Tensor | tf.RaggedTensor]


class FeatureEncoder(tf.keras.layers.Layer):
    """Maps a tower's raw features to float32 [batch, width].

    It takes those that its section of the configuration names (``BaseFeature.raw_features``).
    Lists come ragged (from TFRecords) or padded with ``""`` (from serving).

    It does so in two steps: ``rows`` turns what came, mostly text, into numbers that need no
    weights, ``embed`` turns those into vectors. Of the items that a query names only the ``rows``
    are kept in the graph (``models.item_features``). A kind that gives ``call`` alone works too,
    but not as a feature of items that a query encodes (``encode: item``), nor of items with
    ``self_supervised``.

    Attributes:
        name: The feature's.
    """

    @classmethod
    def from_section(
        cls, section: BaseFeature, tables: Mapping[str, EmbeddingTable], seed: int
    ) -> "FeatureEncoder":
        """Builds the encoder that a section describes.

        Args:
            section: Of the kind that the encoder is registered for.
            tables: The shared embedding tables, by name.
            seed: Of the initial values of weights of its own.
        """
        raise NotImplementedError

    @property
    def has_statistics(self) -> bool:
        """Whether ``adapt`` has something to set, before the first step."""
        return False

    def adapt(self, values: np.ndarray) -> None:
        """Sets the statistics from a sample of the feature's values, float [n], n >= 1."""

    def rows(self, raw: RawFeatures) -> Any:
        """Returns what ``embed`` takes: a tensor, dense or ragged, or a nest, [batch, ...]."""
        raise NotImplementedError(f"features of {type(self).__name__} can't be kept as rows")

    def embed(self, rows: Any) -> tf.Tensor:
        """Returns float32 [batch, width] of what ``rows`` returned."""
        raise NotImplementedError

    def call(self, raw: RawFeatures) -> tf.Tensor:
        """Returns float32 [batch, width]."""
        return self.embed(self.rows(raw))
