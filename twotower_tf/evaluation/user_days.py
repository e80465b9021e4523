"""Precision and mean average precision: what one list for a user's day finds of all of the day.

A held-out example has one relevant item: precision@K would be its recall over K, and MAP@K its
reciprocal rank. Both mean something where several items are relevant at once. These are the
distinct items of a user's held-out examples of the day, and the list is the one that the first of
these examples gets: nothing of what is to be found was known to it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class UserDays:
    """What G users acted on in held-out examples of a day.

    Attributes:
        first: int64 [G], the user's first example.
        sizes: int64 [G], how many items are relevant, those that the catalogue lacks included.
        keys: int64 [n], ascending: user * N + the position of a relevant item.
        items: N, the items of the catalogue.
    """

    first: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray
    items: int

    def measure(self, top: np.ndarray, at: Sequence[int]) -> dict:
        """Returns the means over the users.

        With H@k the relevant items among the first k and |R| the relevant ones, precision@K is
        H@K / K, and average precision@K the sum of H@k / k over the places k <= K of relevant
        items, over min(|R|, K).

        Args:
            top: int64 [Q, k], what is recommended to each example; -1: nothing.
            at: The cut-offs K, ascending.

        Returns:
            ``precision`` and ``map``, by K as text; None where there is no user.
        """
        if not len(self.first):
            return {name: {str(k): None for k in at} for name in ("precision", "map")}
        shown = top[self.first]
        keys = np.arange(len(shown))[:, np.newaxis] * self.items + shown
        hits = np.isin(keys, self.keys) & (shown >= 0)
        so_far = np.cumsum(hits, axis=1)
        at_hits = np.where(hits, so_far / np.arange(1, shown.shape[1] + 1), 0.0)
        precision = {str(k): float(np.mean(hits[:, :k].sum(axis=1) / k)) for k in at}
        average = {
            str(k): float(np.mean(at_hits[:, :k].sum(axis=1) / np.minimum(self.sizes, k)))
            for k in at
        }
        return {"precision": precision, "map": average}


def user_days_of(
    user_ids: Sequence[str],
    times: np.ndarray,
    item_ids: Sequence[str],
    positives: np.ndarray,
    items: int,
) -> UserDays:
    """Puts held-out examples together by user.

    Args:
        user_ids: [Q] text.
        times: int64 [Q]; of examples of the same time the one before the others is the first.
        item_ids: [Q] text, what was acted on.
        positives: int64 [Q], its position in the catalogue, -1: not in it.
        items: How many items the catalogue has.
    """
    _, user = np.unique(np.array(user_ids, object).astype(str), return_inverse=True)
    _, item = np.unique(np.array(item_ids, object).astype(str), return_inverse=True)
    count = int(user.max()) + 1 if len(user) else 0
    order = np.lexsort((times, user))
    first = order[np.searchsorted(user[order], np.arange(count))]
    width = int(item.max()) + 1 if len(item) else 1
    sizes = np.bincount(np.unique(user * width + item) // width, minlength=count)
    found = positives >= 0
    return UserDays(first, sizes, np.unique(user[found] * items + positives[found]), items)
