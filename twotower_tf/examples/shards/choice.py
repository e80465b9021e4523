"""Which events make an example, of which split, and in what order: all of a shard at once."""

import dataclasses

import numpy as np

from twotower_tf.config.examples import ExamplesSection
from twotower_tf.examples import hashes
from twotower_tf.examples.hashes import Purpose
from twotower_tf.examples.shards.timeline import first_of_group, group_starts

# The number of a split: its place in ``plan.SPLITS``.
TRAIN, EVAL = 0, 1


@dataclasses.dataclass(frozen=True)
class ValidEvents:
    """n events that are no copies, a column each, in any order.

    Attributes:
        user: int64 [n], numbers of the shard's users.
        user_hash: uint64 [n], their hashes.
        day: int64 [n].
        time: int64 [n], Unix seconds.
        hash: uint64 [n], ``hashes.event_hashes``.
        reward: float32 [n]; None of impressions.
        held_out: bool [n], what the log says; None if it doesn't.
    """

    user: np.ndarray
    user_hash: np.ndarray
    day: np.ndarray
    time: np.ndarray
    hash: np.ndarray
    reward: np.ndarray | None
    held_out: np.ndarray | None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: np.ndarray) -> "ValidEvents":
        columns = (getattr(self, field.name) for field in dataclasses.fields(self))
        return ValidEvents(*(None if one is None else one[rows] for one in columns))


def chosen(events: ValidEvents, section: ExamplesSection) -> np.ndarray:
    """Says which events make an example, bool [n]; the others are history only.

    An event makes one if its reward is at least ``min_reward``; of more than
    ``max_per_user_and_day`` such events a user has on a day, a sample by their hash does, which is
    the same in every build (the same number of examples for every user: Covington et al. 2016,
    section 3.4).
    """
    # Rewards have been rounded to float32, and so must be what they are compared with.
    enough = events.reward >= np.float32(section.min_reward or 0.0)
    most = section.max_per_user_and_day
    if most is None:
        return enough
    result = np.zeros(len(events), bool)
    result[capped(events, np.flatnonzero(enough), most)] = True
    return result


def capped(events: ValidEvents, rows: np.ndarray, most: int) -> np.ndarray:
    """Returns those of ``rows`` that are among so many of a user and day, by hash; int64."""
    shares = hashes.shares(events.hash[rows], Purpose.CAP)
    rows = rows[np.lexsort((events.hash[rows], shares, events.day[rows], events.user[rows]))]
    starts = group_starts(events.user[rows], events.day[rows])
    rank = np.arange(len(rows)) - first_of_group(starts, len(rows))
    return rows[rank < most]


def splits(events: ValidEvents, section: ExamplesSection) -> np.ndarray:
    """Returns the split of each example, int64 [n] of ``TRAIN`` and ``EVAL``.

    That is by what the log says, or else by a hash of the event.
    """
    held_out = events.held_out
    if held_out is None:
        held_out = hashes.shares(events.hash, Purpose.HOLD_OUT) < section.holdout_share
    return np.where(held_out, EVAL, TRAIN)


def final_order(events: ValidEvents, split: np.ndarray, section: ExamplesSection) -> np.ndarray:
    """Returns the order of examples in their files: int64 [n], by day, split, and place in it.

    The n examples a user has in a window of time stand at (rank + share) / n in it, where the
    share is a hash of the user: spread evenly, in their order in time, and offset from other
    users'. So neighbours, and with them the negatives in a batch, are of different users, without
    the order in time getting lost.
    """
    size = len(events)
    window = events.time // section.interleave_window_seconds
    by_user = np.lexsort((events.hash, events.time, window, events.day, events.user))
    columns = (events.user, events.day, window)
    starts = group_starts(*(column[by_user] for column in columns))
    counts = np.diff(starts, append=size)
    rank, count = np.zeros(size), np.zeros(size)
    rank[by_user] = np.arange(size) - first_of_group(starts, size)
    count[by_user] = np.repeat(counts, counts)
    place = (rank + hashes.shares(events.user_hash, Purpose.PLACE)) / np.maximum(count, 1)
    return np.lexsort((events.hash, place, window, split, events.day))
