"""One scale for all candidates of a request, fitted to what users took of them.

Of the candidates of a held-out example, those that the index and the other nominators propose, the
user took one: item y of the candidates C with the probability

    P(y) = exp(z_y) / sum_{j in C} exp(z_j),   z_j = a * cos_j + w . f_j

where cos is the cosine of query and item and f what nominators say of the item: a conditional
logit (McFadden 1974). The weights are those of the greatest posterior density: of the likelihood
times a normal distribution around the prior, in units in which the cosine has a standard deviation
of 1 and each feature one of at most 1. The logarithm of it is concave, and Newton's method finds
the one maximum.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from twotower_tf.indexing.nominators.nominator import Nominator, features_of

# What a cosine is multiplied by while there are no examples, as in a softmax of temperature 0.1.
PRIOR_SLOPE = 10.0
# The prior weighs as much as about so many examples.
_PRECISION = 1.0
# The cosine counts for something, or scores would have no scale.
_LEAST_SLOPE = 0.1
_STEPS = 100
_ENOUGH = 1e-9


@dataclasses.dataclass(frozen=True)
class Blend:
    """The weights of a blend.

    Attributes:
        slope: a, what a cosine is multiplied by to be a logit; above 0.
        weights: Of each feature, by name.
        examples: How many examples they were fitted to.
    """

    slope: float
    weights: dict[str, float]
    examples: int

    def bonuses(self, features: Sequence[str]) -> np.ndarray:
        """Returns what each feature, by name, adds to a cosine: float32 [F]."""
        logits = [self.weights[name] for name in features]
        return np.array(logits, np.float32) / np.float32(self.slope)


def fit_blend(choices: Sequence["Choices"], nominators: Sequence[Nominator]) -> Blend:
    """Returns the blend that fits choices best; without any it is the prior.

    Args:
        choices: Of several batches of examples; the features are those of the nominators.
        nominators: Those beside the index.
    """
    names = features_of(nominators)
    prior = [PRIOR_SLOPE, *(weight for nominator in nominators for weight in nominator.prior)]
    prior = np.array(prior, np.float64)
    sizes = np.array([len(one.features) for one in choices], np.int64)
    firsts = np.cumsum(sizes) - sizes
    together = Choices(
        np.concatenate([np.zeros((0, len(prior))), *(one.features for one in choices)]),
        _joined(choices, firsts, "starts"),
        _joined(choices, firsts, "chosen"),
    )
    slope, *weights = fit(together, prior).tolist()
    return Blend(slope, dict(zip(names, weights, strict=True)), len(together.chosen))


def _joined(choices: Sequence["Choices"], firsts: np.ndarray, name: str) -> np.ndarray:
    rows = [getattr(one, name) + first for one, first in zip(choices, firsts, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *rows])


class Choices(NamedTuple):
    """Of n examples, what was chosen of which candidates.

    Attributes:
        features: float64 [total, 1 + F], the cosine and the features of each candidate, those of
            an example one after the other.
        starts: int64 [n], where each example's candidates begin.
        chosen: int64 [n], which row the user took.
    """

    features: np.ndarray
    starts: np.ndarray
    chosen: np.ndarray


def fit(choices: Choices, prior: np.ndarray) -> np.ndarray:
    """Returns the weights that fit choices best, float64 [1 + F].

    Args:
        choices: What was chosen; there may be none.
        prior: float64 [1 + F], the weights without any.

    Raises:
        FloatingPointError: If a feature is not finite.
    """
    if not len(choices.chosen):
        return prior
    scale = choices.features.std(axis=0)
    # What never differs can't be told from anything else: it keeps its prior. And what differs
    # little in these examples, such as days in a log of two, must not get a weight by which what
    # differs more tomorrow would outweigh all else.
    scale[scale < _ENOUGH] = 1.0
    scale[1:] = np.maximum(scale[1:], 1.0)
    scaled = choices._replace(features=choices.features / scale)
    weights = _newton(scaled, prior * scale, np.ones(len(prior), bool))
    least = _LEAST_SLOPE * scale[0]
    if weights[0] < least:
        start = prior * scale
        start[0] = least
        weights = _newton(scaled, start, np.arange(len(prior)) > 0)
    return weights / scale


def _newton(choices: Choices, prior: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Returns the weights at the maximum, those that are not ``free`` at their prior."""
    weights = prior.copy()
    value, shares = _posterior(choices, weights, prior)
    for _ in range(_STEPS):
        gradient, curvature = _derivatives(choices, shares, weights, prior)
        step = np.zeros(len(weights))
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        # Far from the maximum a whole step may lead past it.
        for halvings in range(50):
            moved = weights + step * 0.5**halvings
            better, moved_shares = _posterior(choices, moved, prior)
            if better >= value:
                break
        else:
            return weights
        weights, value, shares = moved, better, moved_shares
        if np.abs(step).max() < _ENOUGH:
            return weights
    return weights


def _posterior(
    choices: Choices, weights: np.ndarray, prior: np.ndarray
) -> tuple[float, np.ndarray]:
    """Returns the logarithm of the density, but for a constant, and every candidate's P."""
    lengths = np.diff(choices.starts, append=len(choices.features))
    logits = choices.features @ weights
    highest = np.maximum.reduceat(logits, choices.starts)
    shares = np.exp(logits - np.repeat(highest, lengths))
    sums = np.add.reduceat(shares, choices.starts)
    likelihood = (logits[choices.chosen] - highest - np.log(sums)).sum()
    value = likelihood - _PRECISION / 2 * np.square(weights - prior).sum()
    if not np.isfinite(value):
        raise FloatingPointError("the features of candidates must be finite")
    return value, shares / np.repeat(sums, lengths)


def _derivatives(
    choices: Choices, shares: np.ndarray, weights: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gradient, and minus the matrix of second derivatives."""
    weighted = choices.features * shares[:, np.newaxis]
    means = np.add.reduceat(weighted, choices.starts)
    gradient = (choices.features[choices.chosen] - means).sum(axis=0)
    gradient -= _PRECISION * (weights - prior)
    curvature = weighted.T @ choices.features - means.T @ means
    return gradient, curvature + _PRECISION * np.eye(len(weights))
