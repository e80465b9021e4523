"""What the corrections are for: the mean gradient over many batches against the full softmax's."""

import numpy as np
import pytest

from benchmarks.loss_bias import make_training_set, measure


@pytest.fixture(scope="module")
def measured():
    data = make_training_set(items=300, examples=1000, exponent=0.8, temperature=0.15)
    return measure(data, batch_size=32, batches=300, negatives=32)


def test_full_softmax_gradient_equals_finite_differences():
    data = make_training_set(items=7, examples=20, exponent=1.0, temperature=0.3, dim=3)
    gradient, weight = data.full_softmax()

    def log_softmax(items):
        logits = data.queries @ items.T / 0.3
        return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[
            np.arange(20), data.item_of
        ]

    for place in np.ndindex(data.items.shape):
        nudge = np.zeros_like(data.items)
        nudge[place] = 1e-6
        up, down = (-log_softmax(data.items + sign * nudge).mean() for sign in (1, -1))
        np.testing.assert_allclose(gradient[place], (up - down) / 2e-6, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(weight, 1 - np.exp(log_softmax(data.items)).mean(), rtol=1e-12)


def test_corrected_losses_approach_the_full_softmax_and_the_plain_one_does_not(measured):
    assert measured["plain_softmax"]["bias"] > 0.8
    for kind, most in {
        "corrected_softmax": 0.30,
        "corrected_softmax_by_example": 0.45,
        "corrected_softmax_by_example_masked": 0.45,
    }.items():
        assert measured[kind]["bias"] < most, kind
    by_example = measured["corrected_softmax_by_example"]["bias"]
    assert measured["corrected_softmax"]["bias"] < 0.75 * by_example


def test_refined_loss_is_closer_to_the_full_softmax_than_the_standard_one(measured):
    standard, refined = measured["corrected_softmax"], measured["refined_softmax"]
    assert refined["bias"] < 0.75 * standard["bias"]
    assert refined["bias_of_rare"] < standard["bias_of_rare"]
    # The standard one takes the positive for likelier than it is, and hardly learns from it.
    truth = measured["full_softmax"]["weight"]
    assert abs(refined["weight"] - truth) < 0.3 * abs(standard["weight"] - truth)


def test_uniform_negatives_reach_the_items_that_batches_do_not(measured):
    mixed = measured["mixed_softmax"]
    assert mixed["bias_of_rare"] < 0.8 * measured["corrected_softmax"]["bias_of_rare"]
    assert mixed["bias"] < 0.8 * measured["corrected_softmax"]["bias"]
