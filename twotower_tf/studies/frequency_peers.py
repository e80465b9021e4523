"""What else estimates frequencies in a stream: the study's peers, in NumPy."""

import numpy as np


class SlidingWindow:
    """Counts exactly in how many of the last `steps` batches an item was.

    It keeps those batches and a counter of every id: what a sketch is there to avoid.

    Args:
        id_count: One more than the largest id.
        steps: The length of the window.
        batch: The size of a batch.
    """

    def __init__(self, id_count: int, steps: int, batch: int):
        self._window = np.full((steps, batch), -1, np.int32)
        self._counts = np.zeros(id_count, np.int32)
        self._step = 0

    @property
    def bytes(self) -> int:
        """Of the window and the counters."""
        return self._window.nbytes + self._counts.nbytes

    def update(self, ids: np.ndarray) -> None:
        """Counts a batch of distinct ids, and forgets the one that leaves the window."""
        place = self._step % len(self._window)
        if self._step >= len(self._window):
            self._counts[self._window[place]] -= 1
        self._window[place] = ids
        self._counts[ids] += 1
        self._step += 1

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """The share of the window's batches that an item was in."""
        return self._counts[ids] / max(1, min(self._step, len(self._window)))


class DecayedCountMinSketch:
    """A count-min sketch (Cormode and Muthukrishnan, 2005) whose counts decay exponentially.

    Args:
        id_count: One more than the largest id.
        rows: The number of hash functions.
        columns: The float32 counters of each.
        steps: In which a count falls to 1/e.
        seed: Chooses the hash functions.
    """

    def __init__(self, id_count: int, rows: int, columns: int, steps: int, seed: int):
        generator = np.random.default_rng([seed, 3])
        self._columns = generator.integers(columns, size=(rows, id_count))
        self._counts = np.zeros((rows, columns), np.float32)
        self._kept = np.float32(1.0 - 1.0 / steps)
        self._batches = 0.0

    @property
    def bytes(self) -> int:
        """Of the counters; the hash functions are not counted."""
        return self._counts.nbytes

    def update(self, ids: np.ndarray) -> None:
        """Lets all counts decay, and counts a batch of distinct ids."""
        self._counts *= self._kept
        for row, columns in zip(self._counts, self._columns[:, ids], strict=True):
            # Once a batch, as the estimators count a bucket.
            row[np.unique(columns)] += 1.0
        self._batches = self._batches * float(self._kept) + 1.0

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """The least of an item's counts over the batches, decayed alike."""
        rows = np.arange(len(self._counts))[:, None]
        return self._counts[rows, self._columns[:, ids]].min(axis=0) / max(1.0, self._batches)
