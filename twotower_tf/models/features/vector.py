"""A vector, such as a pretrained embedding: as it is, or through a learnt linear projection."""

import tensorflow as tf

from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures


class VectorEncoder(FeatureEncoder):
    """A vector of a fixed length; one that is missing is zeros, and stays zeros.

    Args:
        feature: Its name.
        length: Of the vector.
        projection: If given, the vector is multiplied by a learnt matrix [length, projection].
        normalise: Whether it is divided by its L2 norm before.
        seed: Of the matrix' initial values.
    """

    def __init__(
        self,
        feature: str,
        length: int,
        projection: int | None = None,
        normalise: bool = False,
        seed: int = 0,
    ):
        super().__init__(name=feature)
        self._feature, self._normalise, self._kernel = feature, normalise, None
        if projection is not None:
            self._kernel = self.add_weight(
                name="kernel",
                shape=(length, projection),
                initializer=tf.keras.initializers.GlorotUniform(seed=seed),
            )

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(section.name, section.length, section.projection, section.normalise, seed)

    def rows(self, raw: RawFeatures) -> tf.Tensor:
        return raw[self._feature]

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        x = rows
        # A request may hold any number; one that is not finite makes the vector a missing one.
        finite = tf.reduce_all(tf.math.is_finite(x), axis=-1, keepdims=True)
        x = tf.where(finite, x, 0.0)
        if self._normalise:
            # Squares of large numbers would overflow.
            largest = tf.reduce_max(tf.abs(x), axis=-1, keepdims=True)
            x = tf.math.divide_no_nan(x, largest)
            x = tf.math.divide_no_nan(x, tf.norm(x, axis=-1, keepdims=True))
        return x if self._kernel is None else tf.matmul(x, self._kernel)
