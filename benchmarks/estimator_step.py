"""The time a frequency estimator takes of a training step, and the memory it needs.

    python -m benchmarks.estimator_step --out=FILE.json

One step is `update` and `probabilities` on the batch, as the model does them while it trains:
8192 ids drawn Zipf(1.0) from 10 million, each distinct one once, H = 50 million buckets, m = 1
and 4, both kinds. The sketch has seen `--warm` batches before the clock starts.
"""

import argparse
import json
import pathlib
import resource
import statistics
import time

import numpy as np

import twotower_tf  # isort: skip  (before TensorFlow: it chooses Keras 2)

import tensorflow as tf

from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator

KINDS = {"paper": StreamingFrequencyEstimator, "adaptive": AdaptiveFrequencyEstimator}
ITEMS = 10_000_000


def zipf_batches(count: int, size: int, seed: int = 0) -> list[tf.Tensor]:
    """Draws batches of distinct string ids, Zipf(1.0)."""
    generator = np.random.default_rng(seed)
    cumulative = np.cumsum(1.0 / np.arange(1, ITEMS + 1))
    drawn = np.searchsorted(cumulative, generator.random((count, size)) * cumulative[-1])
    return [tf.constant([f"item {i}" for i in np.unique(row)]) for row in drawn]


def measure(kind: str, buckets: int, hashes: int, batches: list[tf.Tensor], warm: int) -> dict:
    """Times steps on the batches after the first `warm`; milliseconds and bytes."""
    estimator = KINDS[kind](buckets, hashes)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def step(ids):
        estimator.update(ids)
        return estimator.probabilities(ids)

    times = []
    for batch in batches:
        begin = time.perf_counter()
        step(batch).numpy()
        times.append(time.perf_counter() - begin)
    tables = [variable for variable in estimator.variables if variable.shape.rank == 1]
    size = sum(table.dtype.size * table.shape.num_elements() for table in tables)
    timed = sorted(1000 * each for each in times[warm:])
    return {
        "kind": kind,
        "buckets": buckets,
        "hashes": hashes,
        "bytes_per_bucket": size / (buckets * hashes),
        "table_bytes": size,
        "median_ms": round(statistics.median(timed), 3),
        "p90_ms": round(timed[int(0.9 * len(timed))], 3),
        "first_ms": round(1000 * times[0], 1),
    }


def main() -> None:
    """Measures both kinds and writes what came out as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--buckets", type=int, default=50_000_000)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--warm", type=int, default=50, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=50, help="steps timed")
    given = parser.parse_args()
    batches = zipf_batches(given.warm + given.steps, given.batch)
    measured = []
    for kind in KINDS:
        for hashes in (1, 4):
            measured.append(measure(kind, given.buckets, hashes, batches, given.warm))
            print(measured[-1], flush=True)
    report = {
        "batch": given.batch,
        "distinct": round(statistics.mean(int(tf.size(batch)) for batch in batches)),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "tensorflow": tf.__version__,
        "twotower_tf": twotower_tf.__version__,
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "measured": measured,
    }
    if given.out:
        given.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
