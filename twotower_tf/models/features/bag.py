"""A list of ids, with or without weights."""

import tensorflow as tf

from twotower_tf.graph.ragged import as_ragged
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures
from twotower_tf.models.features.items import ItemsEncoder


class BagEncoder(FeatureEncoder):
    """A list of ids, with or without weights: their embeddings combined; empty gives zeros."""

    def __init__(self, feature: str, table: EmbeddingTable, combiner: str, weighted: bool):
        super().__init__(name=feature)
        self._feature, self._table, self._combiner = feature, table, combiner
        self._weights = f"{feature}_weights" if weighted else None

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        if section.is_item:
            return ItemsEncoder.from_section(section, tables, seed)
        return cls(section.name, tables[section.table], section.combiner, section.weighted)

    def rows(self, raw: RawFeatures) -> tuple[tf.RaggedTensor, ...]:
        bags = as_ragged(raw[self._feature])
        rows = self._table.bags(bags)
        if self._weights is None:
            return (rows,)
        weights = raw[self._weights]
        if not isinstance(weights, tf.RaggedTensor):
            weights = tf.RaggedTensor.from_tensor(weights, lengths=bags.row_lengths())
        return rows, weights

    def embed(self, rows: tuple[tf.RaggedTensor, ...]) -> tf.Tensor:
        bags, *weights = rows
        return self._table.combine(bags, self._combiner, *weights)
