"""Explicit and hard negatives against a naive NumPy loss, value and finite differences."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.models.losses.cosine import PairwiseHinge
from twotower_tf.models.losses.in_batch import (
    CorrectedSoftmax,
    CorrectedSoftmaxByExample,
    CorrectedSoftmaxByExampleMasked,
    MixedSoftmax,
    PlainSoftmax,
)
from twotower_tf.models.losses.query_negatives import QueryNegatives
from twotower_tf.models.losses.refined_softmax import RefinedSoftmax

ONCE = [CorrectedSoftmax, MixedSoftmax, RefinedSoftmax]
BY_EXAMPLE = [CorrectedSoftmaxByExample, CorrectedSoftmaxByExampleMasked, PlainSoftmax]
TAU, WEIGHT = 0.3, 2.5
RANDOM = np.random.default_rng(5)


def unit(*shape):
    rows = RANDOM.normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# Items 0 and 1 have several examples; 1 and 3 are both an explicit negative and a positive.
POSITIVES = np.array([0, 1, 0, 2, 1, 3, 3])
REWARDS = np.array([1.0, 0.0, 0.5, 0.7, 1.3, 0.0, 0.4])
EXPLICIT = np.where(REWARDS == 0, 0.6, 0.0)
PLACES = np.array([[0, 1, 2], [3, -1, 1], [-1, -1, -1], [4, -1, -1], [2, 2, 0], [-1, -1, -1]])
PLACES = np.concatenate([PLACES, [[1, 4, -1]]]).astype(np.int32)
BATCH = {"u": unit(7, 4), "v": unit(4, 4), "hard": unit(5, 4)}
PROBABILITIES = RANDOM.uniform(0.05, 0.95, 4)


def naive(kind, u, v, hard=None, explicit=None, published=False):
    """The loss as it is defined, example by example, in float64."""
    total = 0.0
    for i, own in enumerate(POSITIVES):
        score = u[i] @ v[own] / TAU
        is_explicit = explicit is not None and explicit[i] > 0
        if kind in ONCE:
            others = [j for j in range(len(v)) if j != own]
        else:
            others = [j for k, j in enumerate(POSITIVES) if k != i]
            if is_explicit or kind is CorrectedSoftmaxByExampleMasked:
                others = [j for j in others if j != own]
        p = np.ones(len(v)) if kind is PlainSoftmax else PROBABILITIES
        certain = is_explicit
        if kind is RefinedSoftmax:
            p, certain = 1 - (1 - p) ** (6 / 7), True
        terms = [np.exp(u[i] @ v[j] / TAU) / p[j] for j in others]
        if hard is not None:
            terms += [WEIGHT * np.exp(u[i] @ hard[k] / TAU) for k in PLACES[i] if k >= 0]
        mine = np.exp(score) / (1.0 if certain else p[own])
        share = mine / (mine + sum(terms))
        if is_explicit:
            total -= explicit[i] * np.log(1 - share)
        elif kind is RefinedSoftmax and published:
            total -= REWARDS[i] * (1 - share) * np.log(mine / sum(terms))
        else:
            total -= REWARDS[i] * np.log(share)
    return total / len(u)


def run(kind, explicit, hard, dtype=np.float64):
    inputs = {key: tf.constant(BATCH[key].astype(dtype)) for key in BATCH if hard or key != "hard"}
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        negatives = QueryNegatives(
            tf.constant(EXPLICIT.astype(np.float32)) if explicit else None,
            inputs.get("hard"),
            tf.constant(PLACES) if hard else None,
            WEIGHT,
        )
        value = kind(TAU)(
            inputs["u"],
            inputs["v"],
            tf.constant(POSITIVES),
            tf.constant(REWARDS.astype(dtype)),
            tf.constant(PROBABILITIES.astype(dtype)),
            query_negatives=negatives,
        )
    gradients = tape.gradient(value, inputs)
    return value.numpy(), {key: tf.convert_to_tensor(one).numpy() for key, one in gradients.items()}


@pytest.mark.parametrize(("explicit", "hard"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kind", [*ONCE, *BY_EXAMPLE])
def test_value_and_gradients_equal_the_naive_loss_and_its_differences(kind, explicit, hard):
    value, gradients = run(kind, explicit, hard)
    given = {"explicit": EXPLICIT.astype(np.float32)} if explicit else {}
    batch = {key: rows for key, rows in BATCH.items() if hard or key != "hard"}
    assert value == pytest.approx(naive(kind, **batch, **given, published=True), rel=1e-9)
    for key, gradient in gradients.items():
        for place in np.ndindex(gradient.shape):
            nudged = []
            for by in (1e-5, -1e-5):
                rows = batch[key].copy()
                rows[place] += by
                nudged.append(naive(kind, **{**batch, key: rows}, **given))
            difference = (nudged[0] - nudged[1]) / 2e-5
            assert gradient[place] == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", [*ONCE, *BY_EXAMPLE])
def test_without_any_the_loss_is_the_same_to_the_bit(kind):
    rows = [tf.constant(BATCH[key].astype(np.float32)) for key in ("u", "v")]
    numbers = [tf.constant(one.astype(np.float32)) for one in (REWARDS, PROBABILITIES)]
    arguments = [*rows, tf.constant(POSITIVES), *numbers]
    places = tf.fill([7, 2], -1)
    none = QueryNegatives(tf.zeros([7]), tf.ones([1, 4]), places)
    without = kind(TAU)(*arguments).numpy()
    assert kind(TAU)(*arguments, query_negatives=none).numpy() == pytest.approx(without, rel=1e-6)
    assert kind(TAU)(*arguments, query_negatives=QueryNegatives()).numpy() == without


@pytest.mark.parametrize("kind", [*ONCE, *BY_EXAMPLE])
@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_an_explicit_negative_stays_finite_however_near_or_far_it_is(kind, turned):
    # Logits of +100 and -100: 1 - P is 0 in float32, -log of it is 200.
    u = tf.constant([[turned, 0.0]] * 2)
    v, explicit = tf.constant([[1.0, 0.0], [-1.0, 0.0]]), tf.constant([1.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch([u, v])
        value = kind(0.01)(
            *(u, v, tf.constant([0, 1]), tf.zeros([2]), tf.ones([2])),
            query_negatives=QueryNegatives(explicit),
        )
    assert value.numpy() == pytest.approx(100.0 if turned > 0 else 0.0, abs=1e-5)
    for gradient in tape.gradient(value, [u, v]):
        assert np.isfinite(gradient).all()


def test_an_explicit_negative_that_is_the_only_item_costs_nothing():
    negatives = QueryNegatives(tf.ones([2]))
    u, v = tf.constant([[1.0, 0.0]] * 2), tf.constant([[1.0, 0.0]])
    value = CorrectedSoftmax(0.1)(
        u, v, tf.constant([0, 0]), tf.zeros([2]), tf.ones([1]), query_negatives=negatives
    )
    assert value.numpy() == 0.0


def test_a_loss_that_takes_none_says_so():
    with pytest.raises(ValueError, match="PairwiseHinge takes neither explicit nor hard"):
        PairwiseHinge(0.1)(
            *(tf.ones([1, 2]), tf.ones([1, 2]), tf.constant([0]), tf.ones([1])),
            query_negatives=QueryNegatives(),
        )
