"""One id: its row of a table."""

import tensorflow as tf

from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures


class IdEncoder(FeatureEncoder):
    """One id: its row of the table. A missing id (``""``) has a learnt row like any other."""

    def __init__(self, feature: str, table: EmbeddingTable):
        super().__init__(name=feature)
        self._feature, self._table = feature, table

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(section.name, tables[section.table])

    def call(self, raw: RawFeatures) -> tf.Tensor:
        return self._table(raw[self._feature])
