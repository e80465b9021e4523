"""Pairs of a clicked and an unclicked impression of one group, and which are in the wrong order."""

import numpy as np


def wrong_pairs(
    groups: np.ndarray, scores: np.ndarray, clicked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts, for each clicked impression, the unclicked ones of its group that score higher.

    Args:
        groups: [n], of any kind that can be sorted.
        scores: [n], finite; the higher, the better.
        clicked: [n] bool.

    Returns:
        Two of float64 [n], 0 where nothing was clicked: how many unclicked ones are above it, those
        of the same score half; and how many there are.
    """
    order = np.lexsort((scores, groups))
    groups, scores, clicked = groups[order], scores[order], clicked[order]
    unclicked = np.concatenate([[0], np.cumsum(~clicked)])
    starts = np.ones(len(order), bool)
    starts[1:] = groups[1:] != groups[:-1]
    group_start, group_end = _spans(starts)
    starts[1:] |= scores[1:] != scores[:-1]
    tie_start, tie_end = _spans(starts)
    above = unclicked[group_end] - unclicked[tie_end]
    equal = unclicked[tie_end] - unclicked[tie_start]
    of_each = np.zeros((2, len(order)))
    of_each[0, order] = clicked * (above + equal / 2)
    of_each[1, order] = clicked * (unclicked[group_end] - unclicked[group_start])
    return of_each[0], of_each[1]


def _spans(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the run of each place begins and ends, given where runs start."""
    first = np.flatnonzero(starts)
    lengths = np.diff(np.append(first, len(starts)))
    return np.repeat(first, lengths), np.repeat(first + lengths, lengths)
