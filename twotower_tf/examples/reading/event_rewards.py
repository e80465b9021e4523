"""Joins events with their items: which are unknown, and what each event is worth."""

import datetime

import numpy as np
import pyarrow as pa

from twotower_tf.config.examples import Reward
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.log_columns import Reason
from twotower_tf.examples.values import rejected


class EventRewards:
    """Finds the rewards of events, and the events that can't have one."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._reward = plan.config.examples.reward
        self._keep_unknown = plan.config.examples.unknown_items == "keep"

    def rewards(self, events: pa.Table, days: np.ndarray) -> tuple[np.ndarray, list[Reason]]:
        """Computes the rewards of events.

        Args:
            events: As ``EventColumns.parse`` returns them.
            days: The day of each, whose catalogue holds, int [n].

        Returns:
            float32 [n] in [0, 1], by ``rewards_of``, 1 without ``examples.reward``; and for each
            event, by its place in the table, that can't be used, why.
        """
        item_ids = events["item_id"].combine_chunks()
        rows, divisors = self._of_items(item_ids, days)
        reasons: dict[int, str] = {}
        if not self._keep_unknown:
            unknown = np.flatnonzero(rows < 0)
            shown = item_ids.take(pa.array(unknown)).to_pylist()
            for event, item_id in zip(unknown.tolist(), shown, strict=True):
                reasons[event] = _unknown(item_id, int(days[event]))
        if self._reward is None:
            return np.ones(len(events), np.float32), sorted(reasons.items())
        values = _numbers(events["reward_value"])
        if self._reward.divided_by is not None:
            own = _numbers(events["reward_divisor"])
            divisors = np.where(np.isnan(own), divisors, own)
            for event in np.flatnonzero(~(divisors > 0.0)).tolist():
                reasons.setdefault(event, _no_divisor(divisors[event], self._reward.divided_by))
        else:
            divisors = np.ones(len(events))
        return rewards_of(values, divisors, self._reward), sorted(reasons.items())

    def _of_items(self, item_ids: pa.Array, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the row of each item in its day's catalogue, and what it divides a reward by."""
        rows = np.full(len(item_ids), -1, np.int32)
        divisors = np.full(len(item_ids), np.nan)
        for day in np.unique(days).tolist():
            items, of_day = self._plan.items_of(day), np.flatnonzero(days == day)
            all_of_them = len(of_day) == len(item_ids)
            found = items.rows_of(item_ids if all_of_them else item_ids.take(pa.array(of_day)))
            rows[of_day] = found
            known = found >= 0
            if self._reward is not None and self._reward.divided_by is not None:
                divisors[of_day[known]] = items.divisors(found[known])
        return rows, divisors


def rewards_of(values: np.ndarray, divisors: np.ndarray, section: Reward) -> np.ndarray:
    """Returns r = clip((value / divisor - low) / (high - low), 0, 1), float32 [n].

    Args:
        values: float64 [n].
        divisors: float64 [n]; 1 where nothing divides. Where one is not above 0, r has no meaning.
        section: Has ``low`` and ``high``.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = (values / divisors - section.low) / (section.high - section.low)
    # Adding 0 makes 0 of -0.
    return (np.clip(shares, 0.0, 1.0) + 0.0).astype(np.float32)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Returns float64 [n], null as NaN."""
    return column.to_numpy()


def _unknown(item_id: str, day: int) -> str:
    return (
        f"item_id '{item_id}' is not in the catalogue as of {datetime.date.fromordinal(day)} "
        "(examples.unknown_items: reject)"
    )


def _no_divisor(divisor: float, column: str) -> str:
    if np.isnan(divisor):
        return (
            f"column '{column}' is missing from the event and from its item; the reward needs a "
            "number above 0 to divide by"
        )
    return str(rejected(float(divisor), column, "a number above 0 to divide the reward by"))
