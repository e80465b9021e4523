"""The parts of the ranking model, each against plain NumPy."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.models.ranking.bottom import Stack
from twotower_tf.models.ranking.mixture_of_experts import MixtureOfExperts
from twotower_tf.models.ranking.numbers import Numbers
from twotower_tf.models.ranking.watch_time import expected_watch_seconds, weighted_logistic_loss

QUERY = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
CANDIDATES = np.random.default_rng(1).normal(size=(3, 5, 2)).astype(np.float32)
BOTH = np.concatenate([np.repeat(QUERY[:, np.newaxis], 5, axis=1), CANDIDATES], axis=-1)


def _stack(layer: Stack, x: np.ndarray) -> np.ndarray:
    """Returns what the layers of a stack make of query and candidate side by side."""
    first, *others = [layer._first, *layer._others]
    kernel = np.concatenate([first.of_query.numpy(), first.of_candidate.numpy()])
    x = np.maximum(x @ kernel + first.bias.numpy(), 0)
    for one in others:
        x = np.maximum(x @ one.kernel.numpy() + one.bias.numpy(), 0)
    return x


def test_a_stack_sees_query_and_candidate_side_by_side():
    layer = Stack([6, 3], seed=1)
    found = layer(tf.constant(QUERY), tf.constant(CANDIDATES))
    np.testing.assert_allclose(found, _stack(layer, BOTH), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(Stack([], seed=1)(QUERY, tf.constant(CANDIDATES)), BOTH)


def test_each_head_sees_its_own_mixture_of_the_experts():
    layer = MixtureOfExperts([4, 3], heads=2, experts=3, seed=1)
    found = layer(tf.constant(QUERY), tf.constant(CANDIDATES))
    experts = [_stack(expert, BOTH) for expert in layer._experts]
    for head, gate in zip(found, layer._gates, strict=True):
        kernel = np.concatenate([gate.of_query.numpy(), gate.of_candidate.numpy()])
        shares = np.exp(BOTH @ kernel + gate.bias.numpy())
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = sum(shares[..., n, np.newaxis] * expert for n, expert in enumerate(experts))
        np.testing.assert_allclose(head, mixed, rtol=1e-4, atol=1e-6)
    assert not np.allclose(found[0], found[1])


def test_experts_need_layers():
    with pytest.raises(ValueError, match="at least one layer"):
        MixtureOfExperts([], heads=1, experts=2, seed=0)


def test_a_number_becomes_its_place_among_those_seen_and_its_powers():
    rng = np.random.default_rng(2)
    seen = {"a": rng.exponential(5, 4000), "b": rng.normal(size=4000)}
    numbers = Numbers(["a", "b"])
    numbers.adapt(seen)
    asked = {"a": np.array([[-1.0, 2.0], [5.0, 1e9]]), "b": np.array([[0.0, 1.0], [-1.0, -9.0]])}
    found = numbers({name: tf.constant(v, tf.float32) for name, v in asked.items()}).numpy()
    assert found.shape == (2, 2, numbers.width)
    assert (found[..., :6] < 1).all()
    for column, name in enumerate(asked):
        below = [[np.mean(seen[name] < value) for value in row] for row in asked[name]]
        x = found[..., column]
        np.testing.assert_allclose(x, below, atol=0.006)
        np.testing.assert_allclose(found[..., 2 + column], x**2, rtol=1e-5)
        np.testing.assert_allclose(found[..., 4 + column], np.sqrt(x), rtol=1e-5)
    assert (found[..., 6:] == 1).all()
    assert float(numbers.least("a")) == pytest.approx(seen["a"].min())


def test_what_never_happened_is_told_from_the_longest_ago():
    numbers = Numbers(["days"], powers=False)
    numbers.adapt({"days": np.array([1.0, 2.0, np.inf, np.nan, 3.0])})
    found = numbers({"days": tf.constant([np.inf, np.nan, 99.0, 0.0])}).numpy()
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [1, 1], [0, 1]], atol=1e-6)
    never = Numbers(["days"], powers=False)
    never.adapt({"days": np.array([np.inf])})
    assert np.isfinite(never({"days": tf.constant([np.inf, 3.0])})).all()


@pytest.mark.parametrize(
    ("exact", "seconds_each"),
    [pytest.param(False, 120 / 3, id="over unclicked"), pytest.param(True, 120 / 5, id="over all")],
)
def test_the_least_loss_is_at_the_odds_of_watched_seconds_to_impressions(exact, seconds_each):
    clicked = np.array([1, 0, 0, 1, 0], np.float32)
    seconds = np.array([30, np.nan, 0, 90, 0], np.float32)

    def loss(logit: float) -> float:
        logits = tf.fill([5], np.float32(logit))
        return float(tf.reduce_sum(weighted_logistic_loss(logits, clicked, seconds, exact)))

    best = np.log(seconds_each)
    assert loss(best) < min(loss(best - 0.1), loss(best + 0.1))
    found = expected_watch_seconds(tf.constant(best))
    np.testing.assert_allclose(found, seconds_each, rtol=1e-5)


def test_any_logit_makes_a_finite_watch_time():
    logits = tf.constant([np.nan, np.inf, -np.inf, 1e30, 0.0])
    found = expected_watch_seconds(logits).numpy()
    assert (np.isfinite(found) & (found > 0)).all()
    assert found[0] == found[2] < found[4] == 1 < found[1]
