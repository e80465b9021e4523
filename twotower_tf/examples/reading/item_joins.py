"""Joins records of logs with their items: which are unknown, what rewards are divided by."""

import datetime

import numpy as np
import pyarrow as pa

from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.log_columns import Reason

# What reasons of items that are not in the catalogue end with.
UNKNOWN_ITEM = "(examples.unknown_items: reject)"


class ItemJoin:
    """Finds the items of records in the catalogues of their days.

    Args:
        plan: What to build.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        reward = plan.config.examples.reward
        self._divides = reward is not None and reward.divided_by is not None
        self._keep_unknown = plan.config.examples.unknown_items == "keep"

    def of(self, item_ids: pa.Array, days: np.ndarray) -> tuple[np.ndarray, list[Reason]]:
        """Looks items up.

        Args:
            item_ids: Of each record, text [n].
            days: The day of each, whose catalogue holds, int [n].

        Returns:
            What each item divides a reward by, float64 [n], NaN where that is not known; and for
            each record, by its place, of an item that may not be unknown, why.
        """
        rows = np.full(len(item_ids), -1, np.int32)
        divisors = np.full(len(item_ids), np.nan)
        for day in np.unique(days).tolist():
            items, of_day = self._plan.items_of(day), np.flatnonzero(days == day)
            all_of_them = len(of_day) == len(item_ids)
            found = items.rows_of(item_ids if all_of_them else item_ids.take(pa.array(of_day)))
            rows[of_day] = found
            known = found >= 0
            if self._divides:
                divisors[of_day[known]] = items.divisors(found[known])
        if self._keep_unknown:
            return divisors, []
        unknown = np.flatnonzero(rows < 0)
        shown = item_ids.take(pa.array(unknown)).to_pylist()
        return divisors, [
            (place, _unknown(item_id, int(days[place])))
            for place, item_id in zip(unknown.tolist(), shown, strict=True)
        ]


def id_in(reason: str) -> str:
    """Returns the id of the item that a reason says is unknown."""
    return reason[reason.index("'") + 1 : reason.rindex("'")]


def _unknown(item_id: str, day: int) -> str:
    return (
        f"item_id '{item_id}' is not in the catalogue as of {datetime.date.fromordinal(day)} "
        f"{UNKNOWN_ITEM}"
    )
