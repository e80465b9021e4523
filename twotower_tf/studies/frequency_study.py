"""The estimator study: section 6.1 of Yi et al. (RecSys 2019) and a third study it lacks.

Three studies, all in the same memory (5000 buckets of 8 bytes, the sliding window excepted):

- `alphas` (figure 4): the paper's algorithm 2 with several alpha, and ours;
- `hashes` (figure 5): m = 1, 2, 4 hash functions with the best alpha, m * H constant, beside
  ours, exact counts over a sliding window and a count-min sketch with decay;
- `new_items`: the same on a stream in which items come and go all the time; the error is that
  of the items first seen in the last 1000 steps.

The estimators are those that train, run as they are: there is no second implementation.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.frequency.base import FrequencyEstimator
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator
from twotower_tf.studies.frequency_peers import DecayedCountMinSketch, SlidingWindow
from twotower_tf.studies.frequency_streams import (
    BATCH,
    MEASURED_EVERY,
    Stream,
    stream_of_new_items,
    switching_stream,
)

BUCKETS = 5000
INITIAL_GAP = 100.0
ALPHAS = (0.005, 0.01, 0.02, 0.05, 0.1)
HASHES = (2, 4)
WINDOW = 1000  # Steps: of the window, of the sketch's decay, and how long an item is new.
SETTLED = 200  # Steps after the start or the switch from which estimators are compared.
_PERIODS_AT_A_TIME = 50

Peer = FrequencyEstimator | SlidingWindow | DecayedCountMinSketch


@dataclasses.dataclass(frozen=True)
class Curve:
    """The error of one estimator: float64 [periods], measured after every 10th step."""

    name: str
    errors: np.ndarray
    bytes: int


@dataclasses.dataclass(frozen=True)
class Study:
    """What the three studies measured.

    Attributes:
        steps: Of each stream; the distribution switches half-way.
        best: The name of the fixed alpha with the smallest mean error over all steps.
        curves: By study, the curves by the estimators' names.
    """

    steps: int
    best: str
    curves: dict[str, dict[str, Curve]]


def run_study(
    steps: int = 20_000, seed: int = 17, advance: Callable[[int], None] = lambda _: None
) -> Study:
    """Runs the three studies.

    Args:
        steps: Of each stream: a multiple of 1000, at least 2000.
        seed: Chooses the streams and the hash functions.
        advance: Is told how many steps have been simulated since it was last told.

    Raises:
        ValueError: If `steps` is not such a number.
    """
    if steps < 2 * WINDOW or steps % WINDOW:
        raise ValueError(f"steps must be a multiple of {WINDOW}, at least 2000, got {steps}")
    stream = switching_stream(steps, seed)

    def curve(name: str, estimator: Peer, new: Stream | None = None) -> Curve:
        error = new_item_errors if new else errors
        return Curve(name, error(estimator, new or stream, advance), size_of(estimator))

    alphas = {
        alpha: curve(_fixed(alpha), StreamingFrequencyEstimator(BUCKETS, 1, alpha, seed=seed))
        for alpha in ALPHAS
    }
    best = min(ALPHAS, key=lambda alpha: alphas[alpha].errors.mean())
    ours = curve("adaptive", AdaptiveFrequencyEstimator(BUCKETS, seed=seed))
    hashed = [
        curve(
            f"{_fixed(best)}, m = {hashes}",
            StreamingFrequencyEstimator(BUCKETS // hashes, hashes, best, seed=seed),
        )
        for hashes in HASHES
    ]
    peers = [curve(*peer) for peer in _peers(stream, seed)]
    new = stream_of_new_items(steps, seed)
    fixed = [
        (_fixed(alpha), StreamingFrequencyEstimator(BUCKETS, 1, alpha, seed=seed))
        for alpha in ALPHAS
    ]
    newcomers = [
        curve(*each, new)
        for each in [
            *fixed,
            ("adaptive", AdaptiveFrequencyEstimator(BUCKETS, seed=seed)),
            *_peers(new, seed),
        ]
    ]
    studies = {
        "alphas": [*alphas.values(), ours],
        "hashes": [alphas[best], *hashed, ours, *peers],
        "new_items": newcomers,
    }
    curves = {study: {each.name: each for each in found} for study, found in studies.items()}
    return Study(steps, _fixed(best), curves)


def planned_steps(steps: int) -> int:
    """How many steps `run_study` simulates in all."""
    return steps * (2 * (len(ALPHAS) + 1 + 2) + len(HASHES))


def errors(
    estimator: Peer, stream: Stream, advance: Callable[[int], None] = lambda _: None
) -> np.ndarray:
    """The paper's error, 1 / (2 B) sum_i |p^_i - p_i|, after each period: float64 [periods]."""
    gaps = [np.abs(found - truth) for found, truth in _estimates(estimator, stream, advance)]
    return np.concatenate(gaps).sum(axis=1) / (2 * BATCH)


def new_item_errors(
    estimator: Peer, stream: Stream, advance: Callable[[int], None] = lambda _: None
) -> np.ndarray:
    """The same of items first seen in the last 1000 steps: sum |p^ - p| / (2 sum p).

    NaN for the first 1000 steps, in which every item is new.
    """
    gaps = [np.abs(found - truth) for found, truth in _estimates(estimator, stream, advance)]
    periods = np.arange(len(stream.ids))
    first = stream.first_periods()[stream.ids]
    new = (first <= periods[:, None]) & (first > periods[:, None] - WINDOW // MEASURED_EVERY)
    result = (np.concatenate(gaps) * new).sum(axis=1) / (2 * (stream.truth * new).sum(axis=1))
    result[: WINDOW // MEASURED_EVERY] = np.nan
    return result


def size_of(estimator: Peer) -> int:
    """The bytes of an estimator's tables."""
    if not isinstance(estimator, FrequencyEstimator):
        return estimator.bytes
    tables = [variable for variable in estimator.variables if variable.shape.rank == 1]
    return sum(table.dtype.size * table.shape.num_elements() for table in tables)


def _fixed(alpha: float) -> str:
    return f"alpha = {alpha:g}"


def _peers(stream: Stream, seed: int) -> list[tuple[str, Peer]]:
    sketch = DecayedCountMinSketch(stream.id_count, 4, BUCKETS * 8 // 4 // 4, WINDOW, seed)
    return [
        ("exact, sliding window", SlidingWindow(stream.id_count, WINDOW, BATCH)),
        ("count-min, decayed", sketch),
    ]


def _estimates(estimator: Peer, stream: Stream, advance: Callable[[int], None]):
    """Yields, 50 periods at a time, the estimates after each and the truth, both [50, M]."""
    graph = isinstance(estimator, FrequencyEstimator)
    simulate = (_graph_runner if graph else _plain_runner)(estimator)
    for begin in range(0, len(stream.batches), _PERIODS_AT_A_TIME):
        part = slice(begin, begin + _PERIODS_AT_A_TIME)
        yield simulate(stream.batches[part], stream.ids[part]), stream.truth[part]
        advance(stream.batches[part].shape[0] * MEASURED_EVERY)


def _plain_runner(estimator: SlidingWindow | DecayedCountMinSketch) -> Callable:
    def simulate(batches: np.ndarray, ids: np.ndarray) -> np.ndarray:
        found = []
        for period, asked in zip(batches, ids, strict=True):
            for batch in period:
                estimator.update(batch)
            found.append(estimator.probabilities(asked))
        return np.stack(found)

    return simulate


def _graph_runner(estimator: FrequencyEstimator) -> Callable:
    spec = tf.TensorSpec

    @tf.function(
        input_signature=[
            spec([None, MEASURED_EVERY, BATCH], tf.int32),
            spec([None, None], tf.int32),
        ]
    )
    def simulate(batches, ids):
        # One loop in the graph: called step by step, Python would take most of the time.
        found = tf.TensorArray(tf.float32, tf.shape(batches)[0])
        for period in tf.range(tf.shape(batches)[0]):
            for step in tf.range(MEASURED_EVERY):
                estimator.update(batches[period, step])
            found = found.write(period, estimator.probabilities(ids[period]))
        return found.stack()

    return lambda batches, ids: simulate(batches, ids).numpy().astype(np.float64)
