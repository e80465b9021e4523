"""Joins events with their items: which are unknown, and what each event is worth."""

import numpy as np
import pyarrow as pa

from twotower_tf.config.examples import Reward
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.item_joins import ItemJoin
from twotower_tf.examples.reading.log_columns import Reason
from twotower_tf.examples.values import rejected


class EventRewards:
    """Finds the rewards of events, and the events that can't have one."""

    def __init__(self, plan: Plan):
        self._items = ItemJoin(plan)
        self._reward = plan.config.examples.reward

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
        divisors, unknown = self._items.of(item_ids, days)
        reasons: dict[int, str] = dict(unknown)
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


def _no_divisor(divisor: float, column: str) -> str:
    if np.isnan(divisor):
        return (
            f"column '{column}' is missing from the event and from its item; the reward needs a "
            "number above 0 to divide by"
        )
    return str(rejected(float(divisor), column, "a number above 0 to divide the reward by"))
