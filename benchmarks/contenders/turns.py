"""Requests of several contenders in turn, so that what else a machine does falls on all alike."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def seconds_in_turn(
    contenders: Mapping[str, Sequence[Callable[[], object]]], rounds: int
) -> dict[str, list[float]]:
    """Measures how long each request of each contender takes.

    Args:
        contenders: By name what makes its requests, all of which are made in each turn.
        rounds: Turns that count; one before them warms up.

    Returns:
        By name the seconds, turn by turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, requests in contenders.items():
            for request in requests:
                start = time.perf_counter()
                request()
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def percentiles(seconds: Sequence[float], batch: int = 1) -> dict[str, float]:
    """Returns what requests of so many queries took: in milliseconds, and queries a second."""
    return {
        **{f"p{p}_ms": 1e3 * float(np.percentile(seconds, p)) for p in (50, 95, 99)},
        "queries_per_second": batch * len(seconds) / sum(seconds),
    }


def as_text(row: Mapping[str, float]) -> str:
    """Writes ``percentiles`` in columns."""
    return (
        f"p50 {row['p50_ms']:8.2f}  p95 {row['p95_ms']:8.2f}  p99 {row['p99_ms']:8.2f} ms "
        f"{row['queries_per_second']:9,.0f} queries/s"
    )
