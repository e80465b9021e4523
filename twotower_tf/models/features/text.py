"""Text: its words and n-grams of words."""

import tensorflow as tf

from twotower_tf.graph.normal_form import nfc
from twotower_tf.graph.ragged import as_ragged
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures

# All but letters, the marks that belong to them, and digits.
_BETWEEN_WORDS = r"[^\pL\pM\pN]+"
# Scripts that put no spaces between words; the long vowel of kana is of no script.
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\x{30fc}]"
)
# What is cut out as a token of its own, by ``tokens``: a character with its marks.
_ALONE = {"words": None, "characters": r"([\pL\pM\pN]\pM*)", "auto": rf"({_UNSPACED}\pM*)"}


class TextEncoder(FeatureEncoder):
    """Text, [batch]: the mean embedding of its lower-cased tokens and its n-grams of tokens.

    Tokens are words, or characters, or words but for scripts without spaces between them
    (``tokens``). Text is in NFC first, so that an accent is the same however it was written.

    Of a list of texts, [batch, (texts)], it is the mean over the tokens and n-grams of all of them,
    the summary of a search history (Covington et al. 2016, section 3.3); n-grams don't go from
    one text to the next.
    """

    def __init__(self, feature: str, table: EmbeddingTable, ngrams: int, tokens: str = "auto"):
        super().__init__(name=feature)
        self._feature, self._table, self._ngrams = feature, table, ngrams
        self._alone = _ALONE[tokens]

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(section.name, tables[section.table], section.ngrams, section.tokens)

    def rows(self, raw: RawFeatures) -> tf.RaggedTensor:
        texts = raw[self._feature]
        if texts.shape.rank == 1:
            return self._table.bags(self._grams(texts))
        lists = as_ragged(texts)
        return self._table.bags(lists.with_values(self._grams(lists.values)).merge_dims(1, 2))

    def embed(self, rows: tf.RaggedTensor) -> tf.Tensor:
        return self._table.combine(rows, "mean")

    def _grams(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens and n-grams of texts: [texts] to [texts, (grams)]."""
        lowered = nfc(tf.strings.lower(texts, encoding="utf-8"))
        if self._alone is not None:
            lowered = tf.strings.regex_replace(lowered, self._alone, r" \1 ")
        tokens = tf.strings.split(tf.strings.regex_replace(lowered, _BETWEEN_WORDS, " "))
        return tf.strings.ngrams(tokens, ngram_width=list(range(1, self._ngrams + 1)))
