"""The gates, each alone."""

import math

import pytest

from twotower_tf.config.index import Gates
from twotower_tf.releases.gates import Measured, MeasuredRanking, check_gates

GATES = Gates(min_examples=1000, min_recall_ratio=0.5, min_index_recall=0.9, min_coverage=0.8)
GOOD = {
    "examples": 1000,
    "weight": 300.5,
    "items_per_batch": 2.0,
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
    assert list(results) == [
        "examples",
        "weight",
        "items_per_batch",
        "loss",
        "recall@50",
        "index_recall",
        "coverage",
    ]
    assert all(result.passed for result in results.values())


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        (
            {"examples": 999},
            "examples",
            "examples: 999 is less than the required 1,000 (gates.min_examples)",
        ),
        ({"weight": 0.0}, "weight", "weight: no example has a reward above 0"),
        (
            {"items_per_batch": 1.0},
            "items_per_batch",
            "items_per_batch: 1 is less than the required 2 (gates.min_items_per_batch)",
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
        ({"weight": None}, "weight", "no training examples that were counted"),
        ({"items_per_batch": None}, "items_per_batch", "no batches that were counted"),
    ],
)
def test_a_gate_without_a_number_passes_and_says_so(changes, name, why):
    result = _results(**changes)[name]
    assert result.passed
    assert why in result.message
    assert result.required is None


RECALLS = {"10": 0.2, "50": 0.5}
BASELINES = {"most_popular": {"10": 0.1, "50": 0.4}, "after_seed": {"10": 0.19, "50": 0.3}}


def _over(required, recalls=RECALLS, baselines=BASELINES):
    gates = Gates(min_over_baseline=required)
    measured = Measured(**GOOD, recalls=recalls, baseline_recalls=baselines)
    return [one for one in check_gates(gates, measured) if "_over_" in one.name]


def test_a_number_compares_with_the_best_baseline_at_each_k():
    results = _over(1.25)
    assert [(one.name, one.passed) for one in results] == [
        ("recall@10_over_after_seed", False),
        ("recall@50_over_most_popular", True),
    ]
    assert results[0].message == (
        "recall@10_over_after_seed: 0.2 is less than the required 0.2375 "
        "(gates.min_over_baseline 1.25 times the 0.19 of after_seed)"
    )


def test_names_compare_with_their_baselines_alone():
    results = _over({"most_popular": 1.25})
    assert [one.name for one in results] == [
        "recall@10_over_most_popular",
        "recall@50_over_most_popular",
    ]
    assert all(one.passed for one in results)


def test_no_baseline_is_looked_at_where_none_is_asked_for():
    assert not _over(None)


def test_what_was_not_measured_of_a_baseline_passes_and_says_so():
    nothing = dict.fromkeys(RECALLS)
    for results in (
        _over({"item_knn": 2.0}),
        _over(2.0, recalls=nothing, baselines={"most_popular": nothing}),
    ):
        assert len(results) == 2
        for one in results:
            assert one.passed
            assert "was not measured" in one.message
    (of_nan, _) = _over(0.1, recalls={"10": math.nan, "50": 0.5})
    assert not of_nan.passed


@pytest.mark.parametrize(
    ("ranking", "ratio", "passed", "message"),
    [
        ((1.0, 0.3, 0.2), 1.5, True, "0.3 is at most the allowed 0.3"),
        ((1.0, 0.31, 0.2), 1.5, False, "ranking_user_loss: 0.31 is more than the allowed 0.3 "),
        ((1.0, 0.31, 0.2), 0, True, "gates.max_ranking_loss_ratio is 0"),
        ((1.0, 0.31, None), 1.5, True, "no last release to compare with"),
        ((None, None, 0.2), 1.5, True, "there are no held-out impressions"),
        ((1.0, math.nan, 0.2), 1.5, False, "nan is more than"),
    ],
)
def test_a_ranking_model_must_not_be_much_worse_than_the_last_one(ranking, ratio, passed, message):
    gates = Gates(max_ranking_loss_ratio=ratio)
    measured = Measured(**GOOD, ranking=MeasuredRanking(*ranking))
    result = {one.name: one for one in check_gates(gates, measured)}["ranking_user_loss"]
    assert result.passed is passed
    assert message in result.message


def test_the_loss_of_a_ranking_model_must_be_finite():
    measured = Measured(**GOOD, ranking=MeasuredRanking(math.inf))
    result = {one.name: one for one in check_gates(GATES, measured)}["ranking_loss"]
    assert not result.passed
