"""One id: its row of a table."""

import tensorflow as tf

from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures
from twotower_tf.models.features.items import ItemsEncoder


class IdEncoder(FeatureEncoder):
    """One id: its row of the table. A missing id (``""``) has a learnt row like any other."""

    def __init__(self, feature: str, table: EmbeddingTable):
        super().__init__(name=feature)
        self._feature, self._table = feature, table

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        if section.is_item:
            return ItemsEncoder.from_section(section, tables, seed)
        return cls(section.name, tables[section.table])

    def rows(self, raw: RawFeatures) -> tf.Tensor:
        return self._table.rows(raw[self._feature])

    def rows_of(self, prints: tf.Tensor) -> tf.Tensor:
        """Returns ``rows`` of ids by their fingerprints, int64 [n]."""
        return self._table.rows_of(prints)

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        return self._table.gather(rows)
