"""How well the sketch estimates item frequencies, against counting the same batches exactly."""

from collections.abc import Mapping

import numpy as np

_BINS = 40
_POINTS_PER_BIN = 5


def compare(estimated: Mapping[str, float], counted: Mapping[str, float]) -> dict:
    """Compares estimated with counted probabilities, over the items that have both.

    Args:
        estimated: The estimator's probability of each item, positive.
        counted: The probability of each item as ``BatchCounts`` returns it, positive.

    Returns:
        ``points``, at most 200 items spread over the range of the logarithm of the counted
        probability and, where many items share a frequency, over their estimates; each with its
        ``item_id``, ``estimated`` and ``counted``. And ``summary``: the number of ``items``, the
        ``median_ratio`` of estimated to counted, and ``mean_abs_log2_ratio``, the mean of
        |log2(estimated / counted)| weighted with the counted probability, which is how often
        training met each error (1: wrong by a factor of two). None where there is no item.

    Raises:
        ValueError: If a probability is not a positive number.
    """
    ids = [item for item in counted if item in estimated]
    values = np.array([(estimated[item], counted[item]) for item in ids], np.float64).reshape(-1, 2)
    usable = (np.isfinite(values) & (values > 0)).all(axis=1)
    if not usable.all():
        wrong = int(np.flatnonzero(~usable)[0])
        raise ValueError(
            f"probabilities must be positive numbers, but item '{ids[wrong]}' is estimated as "
            f"{values[wrong, 0]} and counted as {values[wrong, 1]}"
        )
    chosen = _spread(values)
    return {
        "points": [
            {"item_id": ids[at], "estimated": float(values[at, 0]), "counted": float(values[at, 1])}
            for at in chosen
        ],
        "summary": _summary(values),
    }


def _spread(values: np.ndarray) -> list[int]:
    """Returns rows of (estimated, counted) spread over the logarithm of the counted column."""
    if not len(values):
        return []
    logs = np.log(values[:, 1])
    width = (logs.max() - logs.min()) / _BINS or 1.0
    bins = np.minimum((logs - logs.min()) / width, _BINS - 1).astype(np.int64)
    chosen: list[int] = []
    for number in np.unique(bins):
        rows = np.flatnonzero(bins == number)
        rows = rows[np.argsort(values[rows, 0], kind="stable")]
        take = min(_POINTS_PER_BIN, len(rows))
        middles = ((np.arange(take) + 0.5) / take * len(rows)).astype(np.int64)
        chosen += rows[middles].tolist()
    return chosen


def _summary(values: np.ndarray) -> dict:
    if not len(values):
        return {"items": 0, "median_ratio": None, "mean_abs_log2_ratio": None}
    ratios = values[:, 0] / values[:, 1]
    return {
        "items": len(values),
        "median_ratio": float(np.median(ratios)),
        "mean_abs_log2_ratio": float(np.average(np.abs(np.log2(ratios)), weights=values[:, 1])),
    }
