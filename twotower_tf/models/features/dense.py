"""A number, normalised by statistics."""

import numpy as np
import tensorflow as tf

from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures
from twotower_tf.models.features.quantiles import QUANTILES, cumulative


class DenseEncoder(FeatureEncoder):
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
        self._feature = feature
        self._normalise, self._powers, self._buckets = normalise, powers, buckets
        statistics = {"none": 0, "z": 2, "quantile": QUANTILES}[normalise]
        self.statistics = self.add_weight(
            name="statistics", shape=(statistics,), initializer="zeros", trainable=False
        )
        if buckets:
            self._embeddings = self.add_weight(
                name="embeddings",
                shape=(buckets, dim),
                initializer=tf.keras.initializers.RandomNormal(stddev=dim**-0.5, seed=seed),
            )

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(
            section.name,
            section.normalise,
            section.powers,
            section.buckets,
            section.dim,
            seed,
        )

    @property
    def has_statistics(self) -> bool:
        """See ``FeatureEncoder``."""
        return self._normalise != "none"

    def adapt(self, values: np.ndarray) -> None:
        """Sets the statistics from a sample of values, float [n], n >= 1."""
        values = np.asarray(values, np.float64)
        if self._normalise == "z":
            self.statistics.assign([values.mean(), max(values.std(), 1e-6)])
        elif self._normalise == "quantile":
            self.statistics.assign(np.quantile(values, np.linspace(0, 1, QUANTILES)))

    def rows(self, raw: RawFeatures) -> tf.Tensor:
        return raw[self._feature]

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        x = rows
        if self._normalise == "z":
            x = (x - self.statistics[0]) / self.statistics[1]
        elif self._normalise == "quantile":
            x = cumulative(self.statistics.read_value(), x)
        if self._buckets:
            bucket = tf.cast(x * float(self._buckets), tf.int32)
            return tf.gather(self._embeddings, tf.minimum(bucket, self._buckets - 1))
        columns = [x, tf.square(x), tf.sqrt(x)] if self._powers else [x]
        return tf.stack(columns, axis=-1)
