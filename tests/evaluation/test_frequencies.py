"""The comparison of estimated with counted probabilities, against loops."""

import json
import math

import numpy as np
import pytest

from twotower_tf.evaluation.frequencies import compare


def counted_probabilities(examples, batch_size):
    """The share of batches that items of uneven popularity are in."""
    items = [f"i{n}" for n in np.random.default_rng(0).zipf(1.3, examples) % 500]
    batches = [set(items[at : at + batch_size]) for at in range(0, examples, batch_size)]
    return {item: sum(item in batch for batch in batches) / len(batches) for item in items}


def test_summary_equals_loops():
    counted = counted_probabilities(3000, 50)
    rng = np.random.default_rng(2)
    estimated = {item: p * math.exp(rng.normal()) for item, p in counted.items()}
    summary = compare(estimated, counted)["summary"]
    ratios = sorted(estimated[item] / counted[item] for item in counted)
    errors = [(p, abs(math.log2(estimated[item] / p))) for item, p in counted.items()]
    assert summary["items"] == len(counted)
    middle = len(ratios) // 2
    median = ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2
    assert summary["median_ratio"] == pytest.approx(median)
    weighted = sum(p * error for p, error in errors) / sum(p for p, _ in errors)
    assert summary["mean_abs_log2_ratio"] == pytest.approx(weighted)


def test_twice_the_truth_is_one_doubling_off():
    summary = compare({"a": 0.2, "b": 0.02}, {"a": 0.1, "b": 0.01})["summary"]
    assert summary == {
        "items": 2,
        "median_ratio": pytest.approx(2),
        "mean_abs_log2_ratio": pytest.approx(1),
    }


def test_points_are_few_and_reach_over_the_whole_range_of_frequencies():
    counted = {f"i{n}": 1 / (1 + n) for n in range(20_000)}
    estimated = {item: p * (1 + n % 3) for n, (item, p) in enumerate(counted.items())}
    points = compare(estimated, counted)["points"]
    assert 100 <= len(points) <= 200
    assert len({point["item_id"] for point in points}) == len(points)
    logs = np.log10([point["counted"] for point in points])
    # Every tenth of the four decades has points, the crowded rare end no more than the popular.
    histogram, _ = np.histogram(logs, bins=10, range=(-4.31, 0))
    assert histogram.min() >= 2
    assert histogram.max() <= 25
    for point in points:
        assert point["estimated"] == estimated[point["item_id"]]
        assert point["counted"] == counted[point["item_id"]]


def test_points_of_one_frequency_show_the_spread_of_their_estimates():
    counted = {f"i{n}": 0.1 for n in range(100)}
    estimated = {f"i{n}": (n + 1) / 100 for n in range(100)}
    shown = [point["estimated"] for point in compare(estimated, counted)["points"]]
    assert min(shown) < 0.25
    assert max(shown) > 0.75


def test_items_without_both_values_are_left_out():
    result = compare({"a": 0.5, "x": 0.1}, {"a": 0.5, "y": 0.1})
    assert result["summary"]["items"] == 1
    assert [point["item_id"] for point in result["points"]] == ["a"]


def test_nothing_to_compare_is_none_and_valid_json():
    result = compare({}, {"a": 0.5})
    expected = {"items": 0, "median_ratio": None, "mean_abs_log2_ratio": None}
    assert json.loads(json.dumps(result, allow_nan=False)) == {"points": [], "summary": expected}


@pytest.mark.parametrize("wrong", [0.0, -0.5, math.nan, math.inf])
def test_an_impossible_probability_is_refused_by_item(wrong):
    with pytest.raises(ValueError, match="item 'b' is estimated as"):
        compare({"a": 0.5, "b": wrong}, {"a": 0.5, "b": 0.5})
