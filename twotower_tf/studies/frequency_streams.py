"""The streams of batches that the estimator study simulates, and their true probabilities."""

import dataclasses

import numpy as np

ITEMS = 1000  # M
BATCH = 128  # B
MEASURED_EVERY = 10  # Steps; also how often a new item comes in the stream of new items.
_CHUNK = 1000  # Steps drawn at a time: bounds the memory, 8 MB a thousand steps.


@dataclasses.dataclass(frozen=True)
class Stream:
    """Batches, and what there is to know about them; steps are grouped in periods of 10.

    Attributes:
        batches: int32 [periods, 10, B], the distinct ids of each batch.
        ids: int32 [periods, M], the items there are.
        truth: float64 [periods, M], their probabilities to be in a batch, B q_i, at most 1.
    """

    batches: np.ndarray
    ids: np.ndarray
    truth: np.ndarray

    @property
    def id_count(self) -> int:
        """One more than the largest id."""
        return int(self.ids.max()) + 1

    def first_periods(self) -> np.ndarray:
        """The period each id was first in a batch; the number of periods for one never drawn."""
        first = np.full(self.id_count, len(self.batches))
        for period in reversed(range(len(self.batches))):
            first[self.batches[period].ravel()] = period
        return first


def switching_stream(steps: int, seed: int) -> Stream:
    """The paper's: q_i ~ i^2 for the first half of the steps, then q_i ~ (M - 1 - i)^2."""
    generator = np.random.default_rng([seed, 1])
    weights = np.arange(ITEMS, dtype=np.float64) ** 2
    half = steps // 2
    drawn = [
        _draw(generator, weights, half),
        _draw(generator, weights[::-1], steps - half),
    ]
    periods = steps // MEASURED_EVERY
    first = np.arange(periods) < half // MEASURED_EVERY
    truth = np.where(first[:, None], _inclusion(weights), _inclusion(weights[::-1]))
    ids = np.broadcast_to(np.arange(ITEMS, dtype=np.int32), (periods, ITEMS))
    return Stream(np.concatenate(drawn).reshape(periods, MEASURED_EVERY, BATCH), ids, truth)


def stream_of_new_items(steps: int, seed: int) -> Stream:
    """q_i ~ i^2 throughout, but every 10 steps a new item takes the place of a random one.

    It takes its frequency too: a tenth of the catalogue is replaced within 1000 steps.
    """
    generator = np.random.default_rng([seed, 2])
    weights = np.arange(ITEMS, dtype=np.float64) ** 2
    periods = steps // MEASURED_EVERY
    ids = np.empty((periods, ITEMS), np.int32)
    current = np.arange(ITEMS, dtype=np.int32)
    for period in range(periods):
        current[generator.integers(ITEMS)] = ITEMS + period
        ids[period] = current
    ranks = _draw(generator, weights, steps).reshape(periods, MEASURED_EVERY * BATCH)
    batches = np.take_along_axis(ids, ranks, axis=1)
    truth = np.broadcast_to(_inclusion(weights), ids.shape)
    return Stream(batches.reshape(periods, MEASURED_EVERY, BATCH), ids, truth)


def _inclusion(weights: np.ndarray) -> np.ndarray:
    return np.minimum(1.0, BATCH * weights / weights.sum())


def _draw(generator: np.random.Generator, weights: np.ndarray, steps: int) -> np.ndarray:
    """Draws B distinct items a step, one after the other in proportion to the weights left."""
    drawn = []
    for begin in range(0, steps, _CHUNK):
        # The order in which independent exponential clocks of these rates go off.
        waits = generator.exponential(size=(min(_CHUNK, steps - begin), ITEMS))
        with np.errstate(divide="ignore"):
            waits /= weights
        drawn.append(np.argpartition(waits, BATCH, axis=1)[:, :BATCH].astype(np.int32))
    return np.concatenate(drawn)
