"""Base of the nominators that propose the same items to everybody."""

import numpy as np
import tensorflow as tf

from twotower_tf.indexing.nominators.nominator import Find, Nominated, Nominator, Request


class SameForAll(Nominator):
    """Proposes to everybody what it has chosen.

    Args:
        features: What its features are called.
        prior: Their weights while there is nothing to fit them to.
    """

    def __init__(self, features: tuple[str, ...], prior: tuple[float, ...]):
        super().__init__(name=self.kind)
        self.features, self.prior = features, prior

    def choose(self, positions: np.ndarray, features: np.ndarray) -> None:
        """Keeps what is proposed from now on.

        Args:
            positions: [n] int, places in the catalogue.
            features: float [n, F].
        """
        self._positions = tf.Variable(positions.astype(np.int32), trainable=False, name="positions")
        self._features = tf.Variable(features.astype(np.float32), trainable=False, name="features")

    def nominate(self, request: Request, find: Find) -> Nominated:
        """See ``Nominator``."""
        value = next(iter(request.values()))
        rows = value.nrows() if isinstance(value, tf.RaggedTensor) else tf.shape(value)[0]
        return Nominated(
            tf.tile(self._positions[tf.newaxis], [rows, 1]),
            tf.tile(self._features[tf.newaxis], [rows, 1, 1]),
        )
