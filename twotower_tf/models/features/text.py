"""Text: its words and n-grams of words."""

import tensorflow as tf

from twotower_tf.graph.ragged import as_ragged
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures


class TextEncoder(FeatureEncoder):
    """Text, [batch]: the mean embedding of its lower-cased words and its n-grams of words.

    Of a list of texts, [batch, (texts)], it is the mean over the words and n-grams of all of them,
    the summary of a search history (Covington et al. 2016, section 3.3); n-grams don't go from
    one text to the next.
    """

    def __init__(self, feature: str, table: EmbeddingTable, ngrams: int):
        super().__init__(name=feature)
        self._feature, self._table, self._ngrams = feature, table, ngrams

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(section.name, tables[section.table], section.ngrams)

    def rows(self, raw: RawFeatures) -> tf.RaggedTensor:
        texts = raw[self._feature]
        if texts.shape.rank == 1:
            return self._table.bags(self._grams(texts))
        lists = as_ragged(texts)
        return self._table.bags(lists.with_values(self._grams(lists.values)).merge_dims(1, 2))

    def embed(self, rows: tf.RaggedTensor) -> tf.Tensor:
        return self._table.combine(rows, "mean")

    def _grams(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words and n-grams of texts: [texts] to [texts, (grams)]."""
        lowered = tf.strings.lower(texts, encoding="utf-8")
        words = tf.strings.split(tf.strings.regex_replace(lowered, r"[^\pL\pN]+", " "))
        return tf.strings.ngrams(words, ngram_width=list(range(1, self._ngrams + 1)))
