"""Continuous values, each normalised by its own quantiles, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.models.features.quantiles import QUANTILES, cumulative

_BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))


class Numbers(tf.keras.layers.Layer):
    """Maps numbers to [0, 1) by their cumulative distributions (Covington et al. 2016, 4.1).

    Each becomes x, x^2 and sqrt(x), and 1; one that is not finite, such as the days since something
    that never happened, becomes zeros: "never" is a case of its own, not the largest number.

    Args:
        names: Of the numbers; their order is that of the columns.
        powers: Whether x^2 and sqrt(x) stand beside x.
    """

    def __init__(self, names: Sequence[str], powers: bool = True, name: str | None = None):
        super().__init__(name=name)
        self.names, self._powers = list(names), powers
        self.quantiles = self.add_weight(
            name="quantiles",
            shape=(len(self.names), QUANTILES),
            initializer="zeros",
            trainable=False,
        )

    @property
    def width(self) -> int:
        """How many numbers come out."""
        return len(self.names) * (4 if self._powers else 2)

    def least(self, name: str) -> tf.Tensor:
        """Returns the smallest value that was seen of a number, a scalar."""
        return self.quantiles[self.names.index(name), 0]

    def adapt(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets the quantiles from a sample of each number's values, float [n], n >= 0."""
        rows = np.zeros((len(self.names), QUANTILES))
        for row, name in zip(rows, self.names, strict=True):
            known = np.asarray(values[name], np.float64)
            known = known[np.isfinite(known)]
            if len(known):
                row[:] = np.quantile(known, np.linspace(0, 1, QUANTILES))
        self.quantiles.assign(rows)

    def call(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns float32 [..., width] of numbers by name, float32 [...], all of one shape."""
        x = tf.stack([values[name] for name in self.names])
        shape = tf.shape(x)
        x = tf.reshape(x, [len(self.names), -1])
        known = tf.math.is_finite(x)
        x = cumulative(self.quantiles.read_value(), tf.where(known, x, 0.0))
        given = tf.cast(known, tf.float32)
        x = tf.minimum(x, _BELOW_1) * given
        parts = [x, tf.square(x), tf.sqrt(x), given] if self._powers else [x, given]
        columns = tf.transpose(tf.concat(parts, axis=0))
        return tf.reshape(columns, tf.concat([shape[1:], [self.width]], axis=0))
