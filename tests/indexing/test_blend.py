"""The fit of a blend against a definition in plain Python, and against weights that are known."""

import math

import numpy as np
import pytest

from twotower_tf.indexing.nominators.blend import PRIOR_SLOPE, Choices, fit, fit_blend
from twotower_tf.indexing.nominators.own_items import OwnItems


def _choices(rng, weights: np.ndarray, examples: int) -> Choices:
    """Lets users choose among candidates by known weights."""
    features, starts, chosen = [], [], []
    for _ in range(examples):
        count = int(rng.integers(2, 9))
        own = rng.normal(size=(count, len(weights))) * [0.3, 1.0, 2.0]
        own[: count // 2, 1:] = 0.0
        logits = own @ weights
        shares = np.exp(logits) / np.exp(logits).sum()
        starts.append(sum(map(len, features)))
        chosen.append(starts[-1] + int(rng.choice(count, p=shares)))
        features.append(own)
    return Choices(np.concatenate(features), np.array(starts), np.array(chosen))


def _log_density(choices: Choices, weights, prior) -> float:
    """The logarithm of likelihood times prior, an example at a time."""
    total = 0.0
    ends = [*choices.starts[1:].tolist(), len(choices.features)]
    for start, end, chosen in zip(choices.starts, ends, choices.chosen, strict=True):
        logits = [
            math.fsum(w * x for w, x in zip(weights, row, strict=True))
            for row in choices.features[start:end]
        ]
        total += logits[chosen - start] - math.log(math.fsum(map(math.exp, logits)))
    # The cosine's own spread; of features at least 1.
    scale = [max(s, float(place > 0)) for place, s in enumerate(choices.features.std(axis=0))]
    return total - 0.5 * sum(
        ((w - p) * s) ** 2 for w, p, s in zip(weights, prior, scale, strict=True)
    )


@pytest.mark.parametrize("examples", [1, 20, 200])
def test_no_other_weights_fit_better(examples):
    rng = np.random.default_rng(examples)
    prior = np.array([5.0, 0.0, -1.0])
    choices = _choices(rng, np.array([4.0, 1.0, -0.5]), examples)
    found = fit(choices, prior)
    best = _log_density(choices, found, prior)
    for step in np.concatenate([np.eye(3), -np.eye(3), rng.normal(size=(20, 3))]):
        for size in (1e-3, 0.1, 1.0):
            moved = found + size * step
            # Below it the slope is not allowed to be.
            if moved[0] >= 0.1:
                assert _log_density(choices, moved, prior) < best


def test_many_choices_tell_the_weights_they_were_made_by():
    weights = np.array([6.0, 1.5, -0.7])
    found = fit(_choices(np.random.default_rng(5), weights, 6000), np.array([10.0, 0.0, 0.0]))
    np.testing.assert_allclose(found, weights, rtol=0.1)


def test_without_examples_and_where_nothing_differs_the_prior_stays():
    prior = np.array([10.0, 1.0, 2.0])
    nothing = Choices(np.zeros((0, 3)), np.zeros(0, int), np.zeros(0, int))
    assert fit(nothing, prior).tolist() == prior.tolist()
    rng = np.random.default_rng(0)
    choices = _choices(rng, np.array([6.0, 1.0, 0.0]), 50)
    choices.features[:, 2] = 3.0
    assert fit(choices, prior)[2] == pytest.approx(2.0)
    blend = fit_blend([], [OwnItems()])
    assert (blend.slope, blend.examples) == (PRIOR_SLOPE, 0)
    assert tuple(blend.weights) == OwnItems().features
    assert tuple(blend.weights.values()) == OwnItems().prior


def test_a_cosine_never_counts_against_an_item():
    # Users who chose what is far from them: a model that has come apart.
    choices = _choices(np.random.default_rng(1), np.array([-8.0, 1.0, 0.0]), 300)
    found = fit(choices, np.array([10.0, 0.0, 0.0]))
    assert found[0] == pytest.approx(0.1)
    assert found[1] > 0.3


def test_what_is_not_finite_is_refused():
    choices = _choices(np.random.default_rng(2), np.array([5.0, 1.0, 0.0]), 5)
    choices.features[3, 0] = math.nan
    with pytest.raises(FloatingPointError, match="must be finite"):
        fit(choices, np.array([10.0, 0.0, 0.0]))


def test_batches_together_are_fitted_as_one():
    rng = np.random.default_rng(3)
    parts = [
        Choices(np.pad(one.features, [[0, 0], [0, 1]]), one.starts, one.chosen)
        for one in (_choices(rng, np.array([5.0, 1.0, 0.5]), 40) for _ in range(2))
    ]
    shifted = len(parts[0].features)
    together = Choices(
        *(np.concatenate([parts[0][n], parts[1][n] + (shifted if n else 0)]) for n in range(3))
    )
    assert fit_blend(parts, [OwnItems()]) == fit_blend([together], [OwnItems()])
    assert fit_blend(parts, [OwnItems()]).examples == 80


def test_what_differs_little_in_the_examples_gets_no_weight_that_outweighs_all_tomorrow():
    # Of two own items always the one of some hours earlier was taken: a log of one day.
    cosines, days = np.random.default_rng(3).uniform(0.2, 0.4, 80), np.tile([0.1, 0.2], 40)
    features = np.stack([cosines, np.log1p(days)], axis=1)
    choices = Choices(features, np.arange(0, 80, 2), np.arange(1, 80, 2))
    prior = np.array([10.0, -0.1])
    _, weight = fit(choices, prior)
    # With a spread of 0.04 as its unit it would be 40 and more, for a likelihood hardly better.
    assert 0 < weight < 2
