"""A fully connected layer on what a request and its candidates are, each part multiplied once."""

import tensorflow as tf


class SplitDense(tf.keras.layers.Layer):
    """W_q q + W_c c + b: a layer on q and c side by side, for many candidates c of each q.

    q is multiplied once for a request, however many candidates it has.

    Args:
        width: Of the output.
        seed: Of the initial weights, which are Glorot's of the whole layer.
    """

    def __init__(self, width: int, seed: int, name: str | None = None):
        super().__init__(name=name)
        self._width, self._seed = width, seed

    def build(self, shapes) -> None:
        of_query, of_candidate = (shape[-1] for shape in shapes)
        limit = (6.0 / (of_query + of_candidate + self._width)) ** 0.5

        def kernel(name: str, rows: int, seed: int) -> tf.Variable:
            start = tf.keras.initializers.RandomUniform(-limit, limit, seed=seed)
            return self.add_weight(name=name, shape=(rows, self._width), initializer=start)

        self.of_query = kernel("of_query", of_query, self._seed)
        self.of_candidate = kernel("of_candidate", of_candidate, self._seed + 1)
        self.bias = self.add_weight(name="bias", shape=(self._width,), initializer="zeros")

    def call(self, parts: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Returns float32 [B, C, width] of queries [B, n] and their candidates [B, C, m]."""
        query, candidates = parts
        once = tf.matmul(query, self.of_query) + self.bias
        each = tf.tensordot(candidates, self.of_candidate, axes=1)
        return once[:, tf.newaxis] + each
