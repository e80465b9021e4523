"""The machine's limit: matrix products in float32, and nothing else."""

import twotower_tf  # noqa: F401  isort: skip  (before TensorFlow: it chooses Keras 2)

import tensorflow as tf

from benchmarks.contenders.problem import DIM, Problem

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


class OwnProducts:
    """The products of one of our steps, in their shapes, forward and back, one after the other."""

    def __init__(self, problem: Problem):
        batches = problem.batches("numbers")
        distinct = sum(len(set(batch["item"].tolist())) for batch in batches) // len(batches)
        self._shapes = [
            (rows, *shape)
            for rows, width in ((problem.batch, 2 * DIM), (distinct, DIM))
            for shape in zip((width, *problem.layers), problem.layers, strict=False)
        ]
        # As many rows of logits at a time as fit into the cache: as the loss does it.
        block = min(2**21 // distinct + 1, problem.batch)
        self._blocks = [(block, problem.layers[-1], distinct)] * round(problem.batch / block)
        self._run = tf.function(self._all)

    def losses(self, steps: int) -> list[float]:
        """None: it trains nothing."""
        del steps
        return []

    def step(self) -> None:
        """All products."""
        # An argument, so that nothing is constant and computed while tracing.
        self._run(tf.constant(1.0)).numpy()

    def _all(self, total: tf.Tensor) -> tf.Tensor:
        for rows, width, size in self._shapes + self._blocks:
            # What a product needs comes from the one before, so that each has all cores.
            x, w = tf.fill([rows, width], total), tf.fill([width, size], total)
            y = tf.matmul(x, w)
            back = tf.matmul(y, w, transpose_b=True)
            total = tf.minimum(tf.matmul(back, y, transpose_a=True)[0, 0], 1.0)
        return total
