"""The gates, each alone."""

import math

import pytest

from twotower_tf.config.index import Gates
from twotower_tf.releases.gates import Measured, check_gates

GATES = Gates(min_examples=1000, min_recall_ratio=0.5, min_index_recall=0.9, min_coverage=0.8)
GOOD = {
    "examples": 1000,
    "loss": 2.5,
    "recall_at": 50,
    "recall": 0.2,
    "last_recall": 0.4,
    "index_recall": 0.9,
    "coverage": 0.8,
}


def _results(**changes):
    return {one.name: one for one in check_gates(GATES, Measured(**{**GOOD, **changes}))}


def test_numbers_that_just_reach_the_gates_pass():
    results = _results()
    assert list(results) == ["examples", "loss", "recall@50", "index_recall", "coverage"]
    assert all(result.passed for result in results.values())


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        (
            {"examples": 999},
            "examples",
            "examples: 999 is less than the required 1,000 (gates.min_examples)",
        ),
        ({"loss": math.nan}, "loss", "loss: nan, a finite number is required"),
        ({"loss": math.inf}, "loss", "loss: inf, a finite number is required"),
        (
            {"recall": 0.19},
            "recall@50",
            "recall@50: 0.19 is less than the required 0.2 "
            "(gates.min_recall_ratio 0.5 times the last release's 0.4)",
        ),
        ({"recall": math.nan}, "recall@50", "recall@50: nan is less than the required 0.2"),
        (
            {"index_recall": 0.89},
            "index_recall",
            "index_recall: 0.89 is less than the required 0.9 (gates.min_index_recall)",
        ),
        (
            {"coverage": 0.79},
            "coverage",
            "coverage: 0.79 is less than the required 0.8 (gates.min_coverage)",
        ),
    ],
)
def test_one_number_that_falls_short_fails_its_gate_alone(changes, name, message):
    results = _results(**changes)
    assert [one.name for one in results.values() if not one.passed] == [name]
    assert results[name].message.startswith(message)


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ({"last_recall": None}, "recall@50", "0.2, and no last release to compare with"),
        ({"recall": None}, "recall@50", "no held-out examples"),
        ({"index_recall": None}, "index_recall", "no held-out examples"),
        ({"coverage": None}, "coverage", "no recent training examples"),
        ({"loss": None}, "loss", "nothing was trained"),
    ],
)
def test_a_gate_without_a_number_passes_and_says_so(changes, name, why):
    result = _results(**changes)[name]
    assert result.passed
    assert why in result.message
    assert result.required is None
