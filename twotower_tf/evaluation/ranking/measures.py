"""What a method's scores of held-out impressions are worth: loss, AUC, NDCG."""

import dataclasses

import numpy as np

from twotower_tf.evaluation.ranking.pairs import wrong_pairs


@dataclasses.dataclass(frozen=True)
class Impressions:
    """Held-out impressions, in any order.

    Attributes:
        users: [n] objects (str).
        items: [n] objects (str).
        pages: [n] int64, of which page of which user each is.
        clicked: [n] bool.
        seconds: [n] float64, watched; 0 where nothing was clicked.
        positions: [n] float64 on their pages; None: the log does not say.
        nomination_scores: [n] float64; None: the log does not say.
    """

    users: np.ndarray
    items: np.ndarray
    pages: np.ndarray
    clicked: np.ndarray
    seconds: np.ndarray
    positions: np.ndarray | None = None
    nomination_scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pages)


def measure(shown: Impressions, scores: np.ndarray) -> dict:
    """Sums up in which order scores put impressions; None where nothing can be said.

    Args:
        shown: The impressions.
        scores: [n], the higher, the better; one that is not finite is below all.

    Returns:
        - ``user_loss``: the weighted, per-user loss (Covington et al. 2016, 4.3): of the pairs of a
          clicked and an unclicked impression of a page, the watched seconds of those in the wrong
          order over the watched seconds of all; equal scores are half wrong
        - ``auc``: the share of all pairs that are in the right order, over all users
        - ``user_auc``: the mean over users of the same of the user's own pairs
        - ``ndcg``: the mean over pages of NDCG, the gains being watched seconds
    """
    scores = _finite(scores)
    wrong, pairs = wrong_pairs(shown.pages, scores, shown.clicked)
    of_all = wrong_pairs(np.zeros(len(shown), np.int64), scores, shown.clicked)
    return {
        "user_loss": _ratio(wrong @ shown.seconds, pairs @ shown.seconds),
        "auc": _right(*(counts.sum() for counts in of_all)),
        "user_auc": _user_auc(shown, scores),
        "ndcg": _ndcg(shown, scores),
    }


def _finite(scores: np.ndarray) -> np.ndarray:
    known = np.isfinite(scores)
    lowest = scores[known].min() - 1.0 if known.any() else 0.0
    return np.where(known, scores, lowest)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _right(wrong: float, pairs: float) -> float | None:
    share = _ratio(wrong, pairs)
    return None if share is None else 1.0 - share


def _user_auc(shown: Impressions, scores: np.ndarray) -> float | None:
    _, users = np.unique(shown.users, return_inverse=True)
    wrong, pairs = (
        np.bincount(users, weights=counts) for counts in wrong_pairs(users, scores, shown.clicked)
    )
    told = pairs > 0
    return float(np.mean(1.0 - wrong[told] / pairs[told])) if told.any() else None


def _ndcg(shown: Impressions, scores: np.ndarray) -> float | None:
    """Returns the mean over the pages on which something was watched; ties share their places."""
    found = []
    order = np.argsort(shown.pages, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(shown.pages[order])) + 1):
        gains = shown.seconds[rows]
        if gains.sum() > 0:
            discounts = 1.0 / np.log2(2.0 + np.arange(len(rows)))
            found.append(_gain(gains, scores[rows], discounts) / _gain(gains, gains, discounts))
    return float(np.mean(found)) if found else None


def _gain(gains: np.ndarray, scores: np.ndarray, discounts: np.ndarray) -> float:
    """Returns the DCG of gains by scores: of equal scores the mean over their orders."""
    _, places, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    sums = np.concatenate([[0.0], np.cumsum(discounts)])
    means = (sums[ends] - sums[ends - counts]) / counts
    return float(gains @ means[places])
