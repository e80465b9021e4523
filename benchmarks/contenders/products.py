"""The machine's limit: one large matrix product in float32, nothing else."""

import twotower_tf  # noqa: F401  isort: skip  (before TensorFlow: it chooses Keras 2)

import tensorflow as tf

from benchmarks.contenders.problem import Problem

SIZE = 3072
OPERATIONS = 2 * SIZE**3


class Contender:
    """A "step" is the product of two square matrices, `OPERATIONS` operations."""

    def __init__(self, problem: Problem):
        del problem
        self._matrix = tf.random.stateless_uniform([SIZE, SIZE], seed=[1, 2])
        self._product = tf.function(lambda x: tf.matmul(x, x))

    def losses(self, steps: int) -> list[float]:
        """None: it trains nothing."""
        del steps
        return []

    def step(self) -> None:
        """One product."""
        self._product(self._matrix)[0, 0].numpy()
