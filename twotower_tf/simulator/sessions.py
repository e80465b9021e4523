"""Sessions: how users come back during a day, and what they watch one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.day import SimulatedDay
from twotower_tf.simulator.world import (
    DAY_SECONDS,
    DEVICES,
    EVENTS,
    LONGEST_SESSION,
    World,
    stream,
)

# One event: rows of users and of videos (seed -1: none), Unix seconds, seconds, a place in DEVICES.
EVENT = np.dtype(
    [
        ("timestamp", np.int64),
        ("user", np.int64),
        ("item", np.int64),
        ("seed", np.int64),
        ("watched_seconds", np.float64),
        ("device", np.int8),
    ]
)

_CHUNK_EVENTS = 50_000
# Relative number of sessions that start in each hour (UTC). None before the day's uploads are out,
# and none so late that it would run past midnight.
_HOURLY_STARTS = (0, 3, 2, 2, 2, 3, 4, 5, 6, 6, 6, 7, 8, 8, 7, 7, 8, 9, 11, 13, 14, 10, 0, 0)
_LAST_SECOND = DAY_SECONDS - 60


class Sessions:
    """Draws the events of sessions, in which users watch what they look for.

    Args:
      world: the platform.
    """

    def __init__(self, world: World) -> None:
        self._settings = world.settings
        self._world = world

    def events(
        self, day: SimulatedDay, others: npt.NDArray[np.void]
    ) -> Iterator[npt.NDArray[np.void]]:
        """Yields a day's events in the order of time, in arrays of dtype `EVENT`.

        Memory holds a chunk of 50,000 events, those of sessions not yet over, and `others`.

        Args:
          day: the day.
          others: the day's events that do not come from sessions, of dtype `EVENT`.
        """
        total = self._settings.events_per_day
        held = others
        for chunk, first in enumerate(range(0, total, _CHUNK_EVENTS)):
            end = min(first + _CHUNK_EVENTS, total)
            rng = stream(self._settings, EVENTS, day.number, chunk)
            made = self._chunk(rng, day, first / total, end / total, end - first)
            made["timestamp"] += day.midnight
            held = _in_time_order(np.concatenate((held, made)))
            # Later chunks start their sessions from here on, so what lies before is final.
            final = DAY_SECONDS if end == total else start_seconds(np.array([end / total]))[0]
            ready = np.searchsorted(held["timestamp"], day.midnight + final)
            yield held[:ready]
            held = held[ready:].copy()

    def _chunk(
        self, rng: np.random.Generator, day: SimulatedDay, start: float, end: float, count: int
    ) -> npt.NDArray[np.void]:
        """Draws `count` events of sessions from the quantiles [start, end) of the day."""
        lengths = rng.integers(1, LONGEST_SESSION + 1, size=count)
        total = np.cumsum(lengths)
        sessions = int(np.searchsorted(total, count)) + 1
        lengths = lengths[:sessions]
        lengths[-1] -= total[sessions - 1] - count
        # Longest first: the sessions that reach a place are then the first rows.
        lengths = np.sort(lengths)[::-1]
        users = rng.choice(self._settings.users, sessions, p=self._world.users.activity)
        rows = np.zeros((sessions, LONGEST_SESSION), EVENT)
        rows["user"] = users[:, np.newaxis]
        offset = np.zeros((sessions, LONGEST_SESSION + 1))
        previous = np.empty(0, np.int64)
        for place in range(int(lengths[0])):
            here = slice(0, int(np.count_nonzero(lengths > place)))
            seeds = np.full(here.stop, -1)
            if place:
                seeded = rng.random(here.stop) < self._settings.seeded_after_first
                seeds[seeded] = previous[here][seeded]
            previous = self._watch(rng, day, rows[here, place], seeds)
            watched = rows["watched_seconds"][here, place]
            pause = rng.integers(5, 61, here.stop)
            offset[here, place + 1] = offset[here, place] + watched + pause
        rows["device"] = draw_devices(rng, self._world, users)[:, np.newaxis]
        begun = start_seconds(start + rng.random(sessions) * (end - start))
        # A rare long evening is squeezed, because a session never runs past midnight.
        last = offset[np.arange(sessions), lengths - 1]
        squeeze = np.minimum(1.0, (_LAST_SECOND - begun) / np.maximum(last, 1.0))
        times = begun[:, np.newaxis] + offset[:, :-1] * squeeze[:, np.newaxis]
        rows["timestamp"] = times.astype(np.int64)
        return rows[np.arange(LONGEST_SESSION) < lengths[:, np.newaxis]]

    def _watch(
        self,
        rng: np.random.Generator,
        day: SimulatedDay,
        rows: npt.NDArray[np.void],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """Fills in what the users of `rows` watch next, and for how long; returns the items."""
        items = day.draw_items(rng, rows["user"], seeds)
        shares = day.draw_watch_shares(rng, rows["user"], items)
        rows["item"], rows["seed"] = items, seeds
        rows["watched_seconds"] = np.round(shares * self._world.videos.duration[items], 1)
        return items


def draw_devices(
    rng: np.random.Generator, world: World, users: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Draws the place in DEVICES of the device each user is on, [n]; mostly the favourite one."""
    anything = rng.integers(len(DEVICES), size=len(users))
    return np.where(rng.random(len(users)) < 0.7, world.users.device[users], anything)


def start_seconds(quantile: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns the second of the day before which that share of the sessions start."""
    running = np.append(0.0, np.cumsum(_HOURLY_STARTS)) / np.sum(_HOURLY_STARTS)
    open_hours = np.flatnonzero(_HOURLY_STARTS)
    hours = np.arange(open_hours[0], open_hours[-1] + 2)
    return np.interp(quantile, running[hours], hours * 3600.0).astype(np.int64)


def _in_time_order(events: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Moves a user's repeats of an item in one second to the seconds after it; sorts by time."""
    events = events[np.lexsort((events["timestamp"], events["item"], events["user"]))]
    user, item = np.diff(events["user"]), np.diff(events["item"])
    group = np.append(0, np.cumsum((user != 0) | (item != 0)))
    # The least t'[n] >= t[n] with t'[n] > t'[n - 1] is n + the running maximum of t[n] - n, here
    # taken within the groups by lifting each above all before it.
    place = np.arange(len(events)) - group * (2 * DAY_SECONDS + len(events))
    events["timestamp"] = place + np.maximum.accumulate(events["timestamp"] - place)
    return events[np.lexsort((events["item"], events["user"], events["timestamp"]))]
