"""A simulated video platform that knows its own truth: event logs of any size, item by item odds.

The logs have what a recommender meets in practice: power-law popularity which changes from day to
day, uploads that are popular at once, drifting tastes, sessions, seeds, and watch times that depend
on taste. Unlike practice, the true probabilities are known, so an estimate can be measured against
them. The generative law is in `simulator_world` (who and what) and `simulator_day` (how).
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.day import SimulatedDay
from twotower_tf.simulator.files import (
    EVENT_WRITERS,
    item_id,
    replacing,
    row_of,
    user_id,
    write_items,
    write_users,
)
from twotower_tf.simulator.world import (
    DEVICES,
    EVENTS,
    LONGEST_SESSION,
    SimulatorSettings,
    World,
    stream,
)

__all__ = ["EVENT", "Simulator", "SimulatorSettings"]

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
_DAY_SECONDS = 86_400
# Relative number of sessions that start in each hour (UTC). None before the day's uploads are out,
# and none so late that it would run past midnight.
_HOURLY_STARTS = (0, 3, 2, 2, 2, 3, 4, 5, 6, 6, 6, 7, 8, 8, 7, 7, 8, 9, 11, 13, 14, 10, 0, 0)
_LAST_SECOND = _DAY_SECONDS - 60


class Simulator:
    """Generates a platform's events, and tells the probabilities they were drawn from.

    ```python
    simulator = Simulator(SimulatorSettings(days=2))
    simulator.write("build/platform")
    day = datetime.date(2026, 1, 2)
    simulator.best_items("u00012", day, k=10)
    ```

    Arrays over items are [items] over all videos up to the last day, row i being `v%06d` % i; a
    video not yet published has probability 0.

    Args:
      settings: the platform's size and habits.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self._world = World(settings)
        self._known_day: tuple[int, SimulatedDay] | None = None

    @property
    def item_ids(self) -> list[str]:
        """All item ids, in the order of the arrays over items."""
        return [item_id(row) for row in range(len(self._world.videos.topic))]

    @property
    def dates(self) -> list[datetime.date]:
        """The simulated days, oldest first."""
        start = self.settings.start
        return [start + datetime.timedelta(days=day) for day in range(self.settings.days)]

    def write(
        self,
        out: str,
        event_format: str = "jsonl",
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Writes everything: users.jsonl, and for every day its catalogue and its events.

        The files are `users.jsonl`, `items/dt=YYYY-MM-DD/items.jsonl` (all videos published by the
        end of that day) and `events/dt=YYYY-MM-DD/events-00000.<event_format>` (in the order of
        time). The same settings give the same bytes. A file appears under its name when it is
        complete.

        Args:
          out: a local directory; made if it is not there.
          event_format: "jsonl", "csv" or "parquet".
          progress: called after every chunk with the number of events just written.

        Raises:
          ValueError: the format is unknown.
        """
        if event_format not in EVENT_WRITERS:
            raise ValueError(
                f"event_format: {event_format!r} given, must be one of {', '.join(EVENT_WRITERS)}"
            )
        with replacing(os.path.join(out, "users.jsonl")) as path:
            write_users(path, self._world)
        for date in self.dates:
            partition = f"dt={date.isoformat()}"
            with replacing(os.path.join(out, "items", partition, "items.jsonl")) as path:
                write_items(path, self._world, self._day(date).published)
            name = f"events-00000.{event_format}"
            with replacing(os.path.join(out, "events", partition, name)) as path:
                EVENT_WRITERS[event_format](path, _reported(self.events(date), progress))

    def events(self, date: datetime.date) -> Iterator[npt.NDArray[np.void]]:
        """Yields a day's events in the order of time, in arrays of dtype `EVENT`.

        Memory holds a chunk of 50,000 events and those of sessions not yet over, not the day.

        Args:
          date: a simulated day.

        Raises:
          ValueError: the day is not simulated.
        """
        day = self._day(date)
        midnight = _unix_midnight(date)
        total = self.settings.events_per_day
        held = np.empty(0, EVENT)
        for chunk, first in enumerate(range(0, total, _CHUNK_EVENTS)):
            end = min(first + _CHUNK_EVENTS, total)
            rng = stream(self.settings, EVENTS, self._offset(date), chunk)
            made = self._chunk(rng, day, first / total, end / total, end - first)
            made["timestamp"] += midnight
            held = _in_time_order(np.concatenate((held, made)))
            # Later chunks start their sessions from here on, so what lies before is final.
            final = _DAY_SECONDS if end == total else _session_start(np.array([end / total]))[0]
            ready = np.searchsorted(held["timestamp"], midnight + final)
            yield held[:ready]
            held = held[ready:].copy()

    def sampling_probabilities(self, date: datetime.date) -> npt.NDArray[np.float64]:
        """Returns the true probability that an event of the day is item i, [items]; sums to 1.

        It is averaged over the users by their activity and over the places in a session, with
        what the seeds add, in closed form; see `SimulatedDay.sampling_probabilities`. The one
        session in 50,000 events that is cut short to make up the day's count is left out of it.

        Args:
          date: a simulated day.

        Raises:
          ValueError: the day is not simulated.
        """
        return self._over_all_items(self._day(date).sampling_probabilities())

    def item_probabilities(
        self, user: str, date: datetime.date, seed_item: str | None = None
    ) -> npt.NDArray[np.float64]:
        """Returns the true P(item | user, day, seed), [items]; sums to 1.

        Args:
          user: a user id.
          date: a simulated day.
          seed_item: the id of the seed, None for an event without one.

        Raises:
          ValueError: no such user, the day is not simulated, or the seed is not published by then.
        """
        day = self._day(date)
        seed = None
        if seed_item is not None:
            seed = row_of(seed_item, item_id, day.published, f"item published by {date}")
        return self._over_all_items(day.item_probabilities(self._user(user), seed))

    def expected_watch_shares(self, user: str, date: datetime.date) -> npt.NDArray[np.float64]:
        """Returns the mean share of each item's duration that the user would watch, [items].

        Args:
          user: a user id.
          date: a simulated day.

        Raises:
          ValueError: no such user, or the day is not simulated.
        """
        return self._over_all_items(self._day(date).expected_watch_shares(self._user(user)))

    def best_items(
        self, user: str, date: datetime.date, k: int, seed_item: str | None = None
    ) -> list[str]:
        """Returns the ids of the k items with the greatest `item_probabilities`, best first.

        Args:
          user: a user id.
          date: a simulated day.
          k: how many, from 1 to the number of items published by the day.
          seed_item: the id of the seed, None for an event without one.

        Raises:
          ValueError: as `item_probabilities`, or k is out of range.
        """
        published = self._day(date).published
        if not 1 <= k <= published:
            raise ValueError(f"k: {k} given, must be from 1 to {published}, the items of {date}")
        probabilities = self.item_probabilities(user, date, seed_item)
        order = np.argsort(-probabilities[:published], kind="stable")[:k]
        return [item_id(row) for row in order.tolist()]

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
        users = rng.choice(self.settings.users, sessions, p=self._world.users.activity)
        rows = np.zeros((sessions, LONGEST_SESSION), EVENT)
        rows["user"] = users[:, np.newaxis]
        offset = np.zeros((sessions, LONGEST_SESSION + 1))
        previous = np.empty(0, np.int64)
        for place in range(int(lengths[0])):
            here = slice(0, int(np.count_nonzero(lengths > place)))
            seeds = np.full(here.stop, -1)
            if place:
                seeded = rng.random(here.stop) < self.settings.seeded_after_first
                seeds[seeded] = previous[here][seeded]
            previous = self._watch(rng, day, rows[here, place], seeds)
            watched = rows["watched_seconds"][here, place]
            pause = rng.integers(5, 61, here.stop)
            offset[here, place + 1] = offset[here, place] + watched + pause
        rows["device"] = self._devices(rng, users)[:, np.newaxis]
        start_seconds = _session_start(start + rng.random(sessions) * (end - start))
        # A rare long evening is squeezed, because a session never runs past midnight.
        last = offset[np.arange(sessions), lengths - 1]
        squeeze = np.minimum(1.0, (_LAST_SECOND - start_seconds) / np.maximum(last, 1.0))
        times = start_seconds[:, np.newaxis] + offset[:, :-1] * squeeze[:, np.newaxis]
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

    def _devices(
        self, rng: np.random.Generator, users: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        anything = rng.integers(len(DEVICES), size=len(users))
        return np.where(rng.random(len(users)) < 0.7, self._world.users.device[users], anything)

    def _offset(self, date: datetime.date) -> int:
        # A datetime is a date too, but would not compare with one.
        known = type(date) is datetime.date
        offset = (date - self.settings.start).days if known else -1
        if not 0 <= offset < self.settings.days:
            first, last = self.dates[0], self.dates[-1]
            raise ValueError(f"day: {date!r} given, must be a datetime.date from {first} to {last}")
        return offset

    def _day(self, date: datetime.date) -> SimulatedDay:
        offset = self._offset(date)
        if self._known_day is None or self._known_day[0] != offset:
            self._known_day = (offset, SimulatedDay(self._world, offset))
        return self._known_day[1]

    def _user(self, user: str) -> int:
        return row_of(user, user_id, self.settings.users, "user")

    def _over_all_items(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.append(values, np.zeros(len(self._world.videos.topic) - len(values)))


def _unix_midnight(date: datetime.date) -> int:
    return (date - datetime.date(1970, 1, 1)).days * _DAY_SECONDS


def _session_start(quantile: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
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
    place = np.arange(len(events)) - group * (2 * _DAY_SECONDS + len(events))
    events["timestamp"] = place + np.maximum.accumulate(events["timestamp"] - place)
    return events[np.lexsort((events["item"], events["user"], events["timestamp"]))]


def _reported(
    chunks: Iterator[npt.NDArray[np.void]], progress: Callable[[int], None] | None
) -> Iterator[npt.NDArray[np.void]]:
    for chunk in chunks:
        yield chunk
        if progress is not None:
            progress(len(chunk))
