"""An age in days."""

import tensorflow as tf

from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures


class AgeEncoder(FeatureEncoder):
    """An age in days: log(1 + days)."""

    def __init__(self, feature: str):
        super().__init__(name=feature)
        self._feature = feature

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(section.name)

    def rows(self, raw: RawFeatures) -> tf.Tensor:
        return raw[self._feature]

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.math.log1p(rows)[:, tf.newaxis]
