"""A simulated video platform that knows its own truth: event logs of any size, item by item odds.

The logs have what a recommender meets in practice: power-law popularity which changes from day to
day, uploads that are popular at once, drifting tastes, sessions, seeds, and watch times that depend
on taste. Unlike practice, the true probabilities are known, so an estimate can be measured against
them. The generative law is in `world` (who and what), `day` (how), `sessions` (when) and `pages`
(what is shown, and what of it is clicked).
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.day import SimulatedDay
from twotower_tf.simulator.files import (
    EVENTS,
    IMPRESSIONS,
    LOG_WRITERS,
    item_id,
    replacing,
    row_of,
    user_id,
    write_items,
    write_users,
)
from twotower_tf.simulator.pages import IMPRESSION, Pages, click_events, examination
from twotower_tf.simulator.sessions import EVENT, Sessions
from twotower_tf.simulator.settings import PAGE_SIZE, SimulatorSettings
from twotower_tf.simulator.world import World

__all__ = ["EVENT", "IMPRESSION", "Simulator", "SimulatorSettings"]


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
        self._sessions = Sessions(self._world)
        self._pages = Pages(self._world)
        self._known_day: tuple[int, SimulatedDay] | None = None
        self._known_pages: tuple[int, npt.NDArray[np.void]] | None = None

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
        time). With pages also `impressions/dt=YYYY-MM-DD/impressions-00000.<event_format>`; their
        clicks are among the events, each after its impression. The same settings give the same
        bytes. A file appears under its name when it is complete.

        Args:
          out: a local directory; made if it is not there.
          event_format: "jsonl", "csv" or "parquet".
          progress: called after every chunk with the number of events just written.

        Raises:
          ValueError: the format is unknown.
        """
        if event_format not in LOG_WRITERS:
            raise ValueError(
                f"event_format: {event_format!r} given, must be one of {', '.join(LOG_WRITERS)}"
            )
        self.write_users(out)
        for date in self.dates:
            self.write_day(out, date, event_format=event_format, progress=progress)

    def write_users(self, out: str) -> None:
        """Writes `users.jsonl` of all users into a local directory; see `write`."""
        with replacing(os.path.join(out, "users.jsonl")) as path:
            write_users(path, self._world)

    def write_day(
        self,
        out: str,
        date: datetime.date,
        shown: npt.NDArray[np.void] | None = None,
        of_user: npt.NDArray[np.bool_] | None = None,
        event_format: str = "jsonl",
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Writes the catalogue, the events and the impressions of a day; see `write`.

        Args:
          out: a local directory.
          date: a simulated day.
          shown: the day's impressions as `show` gives them; None: those of `impressions`.
          of_user: [users] whose events and impressions are written; None: everybody's.
          event_format: a key of LOG_WRITERS.
          progress: called after every chunk with the number of events just written.

        Raises:
          ValueError: the day is not simulated.
        """
        shown = self.impressions(date) if shown is None else shown
        of_user = np.ones(self.settings.users, bool) if of_user is None else of_user
        events = (chunk[of_user[chunk["user"]]] for chunk in self.events(date, shown))
        logs = [("events", EVENTS, _reported(events, progress))]
        if self.settings.pages_per_day:
            logs.append(("impressions", IMPRESSIONS, [shown[of_user[shown["user"]]]]))
        partition = f"dt={date.isoformat()}"
        with replacing(os.path.join(out, "items", partition, "items.jsonl")) as path:
            write_items(path, self._world, self._day(date).published)
        for kind, log, chunks in logs:
            name = f"{kind}-00000.{event_format}"
            with replacing(os.path.join(out, kind, partition, name)) as path:
                LOG_WRITERS[event_format](path, log, chunks)

    def events(
        self, date: datetime.date, shown: npt.NDArray[np.void] | None = None
    ) -> Iterator[npt.NDArray[np.void]]:
        """Yields a day's events in the order of time, in arrays of dtype `EVENT`.

        Clicks on pages are among them. Memory holds a chunk of 50,000 events, those of sessions not
        yet over and the day's impressions, not the day's events.

        Args:
          date: a simulated day.
          shown: the day's impressions as `show` gives them; None: those of `impressions`.

        Raises:
          ValueError: the day is not simulated.
        """
        shown = self.impressions(date) if shown is None else shown
        return self._sessions.events(self._day(date), click_events(shown))

    def impressions(self, date: datetime.date) -> npt.NDArray[np.void]:
        """Returns a day's impressions without any release, [pages_per_day * PAGE_SIZE].

        Args:
          date: a simulated day.

        Raises:
          ValueError: the day is not simulated.
        """
        offset = self._offset(date)
        if self._known_pages is None or self._known_pages[0] != offset:
            self._known_pages = (offset, self.show(date, self.visits(date)))
        return self._known_pages[1]

    def visits(self, date: datetime.date) -> npt.NDArray[np.void]:
        """Returns who sees a page when, [pages_per_day] of dtype `VISIT`, in the order of time.

        Args:
          date: a simulated day.

        Raises:
          ValueError: the day is not simulated.
        """
        return self._pages.visits(self._day(date))

    def show(
        self,
        date: datetime.date,
        visits: npt.NDArray[np.void],
        recommended: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None = None,
    ) -> npt.NDArray[np.void]:
        """Draws what the pages show and what is clicked, [n * PAGE_SIZE] of dtype `IMPRESSION`.

        Args:
          date: a simulated day.
          visits: [n] of `visits`.
          recommended: what a release recommends for each, as `Pages.show` takes it.

        Raises:
          ValueError: the day is not simulated.
        """
        return self._pages.show(self._day(date), visits, recommended)

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

    def click_probabilities(
        self, user: str, date: datetime.date, position: int = 0
    ) -> npt.NDArray[np.float64]:
        """Returns the true P(click | user, item, position, day) on a page, [items].

        That of position 0, at which every user looks, is P(click | looked at).

        Args:
          user: a user id.
          date: a simulated day.
          position: of the item on the page, from 0.

        Raises:
          ValueError: no such user, the day is not simulated, or a page has no such position.
        """
        if not 0 <= position < PAGE_SIZE:
            raise ValueError(f"position: {position} given, must be from 0 to {PAGE_SIZE - 1}")
        day = self._day(date)
        looked_at = day.click_probabilities(*self._with_each_item(user, day))
        return self._over_all_items(examination(position) * looked_at)

    def expected_watch_seconds(self, user: str, date: datetime.date) -> npt.NDArray[np.float64]:
        """Returns the true P(click | looked at) * E[watched seconds | click], [items].

        It is what an impression at position 0 is worth, in seconds.

        Args:
          user: a user id.
          date: a simulated day.

        Raises:
          ValueError: no such user, or the day is not simulated.
        """
        day = self._day(date)
        return self._over_all_items(day.expected_watch_seconds(*self._with_each_item(user, day)))

    def expected_of_shown(
        self, date: datetime.date, shown: npt.NDArray[np.void]
    ) -> npt.NDArray[np.float64]:
        """Returns the true E[watched seconds] of a day's impressions at their positions, [n].

        Args:
          date: a simulated day.
          shown: [n] of dtype `IMPRESSION`.

        Raises:
          ValueError: the day is not simulated.
        """
        looked_at = self._day(date).expected_watch_seconds(shown["user"], shown["item"])
        return examination(shown["position"]) * looked_at

    def ages(self, date: datetime.date) -> npt.NDArray[np.int64]:
        """Returns how many days before a day each item was published, [items]; negative: after it.

        Raises:
          ValueError: the day is not simulated.
        """
        return self._offset(date) - self._world.videos.publish_day

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

    def _with_each_item(
        self, user: str, day: SimulatedDay
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns a user's row as often as there are items that day, and these."""
        return np.full(day.published, self._user(user)), np.arange(day.published)

    def _over_all_items(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.append(values, np.zeros(len(self._world.videos.topic) - len(values)))


def _reported(
    chunks: Iterator[npt.NDArray[np.void]], progress: Callable[[int], None] | None
) -> Iterator[npt.NDArray[np.void]]:
    for chunk in chunks:
        yield chunk
        if progress is not None:
            progress(len(chunk))
