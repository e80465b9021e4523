"""Feature encoders, a class per kind: from raw values to vectors, inside the TensorFlow graph.

Every encoder maps the dictionary of a tower's raw features (``examples.schema``) to
float32 [batch, width]. Lists come ragged (from TFRecords) or padded with ``""`` (from serving).
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from twotower_tf.models.embeddings import EmbeddingTable

RawFeatures = Mapping[str, tf.Tensor | tf.RaggedTensor]

_QUANTILES = 101


def as_ragged(values: tf.Tensor | tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns a list feature as ragged strings; trailing ``""`` of padded rows are dropped.

    As ``tf.RaggedTensor.from_tensor`` does, with half the operations: each costs a microsecond of
    every request.
    """
    if isinstance(values, tf.RaggedTensor):
        return values
    places = tf.range(1, tf.shape(values, tf.int64)[1] + 1)
    last = tf.reduce_max(tf.where(values != "", places, 0), axis=1, keepdims=True)
    lengths = tf.maximum(last, 0)  # Without columns it is the least number there is.
    kept = tf.gather_nd(values, tf.where(places <= lengths))
    return tf.RaggedTensor.from_row_lengths(kept, lengths[:, 0], validate=False)


class IdEncoder(tf.keras.layers.Layer):
    """One id: its row of the table. A missing id (``""``) has a learnt row like any other."""

    def __init__(self, feature: str, table: EmbeddingTable):
        super().__init__(name=feature)
        self._feature, self._table = feature, table

    def call(self, raw: RawFeatures) -> tf.Tensor:
        return self._table(raw[self._feature])


class BagEncoder(tf.keras.layers.Layer):
    """A list of ids, with or without weights: their embeddings combined; empty gives zeros."""

    def __init__(self, feature: str, table: EmbeddingTable, combiner: str, weighted: bool):
        super().__init__(name=feature)
        self._feature, self._table, self._combiner = feature, table, combiner
        self._weights = f"{feature}_weights" if weighted else None

    def call(self, raw: RawFeatures) -> tf.Tensor:
        bags = as_ragged(raw[self._feature])
        if self._weights is None:
            return self._table.combine(bags, self._combiner)
        weights = raw[self._weights]
        if not isinstance(weights, tf.RaggedTensor):
            weights = tf.RaggedTensor.from_tensor(weights, lengths=bags.row_lengths())
        return self._table.combine(bags, self._combiner, weights)


class TextEncoder(tf.keras.layers.Layer):
    """Text, [batch]: the mean embedding of its lower-cased words and its n-grams of words.

    Of a list of texts, [batch, (texts)], it is the mean over the words and n-grams of all of them,
    the summary of a search history (Covington et al. 2016, section 3.3); n-grams don't go from
    one text to the next.
    """

    def __init__(self, feature: str, table: EmbeddingTable, ngrams: int):
        super().__init__(name=feature)
        self._feature, self._table, self._ngrams = feature, table, ngrams

    def call(self, raw: RawFeatures) -> tf.Tensor:
        texts = raw[self._feature]
        if texts.shape.rank == 1:
            return self._table.combine(self._grams(texts), "mean")
        lists = as_ragged(texts)
        grams = lists.with_values(self._grams(lists.values)).merge_dims(1, 2)
        return self._table.combine(grams, "mean")

    def _grams(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words and n-grams of texts: [texts] to [texts, (grams)]."""
        lowered = tf.strings.lower(texts, encoding="utf-8")
        words = tf.strings.split(tf.strings.regex_replace(lowered, r"[^\pL\pN]+", " "))
        return tf.strings.ngrams(words, ngram_width=list(range(1, self._ngrams + 1)))


class DenseEncoder(tf.keras.layers.Layer):
    """A number, normalised by statistics that ``adapt`` sets once and that are saved with it.

    Args:
        feature: Its name.
        normalise: ``none``; ``z``: (x - mean) / standard deviation; ``quantile``: its cumulative
            distribution, linear between 101 quantiles, in [0, 1] (Covington et al. 2016, 4.1).
        powers: Whether x^2 and sqrt(x) stand beside x (the same section).
        buckets: If given, the quantile's bucket is looked up as an embedding of ``dim`` instead.
        dim: Of that embedding.
        seed: Of its initial values.
    """

    def __init__(
        self,
        feature: str,
        normalise: str = "quantile",
        powers: bool = False,
        buckets: int | None = None,
        dim: int = 8,
        seed: int = 0,
    ):
        super().__init__(name=feature)
        self.feature = feature
        self._normalise, self._powers, self._buckets = normalise, powers, buckets
        statistics = {"none": 0, "z": 2, "quantile": _QUANTILES}[normalise]
        self.statistics = self.add_weight(
            name="statistics", shape=(statistics,), initializer="zeros", trainable=False
        )
        if buckets:
            self._embeddings = self.add_weight(
                name="embeddings",
                shape=(buckets, dim),
                initializer=tf.keras.initializers.RandomNormal(stddev=dim**-0.5, seed=seed),
            )

    @property
    def has_statistics(self) -> bool:
        """Whether ``adapt`` has something to set."""
        return self._normalise != "none"

    def adapt(self, values: np.ndarray) -> None:
        """Sets the statistics from a sample of values, float [n], n >= 1."""
        values = np.asarray(values, np.float64)
        if self._normalise == "z":
            self.statistics.assign([values.mean(), max(values.std(), 1e-6)])
        elif self._normalise == "quantile":
            self.statistics.assign(np.quantile(values, np.linspace(0, 1, _QUANTILES)))

    def call(self, raw: RawFeatures) -> tf.Tensor:
        x = raw[self.feature]
        if self._normalise == "z":
            x = (x - self.statistics[0]) / self.statistics[1]
        elif self._normalise == "quantile":
            x = self._cumulative(x)
        if self._buckets:
            bucket = tf.cast(x * float(self._buckets), tf.int32)
            return tf.gather(self._embeddings, tf.minimum(bucket, self._buckets - 1))
        columns = [x, tf.square(x), tf.sqrt(x)] if self._powers else [x]
        return tf.stack(columns, axis=-1)

    def _cumulative(self, x: tf.Tensor) -> tf.Tensor:
        quantiles = self.statistics.read_value()
        right = tf.searchsorted(quantiles, x, side="right")
        upper = tf.clip_by_value(right, 1, _QUANTILES - 1)
        low, high = tf.gather(quantiles, upper - 1), tf.gather(quantiles, upper)
        within = tf.clip_by_value(tf.math.divide_no_nan(x - low, high - low), 0.0, 1.0)
        share = (tf.cast(upper - 1, tf.float32) + within) / (_QUANTILES - 1)
        # At and past the last quantile the steps above may be empty (many equal values).
        return tf.where(right >= _QUANTILES, 1.0, share)


class AgeEncoder(tf.keras.layers.Layer):
    """An age in days: log(1 + days)."""

    def __init__(self, feature: str):
        super().__init__(name=feature)
        self._feature = feature

    def call(self, raw: RawFeatures) -> tf.Tensor:
        return tf.math.log1p(raw[self._feature])[:, tf.newaxis]
