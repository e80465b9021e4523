"""Predicted against watched seconds: by how much was predicted, and by position."""

import numpy as np

DECILES = 10
_MOST_POSITIONS = 20


def calibration(
    predicted: np.ndarray, watched: np.ndarray, positions: np.ndarray | None = None
) -> dict:
    """Compares what was predicted of impressions with what came of them.

    Args:
        predicted: float [n], expected seconds.
        watched: float [n], seconds; 0 where nothing was clicked.
        positions: float [n]; None: not known.

    Returns:
        ``ratio``, all predicted seconds over all watched ones (None: none were watched);
        ``by_decile``, ten groups of equal size by what was predicted, the least first; and
        ``by_position``, a group for each of the first positions. Each group has ``impressions``
        and the means ``predicted`` and ``watched``.
    """
    total = float(np.sum(watched))
    order = np.argsort(predicted, kind="stable")
    groups = [group for group in np.array_split(order, DECILES) if len(group)]
    return {
        "ratio": float(np.sum(predicted)) / total if total > 0 else None,
        "by_decile": [_means(group, predicted, watched) for group in groups],
        "by_position": _by_position(predicted, watched, positions),
    }


def _by_position(predicted, watched, positions: np.ndarray | None) -> list[dict]:
    if positions is None:
        return []
    return [
        {"position": float(place), **_means(np.flatnonzero(positions == place), predicted, watched)}
        for place in np.unique(positions)[:_MOST_POSITIONS]
    ]


def _means(rows: np.ndarray, predicted: np.ndarray, watched: np.ndarray) -> dict:
    return {
        "impressions": len(rows),
        "predicted": float(np.mean(predicted[rows])),
        "watched": float(np.mean(watched[rows])),
    }
