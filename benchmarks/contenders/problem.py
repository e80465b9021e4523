"""What all contenders are given: the same batches, the same initial weights, as NumPy arrays."""

import dataclasses
import functools
import pathlib

import numpy as np

ITEMS = 1_000_000
DIM = 64
HISTORY = 20
TEMPERATURE = 0.05
LEARNING_RATE = 0.2  # The paper's, for YouTube.
INITIAL_ACCUMULATOR = 0.1


@dataclasses.dataclass(frozen=True)
class Problem:
    """One size of model and batch.

    Attributes:
        batch: B, examples per batch.
        layers: Widths of the fully connected layers of both towers.
        buckets: Rows of the table that seed, history and item share.
        sketch: Buckets of the frequency estimator, of whom has one.
        folder: Where the batches are, as `rows.npz`: see `train_step.write_batches`.
    """

    batch: int
    layers: tuple[int, ...]
    buckets: int
    sketch: int
    folder: pathlib.Path

    def batches(self, of: str) -> list[dict[str, np.ndarray]]:
        """The batches by column: of ``numbers`` the items' own, of ``rows`` those of the table."""
        with np.load(self.folder / f"{of}.npz") as stored:
            arrays = {name: stored[name] for name in stored.files}
        count = len(arrays["item"])
        return [{name: values[one] for name, values in arrays.items()} for one in range(count)]

    def weights(self) -> dict:
        """``table`` [buckets, DIM], and ``query`` and ``candidate``: a kernel and bias a layer."""
        random = np.random.default_rng(17)
        table = random.standard_normal((self.buckets, DIM), np.float32)
        table *= np.float32(DIM**-0.5)  # In place: it may be gigabytes.
        return {
            "table": table,
            "query": _dense(random, 2 * DIM, self.layers),
            "candidate": _dense(random, DIM, self.layers),
        }

    def products(self, distinct: float) -> float:
        """Floating-point operations of a step's matrix products, forward and back.

        Args:
            distinct: D, how many items the candidate tower and the logits are computed for.
        """
        query, candidate = (
            _multiplications(2 * DIM, self.layers),
            _multiplications(DIM, self.layers),
        )
        logits = self.batch * distinct * self.layers[-1]
        # Each product of the forward pass has two of its size in the backward pass.
        return 3 * 2 * (self.batch * query + distinct * candidate + logits)


def _dense(random, width: int, layers: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    made = []
    for size in layers:
        limit = (6 / (width + size)) ** 0.5
        kernel = random.uniform(-limit, limit, (width, size)).astype(np.float32)
        made.append((kernel, np.zeros(size, np.float32)))
        width = size
    return made


def _multiplications(width: int, layers: tuple[int, ...]) -> int:
    return sum(a * b for a, b in zip((width, *layers), layers, strict=False))


@functools.cache
def inclusion_probabilities(batch: int) -> np.ndarray:
    """[ITEMS] float32: of each item to be in a batch of Zipf(1.0), 1 - (1 - q)^B."""
    shares = 1.0 / np.arange(1, ITEMS + 1)
    shares /= shares.sum()
    return -np.expm1(batch * np.log1p(-shares)).astype(np.float32)


def draw(random: np.random.Generator, count: int) -> np.ndarray:
    """Numbers of items in [0, ITEMS), Zipf(1.0)."""
    cumulative = np.cumsum(1.0 / np.arange(1, ITEMS + 1))
    return np.searchsorted(cumulative, random.random(count) * cumulative[-1])
