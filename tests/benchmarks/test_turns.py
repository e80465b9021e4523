"""Contenders take turns, and the first turn does not count."""

import numpy as np
import pytest

from benchmarks.contenders.turns import as_text, percentiles, seconds_in_turn


def test_contenders_take_turns_and_the_first_turn_warms_up():
    asked = []
    contenders = {
        name: [lambda name=name, n=n: asked.append(f"{name}{n}") for n in range(2)]
        for name in ("a", "b")
    }
    seconds = seconds_in_turn(contenders, rounds=2)
    assert asked == ["a0", "a1", "b0", "b1"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 4, "b": 4}


def test_percentiles_are_in_milliseconds_and_a_request_has_a_batch_of_queries():
    row = percentiles([0.001 * n for n in range(1, 101)], batch=32)
    assert row["p50_ms"] == pytest.approx(50.5)
    assert row["p99_ms"] == pytest.approx(np.percentile(np.arange(1, 101), 99))
    assert row["queries_per_second"] == pytest.approx(32 * 100 / 5.05)
    assert as_text(row).split()[:2] == ["p50", "50.50"]
