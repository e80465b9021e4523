"""The losses against naive float64 loops, values and gradients."""

import doctest

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.config.registries import LOSSES
from twotower_tf.models import candidates
from twotower_tf.models.candidates import distinct_items
from twotower_tf.models.losses import cosine, in_batch, mse_gramian, refined_softmax, temperature
from twotower_tf.models.losses.cosine import PairwiseHinge, Pointwise
from twotower_tf.models.losses.in_batch import (
    CorrectedSoftmax,
    CorrectedSoftmaxByExample,
    CorrectedSoftmaxByExampleMasked,
    MixedSoftmax,
    PlainSoftmax,
    probability_by_either_route,
)
from twotower_tf.models.losses.mse_gramian import MseGramian
from twotower_tf.models.losses.refined_softmax import RefinedSoftmax, probability_among_others
from twotower_tf.models.losses.temperature import LearnedTemperature

DISTINCT = [CorrectedSoftmax, MixedSoftmax]
BY_EXAMPLE = [CorrectedSoftmaxByExample, CorrectedSoftmaxByExampleMasked, PlainSoftmax]
ALL = [*DISTINCT, *BY_EXAMPLE, RefinedSoftmax]


def naive_columns(kind, i, v, positives):
    """The items of example i's candidates, one a column of its logits, duplicates and all."""
    if kind in DISTINCT:
        return list(range(len(v)))
    if kind is CorrectedSoftmaxByExampleMasked:
        others = [item for item in positives if item != positives[i]]
        return [positives[i], *others]
    return list(positives)


def naive_loss(kind, tau, u, v, positives, rewards, probabilities):
    """Value and gradients of the loss as its definition says, candidate by candidate, float64.

    The gradient of -log softmax is (softmax - 1[positive]) for each logit.
    """
    if kind is RefinedSoftmax:
        return naive_refined(tau, u, v, positives, rewards, probabilities)
    value, grad_u, grad_v = 0.0, np.zeros_like(u), np.zeros_like(v)
    for i in range(len(u)):
        columns = naive_columns(kind, i, v, positives)

        def logit(item, i=i):
            correction = 0.0 if kind is PlainSoftmax else np.log(probabilities[item])
            return u[i] @ v[item] / tau - correction

        logits = np.array([logit(item) for item in columns])
        exponentials = np.exp(logits - logits.max())
        softmax = exponentials / exponentials.sum()
        weight = rewards[i] / len(u)
        log_denominator = logits.max() + np.log(exponentials.sum())
        value += weight * (log_denominator - logit(positives[i]))
        for item, share in zip(columns, softmax, strict=True):
            grad_u[i] += weight * share * v[item] / tau
            grad_v[item] += weight * share * u[i] / tau
        grad_u[i] -= weight * v[positives[i]] / tau
        grad_v[positives[i]] -= weight * u[i] / tau
    return value, grad_u, grad_v


def naive_refined(tau, u, v, positives, rewards, probabilities):
    """The refined loss as published: the negatives' softmax apart, the example's weight frozen."""
    value, grad_u, grad_v = 0.0, np.zeros_like(u), np.zeros_like(v)
    for i in range(len(u)):
        own, negatives = positives[i], [j for j in range(len(v)) if j != positives[i]]
        if not negatives:
            continue
        drawn_per_example = 1 - (1 - probabilities) ** (1 / len(u))
        inclusion = 1 - (1 - drawn_per_example) ** (len(u) - 1)
        logits = np.array([u[i] @ v[j] / tau - np.log(inclusion[j]) for j in negatives])
        top = max(logits.max(), u[i] @ v[own] / tau)
        exponentials, positive = np.exp(logits - top), np.exp(u[i] @ v[own] / tau - top)
        others = exponentials.sum() / (positive + exponentials.sum())
        weight = rewards[i] / len(u) * others
        if weight:
            value -= weight * (u[i] @ v[own] / tau - top - np.log(exponentials.sum()))
            for j, share in zip(negatives, exponentials / exponentials.sum(), strict=True):
                grad_u[i] += weight * share * v[j] / tau
                grad_v[j] += weight * share * u[i] / tau
            grad_u[i] -= weight * v[own] / tau
            grad_v[own] -= weight * u[i] / tau
    return value, grad_u, grad_v


def loss_and_gradients(loss, u, v, positives, rewards, probabilities):
    u, v = tf.constant(u), tf.constant(v)
    with tf.GradientTape() as tape:
        tape.watch([u, v])
        value = loss(u, v, tf.constant(positives), tf.constant(rewards), tf.constant(probabilities))
    return [value.numpy(), *(gradient.numpy() for gradient in tape.gradient(value, [u, v]))]


def make_batch(items, rewards=None, dim=6, seed=0):
    """A batch whose examples have the given item ids: unit vectors, rewards, probabilities."""
    random = np.random.default_rng(seed)
    positives, first = (t.numpy() for t in distinct_items(tf.constant(items)))
    u = random.normal(size=(len(items), dim))
    v = random.normal(size=(len(first), dim))
    return {
        "u": u / np.linalg.norm(u, axis=1, keepdims=True),
        "v": v / np.linalg.norm(v, axis=1, keepdims=True),
        "positives": positives,
        "rewards": random.uniform(0, 2, len(items)) if rewards is None else np.array(rewards),
        "probabilities": random.uniform(0.01, 1.0, len(first)),
    }


BATCHES = {
    "all different": make_batch([3, 1, 4, 5, 9, 2]),
    "duplicates": make_batch([7, 3, 7, 7, 1, 3, 5, 7]),
    "some rewards zero": make_batch([7, 3, 7, 1], rewards=[0.0, 1.0, 0.5, 0.0]),
    "one example": make_batch([5]),
    "one item": make_batch([5, 5, 5, 5]),
}


@pytest.mark.parametrize("tau", [0.01, 0.07, 1.0])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", ALL)
def test_value_and_gradients_equal_the_naive_loops(kind, batch, tau):
    batch = BATCHES[batch]
    got = loss_and_gradients(kind(tau), **batch)
    for actual, expected in zip(got, naive_loss(kind, tau, **batch), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", [*DISTINCT, *BY_EXAMPLE])
def test_gradients_equal_finite_differences(kind):
    # A second reference, which does not share the naive version's algebra. (The refined loss has
    # a stopped gradient: its differences are another thing.)
    batch = BATCHES["duplicates"]
    _, *gradients = loss_and_gradients(kind(0.2), **batch)
    for name, gradient in zip("uv", gradients, strict=True):
        for position in np.ndindex(gradient.shape):
            values = []
            for nudge in (1e-5, -1e-5):
                nudged = batch[name].copy()
                nudged[position] += nudge
                values.append(naive_loss(kind, 0.2, **(batch | {name: nudged}))[0])
            difference = (values[0] - values[1]) / 2e-5
            np.testing.assert_allclose(gradient[position], difference, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", [*DISTINCT, *BY_EXAMPLE])
def test_the_gradient_of_a_learned_temperature_equals_finite_differences(kind):
    batch, learned = BATCHES["duplicates"], LearnedTemperature(start=0.2, least=0.1, most=0.3)
    with tf.GradientTape() as tape:
        value = kind(learned)(*map(tf.constant, batch.values()))
    tau = float(learned)
    assert float(value) == pytest.approx(naive_loss(kind, tau, **batch)[0], rel=1e-6)
    higher, lower = (naive_loss(kind, tau * np.exp(by), **batch)[0] for by in (1e-5, -1e-5))
    gradient = tape.gradient(value, learned.logarithm)
    assert float(gradient) == pytest.approx((higher - lower) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("kind", BY_EXAMPLE)
def test_by_example_forms_equal_the_stock_cross_entropy_over_b_by_b_logits(kind):
    batch = BATCHES["duplicates"]
    u, v = tf.constant(batch["u"]), tf.constant(batch["v"])
    positives = tf.constant(batch["positives"])
    with tf.GradientTape() as tape:
        tape.watch([u, v])
        logits = tf.matmul(u, tf.gather(v, positives), transpose_b=True) / 0.1
        if kind is not PlainSoftmax:
            logits -= tf.math.log(tf.gather(batch["probabilities"], positives))
        if kind is CorrectedSoftmaxByExampleMasked:
            same = batch["positives"][:, None] == batch["positives"][None]
            hits = same & ~np.eye(len(positives), dtype=bool)
            logits = tf.where(hits, tf.constant(-1e300, tf.float64), logits)
        losses = tf.nn.softmax_cross_entropy_with_logits(
            tf.eye(len(batch["u"]), dtype=tf.float64), logits
        )
        value = tf.reduce_mean(batch["rewards"] * losses)
    expected = [value, *(tf.convert_to_tensor(g) for g in tape.gradient(value, [u, v]))]
    for actual, reference in zip(loss_and_gradients(kind(0.1), **batch), expected, strict=True):
        np.testing.assert_allclose(actual, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_examples_of_reward_zero_have_exactly_no_gradient(kind):
    batch = BATCHES["some rewards zero"]
    _, grad_u, _ = loss_and_gradients(kind(0.05), **batch)
    assert np.all(grad_u[[0, 3]] == 0.0)
    assert np.all(grad_u[[1, 2]].any(axis=1))

    value, grad_u, grad_v = loss_and_gradients(kind(0.05), **(batch | {"rewards": np.zeros(4)}))
    assert value == 0.0
    assert not grad_u.any()
    assert not grad_v.any()


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("probability", [1.0, 1e-9])
def test_extreme_logits_stay_finite_in_float32(kind, probability):
    # Opposite unit vectors at tau 0.01: logits of +100 and -100, of which exp overflows float32.
    u = np.array([[1, 0], [-1, 0]], np.float32)
    probabilities = np.array([1.0, probability], np.float32)
    batch = (u, -u, np.array([0, 1]), np.ones(2, np.float32), probabilities)
    got = loss_and_gradients(kind(0.01), *batch)
    u, v, positives, rewards, probabilities = batch
    expected = naive_loss(
        kind,
        0.01,
        u.astype(float),
        v.astype(float),
        positives,
        rewards,
        probabilities.astype(float),
    )
    for actual, reference in zip(got, expected, strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, reference, rtol=1e-5)


def loss_specs(examples, items):
    return [
        tf.TensorSpec([examples, 4]),
        tf.TensorSpec([items, 4]),
        tf.TensorSpec([examples], tf.int32),
        tf.TensorSpec([examples]),
        tf.TensorSpec([items]),
    ]


@pytest.mark.parametrize("run", ["eagerly", "in a graph", "in a graph of known shapes"])
@pytest.mark.parametrize("items", [0, 3])
@pytest.mark.parametrize("kind", ALL)
def test_empty_batch_costs_nothing(kind, items, run):
    def step(u, v, positives, rewards, probabilities):
        with tf.GradientTape() as tape:
            tape.watch([u, v])
            value = kind(0.05)(u, v, positives, rewards, probabilities)
        return value, tape.gradient(value, [u, v])

    batch = [tf.zeros(spec.shape, spec.dtype) for spec in loss_specs(0, items)]
    batch[-1] += 0.5
    if run == "in a graph":
        step = tf.function(step, input_signature=loss_specs(None, None))
    elif run == "in a graph of known shapes":
        step = tf.function(step)
    value, gradients = step(*batch)
    assert value.numpy() == 0.0
    assert [gradient.shape for gradient in gradients] == [(0, 4), (items, 4)]
    assert not any(gradient.numpy().any() for gradient in gradients)


@pytest.mark.parametrize("kind", ALL)
def test_no_gradient_flows_to_the_probabilities(kind):
    batch = {name: tf.constant(value) for name, value in BATCHES["duplicates"].items()}
    with tf.GradientTape() as tape:
        tape.watch(batch["probabilities"])
        value = kind(0.1)(*batch.values())
    assert tape.gradient(value, batch["probabilities"]) is None


@pytest.mark.parametrize("kind", ALL)
def test_same_batch_in_a_graph_gives_the_same_bits_twice(kind):
    batch = [tf.constant(value) for value in BATCHES["duplicates"].values()]
    loss = tf.function(kind(0.05).__call__)
    assert loss(*batch).numpy().tobytes() == loss(*batch).numpy().tobytes()


def test_only_the_corrected_losses_need_probabilities_and_only_the_mixed_one_negatives():
    uncorrected = {PlainSoftmax, MseGramian, Pointwise, PairwiseHinge}
    kinds = set(map(LOSSES.implementation, LOSSES.sections))
    assert {kind for kind in kinds if not kind.needs_probabilities} == uncorrected
    assert [kind for kind in kinds if kind.needs_negatives] == [MixedSoftmax]
    assert {kind for kind in kinds if kind.takes_query_negatives} == set(ALL)
    for name, section in LOSSES.sections.items():
        kind = LOSSES.implementation(name)
        assert section.uniform_negatives == kind.needs_negatives
        assert section.query_negatives == kind.takes_query_negatives
    batch = BATCHES["duplicates"]
    plain = PlainSoftmax(0.1)
    with_none = plain(batch["u"], batch["v"], batch["positives"], batch["rewards"], None)
    assert with_none.numpy() == loss_and_gradients(plain, **batch)[0]


def test_refined_gradient_is_that_of_the_cross_entropy_with_a_certain_positive():
    batch = BATCHES["duplicates"]
    u, v, positives = batch["u"], batch["v"], batch["positives"]
    inclusion = 1 - (1 - batch["probabilities"]) ** (7 / 8)
    expected = np.zeros_like(v)
    for i in range(8):
        own = np.arange(len(v)) == positives[i]
        logits = u[i] @ v.T / 0.2 - np.log(np.where(own, 1, inclusion))
        error = np.exp(logits) / np.exp(logits).sum() - own
        expected += batch["rewards"][i] / 8 * np.outer(error, u[i]) / 0.2
    got = loss_and_gradients(RefinedSoftmax(0.2), **batch)[2]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)

    # To log tau as well: of s = <u, v> / tau it is -s.
    learned = LearnedTemperature(start=0.2, least=0.1, most=0.3)
    with tf.GradientTape() as tape:
        value = RefinedSoftmax(learned)(*map(tf.constant, batch.values()))
    gradient = tape.gradient(value, learned.logarithm)
    assert float(gradient) == pytest.approx(-np.sum(expected * v), rel=1e-5)


def test_the_probability_among_the_other_examples_is_that_of_one_draw_less():
    shares, examples = np.array([0.001, 0.2, 0.999]), 9
    found = probability_among_others(
        tf.constant(1 - (1 - shares) ** examples), tf.constant(examples)
    )
    np.testing.assert_allclose(found, 1 - (1 - shares) ** (examples - 1), rtol=1e-9)
    np.testing.assert_allclose(
        probability_among_others(tf.constant([1.0, 0.5]), 2), [1, 1 - 0.5**0.5]
    )
    np.testing.assert_array_equal(probability_among_others(tf.constant([1.0, 0.5]), 1), [1.0, 0.5])


def test_probability_by_either_route_is_that_of_not_missing_both():
    p = np.array([1.0, 0.3, 1e-6, 0.0])
    either = probability_by_either_route(tf.constant(p), 50, 100)
    np.testing.assert_allclose(either, 1 - (1 - p) * 0.99**50, rtol=1e-12)
    # Float32 would take 1 - 1e-9 for 1.
    large = probability_by_either_route(tf.constant([0.0]), 1000, 10**9)
    np.testing.assert_allclose(large, [1e-6], rtol=1e-5)
    np.testing.assert_allclose(probability_by_either_route(tf.constant([0.3]), 0, 1), [0.3])
    np.testing.assert_allclose(probability_by_either_route(tf.constant([0.3]), 2, 1), [1.0])


def test_registry_names_every_loss():
    assert {
        "corrected_softmax": CorrectedSoftmax,
        "corrected_softmax_by_example": CorrectedSoftmaxByExample,
        "corrected_softmax_by_example_masked": CorrectedSoftmaxByExampleMasked,
        "plain_softmax": PlainSoftmax,
        "refined_softmax": RefinedSoftmax,
        "mixed_softmax": MixedSoftmax,
        "mse_gramian": MseGramian,
        "pointwise": Pointwise,
        "pairwise_hinge": PairwiseHinge,
    } == {kind: LOSSES.implementation(kind) for kind in LOSSES.sections}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan"), float("inf")])
def test_temperature_that_is_not_positive_is_refused(kind, temperature):
    with pytest.raises(ValueError, match=f"above 0, got {temperature}"):
        kind(temperature)


@pytest.mark.parametrize("kind", ALL)
def test_rewards_as_a_column_are_refused_instead_of_broadcast(kind):
    batch = BATCHES["duplicates"]
    with pytest.raises(ValueError, match=r"rewards must have the shape \(8,\), got \(8, 1\)"):
        loss_and_gradients(kind(0.1), **(batch | {"rewards": batch["rewards"][:, None]}))


@pytest.mark.parametrize("dtype", [str, np.int32, np.int64])
def test_distinct_items_are_in_order_of_their_first_occurrence(dtype):
    ids = np.random.default_rng(1).integers(0, 40, 100).astype(dtype).tolist()
    order = list(dict.fromkeys(ids))
    positives, first = distinct_items(tf.constant(ids))
    assert positives.numpy().tolist() == [order.index(item) for item in ids]
    assert first.numpy().tolist() == [ids.index(item) for item in order]


def test_distinct_items_of_an_empty_batch_are_none():
    positives, first = tf.function(distinct_items)(tf.zeros([0], tf.string))
    assert positives.shape == (0,)
    assert first.shape == (0,)


def test_distinct_items_refuses_a_matrix():
    with pytest.raises(ValueError, match=r"must be a vector.*got shape \(2, 1\)"):
        distinct_items(tf.constant([[1], [2]]))


@pytest.mark.parametrize(
    "module", [candidates, cosine, in_batch, mse_gramian, refined_softmax, temperature]
)
def test_documented_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
