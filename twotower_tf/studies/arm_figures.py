"""What an arm's users did, and whether arms differ: ratios of sums over users, bootstrapped.

A figure such as the watched seconds a page is sum_ud a_ud / sum_ud b_ud over an arm's users u and
days d. Two things are chance in it. Users are, who are independent of each other while their days
are not; and so is each day's release, which its users have in common: trained on the logs of other
users, the same configuration releases another model. So the bootstrap (Efron 1979) draws users, as
many as the arm has, and days, as many as there are and the same for both arms, with replacement
(the pigeonhole bootstrap, Owen 2007). The interval of a difference holds the middle 95 % of the
differences of such draws (the percentile method). One day says nothing of how releases vary, and a
few say little: the intervals are rather too narrow then.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

RESAMPLES = 4000
_COVERED = 0.95
# Numbers drawn at once: a resample counts how often each user was drawn.
_MOST_COUNTS = 20_000_000

# By figure: what it is, the sums that it is the ratio of.
FIGURES = {
    "watched_seconds": ("watched seconds a user and day", "watched_seconds", "days"),
    "clicks": ("clicks a user and day", "clicks", "days"),
    "distinct_items": ("distinct items shown a user and day", "distinct_items", "days"),
    "fresh_share": ("share of fresh items shown", "fresh", "shown"),
    "watched_seconds_a_page": ("watched seconds a page", "watched_seconds", "pages"),
    "expected_seconds_a_page": ("true expected seconds a page", "expected_seconds", "pages"),
}

# By name: float64 [users, days] of an arm.
Sums = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A figure of an arm minus that of the first arm, with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def is_none(self) -> bool:
        """Whether the interval holds 0: then nothing says that the arms differ."""
        return self.low <= 0.0 <= self.high


def figures_of(sums: Sums) -> dict[str, float]:
    """Returns an arm's figures by name; 0 where there is nothing to divide by."""
    above, below = _columns(sums)
    ratios = _ratios(above.sum(axis=(0, 1)), below.sum(axis=(0, 1)))
    return dict(zip(FIGURES, ratios.tolist(), strict=True))


def differences(
    first: Sums, other: Sums, seed: int, resamples: int = RESAMPLES
) -> dict[str, Difference]:
    """Compares an arm with the first one.

    Args:
        first: The first arm's sums; users of at least one.
        other: The other's, on the same days; no user is in both.
        seed: Of the draws: the same seed gives the same intervals.
        resamples: How many draws of each arm.

    Returns:
        By figure.
    """
    rng = np.random.default_rng(seed)
    days = first["days"].shape[1]
    of_days = rng.multinomial(days, np.full(days, 1.0 / days), size=resamples)
    drawn = _resampled(rng, other, of_days) - _resampled(rng, first, of_days)
    tail = (1.0 - _COVERED) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    ours, theirs = figures_of(other), figures_of(first)
    return {
        name: Difference(ours[name] - theirs[name], float(low[place]), float(high[place]))
        for place, name in enumerate(FIGURES)
    }


def _resampled(rng: np.random.Generator, sums: Sums, of_days: np.ndarray) -> np.ndarray:
    """Returns the figures of draws of an arm's users and days, [resamples, figures].

    Args:
        rng: Draws the users.
        sums: Of the arm.
        of_days: int64 [resamples, days], how often each day was drawn.
    """
    columns = _columns(sums)
    users, made = len(sums["days"]), []
    at_once = max(1, _MOST_COUNTS // users)
    for first in range(0, len(of_days), at_once):
        drawn_days = of_days[first : first + at_once]
        times = rng.multinomial(users, np.full(users, 1.0 / users), size=len(drawn_days))
        above, below = (
            np.einsum("nd,ndf->nf", drawn_days, np.tensordot(times, column, axes=1))
            for column in columns
        )
        made.append(_ratios(above, below))
    return np.concatenate(made)


def _columns(sums: Sums) -> list[np.ndarray]:
    """Returns what stands above and below the line of each figure, [users, days, figures] each."""
    sides = ([names[side] for names in FIGURES.values()] for side in (1, 2))
    return [np.stack([sums[name] for name in names], axis=2) for names in sides]


def _ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0.0)
