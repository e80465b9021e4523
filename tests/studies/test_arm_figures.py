"""Figures of arms: ratios of sums, and intervals that normal theory gives too."""

import math

import numpy as np
import pytest

from twotower_tf.studies.arm_figures import FIGURES, Difference, differences, figures_of

USERS = 4000


def sums_of(rng, users=USERS, seconds=100.0):
    """Returns the sums of made-up users, as if they were of one day that counts for 5."""
    pages = rng.poisson(6.0, users).astype(float)
    sums = {
        "days": np.full(users, 5.0),
        "pages": pages,
        "shown": 12.0 * pages,
        "clicks": rng.poisson(pages),
        "watched_seconds": pages * rng.gamma(2.0, seconds / 2.0, users),
        "expected_seconds": pages * seconds,
        "fresh": rng.binomial((12 * pages).astype(int), 0.2).astype(float),
        "distinct_items": 11.0 * pages,
    }
    return {name: values[:, np.newaxis] for name, values in sums.items()}


def sums_of_days(rng, users, days, release_error, seconds=100.0):
    """Returns the sums of users who are alike on all days, as releases of their arm are not."""
    sums = [sums_of(rng, users) for _ in range(days)]
    made = {name: np.concatenate([one[name] for one in sums], axis=1) for name in sums[0]}
    released = seconds + release_error * rng.normal(size=days)
    taste = rng.gamma(4.0, 1.0 / 4.0, (users, 1))
    return {**made, "watched_seconds": made["pages"] * taste * released}


@pytest.fixture
def arms():
    rng = np.random.default_rng(3)
    return sums_of(rng), sums_of(rng, USERS // 2, seconds=120.0)


def ratio_and_error(above, below):
    """Returns a ratio of sums, and its standard error by the delta method."""
    ratio = above.sum() / below.sum()
    spread = np.std(above - ratio * below, ddof=1)
    return ratio, spread / below.mean() / math.sqrt(len(above))


def test_figures_are_ratios_of_sums(arms):
    figures = figures_of(arms[0])
    assert list(figures) == list(FIGURES)
    sums = arms[0]
    assert figures["clicks"] == pytest.approx(sums["clicks"].sum() / USERS / 5.0)
    assert figures["watched_seconds_a_page"] == pytest.approx(
        sums["watched_seconds"].sum() / sums["pages"].sum()
    )
    assert figures["expected_seconds_a_page"] == pytest.approx(100.0)
    assert figures["fresh_share"] == pytest.approx(0.2, abs=0.01)


def test_intervals_are_those_of_normal_theory(arms):
    found = differences(*arms, seed=1)
    for key, (_, above, below) in FIGURES.items():
        (first, first_error), (other, other_error) = (
            ratio_and_error(arm[above], arm[below]) for arm in arms
        )
        margin = 1.96 * math.hypot(first_error, other_error)
        one = found[key]
        assert one.value == pytest.approx(other - first)
        # The quantiles of 4000 draws have errors of their own.
        assert one.low == pytest.approx(other - first - margin, abs=0.1 * margin + 1e-9)
        assert one.high == pytest.approx(other - first + margin, abs=0.1 * margin + 1e-9)


def test_an_effect_is_found_and_its_absence_too(arms):
    found = differences(*arms, seed=1)
    assert not found["watched_seconds"].is_none
    assert found["watched_seconds"].low > 0.0
    assert found["clicks"].is_none


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, held = np.random.default_rng(5), 0
    for seed in range(200):
        arms = sums_of(rng, 150), sums_of(rng, 150, seconds=120.0)
        one = differences(*arms, seed, resamples=400)["watched_seconds_a_page"]
        held += one.low <= 20.0 <= one.high
    # 190 are expected, with a standard deviation of 3.1.
    assert 178 <= held <= 199


def test_intervals_hold_the_truth_where_each_days_release_is_a_draw_too():
    rng, held, of_users_alone = np.random.default_rng(6), 0, 0
    for seed in range(100):
        arms = [sums_of_days(rng, 150, 12, 15.0, seconds) for seconds in (100.0, 120.0)]
        whole = [{key: one.sum(axis=1, keepdims=True) for key, one in arm.items()} for arm in arms]
        for sums, alone in ((arms, False), (whole, True)):
            one = differences(*sums, seed, resamples=200)["watched_seconds_a_page"]
            holds = one.low <= 20.0 <= one.high
            held, of_users_alone = held + (holds and not alone), of_users_alone + (holds and alone)
    # Of 100 intervals; users alone don't know of releases.
    assert held >= 88
    assert of_users_alone < held - 5


@pytest.mark.long
def test_the_same_seed_gives_the_same_intervals_and_another_gives_others(arms):
    assert differences(*arms, seed=4) == differences(*arms, seed=4)
    assert differences(*arms, seed=4) != differences(*arms, seed=5)


def test_draws_are_the_same_in_portions(arms, monkeypatch):
    whole = differences(*arms, seed=4, resamples=50)
    monkeypatch.setattr("twotower_tf.studies.arm_figures._MOST_COUNTS", 7 * USERS)
    for key, one in differences(*arms, seed=4, resamples=50).items():
        assert (one.low, one.high) == pytest.approx((whole[key].low, whole[key].high))


@pytest.mark.parametrize(
    ("low", "high", "is_none"), [(-1.0, 1.0, True), (0.0, 1.0, True), (0.1, 1.0, False)]
)
def test_a_difference_whose_interval_holds_zero_is_none(low, high, is_none):
    assert Difference(0.5, low, high).is_none == is_none


def test_where_nothing_was_shown_figures_are_zero():
    sums = {name: np.zeros((3, 2)) for name in sums_of(np.random.default_rng(1), 3)}
    assert set(figures_of({**sums, "days": np.ones((3, 2))}).values()) == {0.0}
