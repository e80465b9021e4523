"""Pages: what is shown to users, from several nominators, and what they click on it.

A page has PAGE_SIZE places. A user looks at place p (0 is the first) with probability
(1 + p)^-0.5, and clicks what they looked at by `SimulatedDay.click_probabilities`, each place for
itself:

    P(click | user, item, p, day) = (1 + p)^-0.5 P(click | looked at, user, item, day).

What they clicked they watch by the law of all watches. Places do not follow from how good an item
is: without a release they are drawn at random, and with one a third of the places, drawn at random,
goes to the other nominators. So what a place does can be told from what an item does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.day import SimulatedDay
from twotower_tf.simulator.sessions import EVENT, draw_devices, start_seconds
from twotower_tf.simulator.settings import PAGE_SIZE
from twotower_tf.simulator.world import PAGES, World, stream

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# What proposes items; in this order where several propose the same one.
SOURCES = ("index", "popular", "fresh", "channel")
_INDEX, _POPULAR, _FRESH, _CHANNEL = range(len(SOURCES))
RECOMMENDED = 8  # Places of a page that a release fills.

# One look at a page: the number of it on its day, and of those that its user saw before it that
# day; Unix seconds, a user's row, a place in DEVICES.
VISIT = np.dtype(
    [
        ("page", np.int64),
        ("earlier", np.int64),
        ("timestamp", np.int64),
        ("user", np.int64),
        ("device", np.int8),
    ]
)
# One item on a page: `source` is a place in SOURCES, `score` what that nominator says of the item,
# `clicked_at` Unix seconds, or -1 if there was no click, and then nothing was watched.
IMPRESSION = np.dtype(
    [
        ("timestamp", np.int64),
        ("page", np.int64),
        ("position", np.int64),
        ("user", np.int64),
        ("item", np.int64),
        ("source", np.int8),
        ("score", np.float64),
        ("device", np.int8),
        ("clicked_at", np.int64),
        ("watched_seconds", np.float64),
    ]
)

_PAGES_AT_ONCE = 2000
_POOL = 200  # The most popular items, and the newest ones, from which those of a page are drawn.
_OF_POPULAR, _OF_OTHERS = PAGE_SIZE, 6  # How many each nominates, so that some can be the same.
# A click comes that many seconds after the page: at least, by place, and at most by chance. All is
# over before the user's next page, see `Pages.visits`.
_FIRST_LOOK, _A_PLACE, _HESITATION = 3, 6, 30


def examination(positions: npt.NDArray[np.int64] | int) -> Floats:
    """Returns the probability that a user looks at a place of a page, 0 being the first."""
    return (1.0 + np.asarray(positions)) ** -0.5


class Pages:
    """Draws who sees pages when, what is on them, and what is clicked.

    Args:
      world: the platform.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._settings = world.settings

    def visits(self, day: SimulatedDay) -> npt.NDArray[np.void]:
        """Draws a day's visits, `pages_per_day` of dtype `VISIT`, in the order of time.

        Users come by their activity, at the hours at which sessions start. A user's n visits lie
        apart by at least the time in which 0.5 / n of all sessions start: 100 s for n = 190, which
        is far more than even the heaviest user has.
        """
        count = self._settings.pages_per_day
        rng = stream(self._settings, PAGES, day.number, 0)
        activity = self._world.users.activity
        users = np.sort(rng.choice(self._settings.users, count, p=activity))
        turn = _places(users)
        of_user = np.bincount(users, minlength=self._settings.users)[users]
        start = rng.random(self._settings.users)[users]
        quantile = ((turn + 0.5 * rng.random(count)) / of_user + start) % 1.0
        visits = np.zeros(count, VISIT)
        visits["timestamp"] = day.midnight + start_seconds(quantile)
        visits["user"] = users
        visits["device"] = draw_devices(rng, self._world, users)
        visits = visits[np.lexsort((visits["timestamp"], users))]
        visits["earlier"] = _places(users)
        visits = visits[np.lexsort((visits["user"], visits["timestamp"]))]
        visits["page"] = np.arange(count)
        return visits

    def show(
        self,
        day: SimulatedDay,
        visits: npt.NDArray[np.void],
        recommended: tuple[Integers, Floats] | None = None,
    ) -> npt.NDArray[np.void]:
        """Draws what the pages of visits show, and what is clicked.

        Args:
          day: the day.
          visits: [n] of dtype `VISIT`.
          recommended: what a release recommends for each visit: [n, RECOMMENDED] items, best
            first, -1 where there is none, and their scores; None without a release.

        Returns:
          [n * PAGE_SIZE] of dtype `IMPRESSION`, in the order of the visits, then of the places.
        """
        if not len(visits):
            return np.empty(0, IMPRESSION)
        popular = self._popular_items(day)
        made = []
        for chunk, first in enumerate(range(0, len(visits), _PAGES_AT_ONCE)):
            here = slice(first, first + _PAGES_AT_ONCE)
            rng = stream(self._settings, PAGES, day.number, 1 + chunk)
            best = recommended and (recommended[0][here], recommended[1][here])
            made.append(self._fill(rng, day, popular, visits[here], best))
        return np.concatenate(made)

    def _popular_items(self, day: SimulatedDay) -> tuple[Integers, Floats]:
        """Returns the items of the most events the day before, and how many these were.

        They are expected numbers; on the first day, before which there is none, its own.
        """
        before = day if day.number == 0 else SimulatedDay(self._world, day.number - 1)
        events = before.sampling_probabilities() * self._settings.events_per_day
        items = np.argsort(-events, kind="stable")[:_POOL]
        return items, events[items]

    def _fill(
        self,
        rng: np.random.Generator,
        day: SimulatedDay,
        popular: tuple[Integers, Floats],
        visits: npt.NDArray[np.void],
        recommended: tuple[Integers, Floats] | None,
    ) -> npt.NDArray[np.void]:
        nominated = self._nominate(rng, day, popular, visits["user"])
        if recommended is not None:
            sources = np.full(recommended[0].shape, _INDEX)
            nominated = [
                np.concatenate(pair, axis=1)
                for pair in zip((*recommended, sources), nominated, strict=True)
            ]
        chosen = _first_distinct(nominated[0], PAGE_SIZE)
        items, scores, sources = (np.take_along_axis(one, chosen, 1) for one in nominated)
        order = _order(rng, sources == _INDEX)
        rows = np.zeros((len(visits), PAGE_SIZE), IMPRESSION)
        for name in ("timestamp", "page", "user", "device"):
            rows[name] = visits[name][:, np.newaxis]
        rows["position"] = np.arange(PAGE_SIZE)
        for name, values in (("item", items), ("score", scores), ("source", sources)):
            rows[name] = np.take_along_axis(values, order, 1)
        rows = rows.ravel()
        self._click(rng, day, rows)
        return rows

    def _nominate(
        self,
        rng: np.random.Generator,
        day: SimulatedDay,
        popular: tuple[Integers, Floats],
        users: Integers,
    ) -> tuple[Integers, Floats, Integers]:
        """Returns items, scores and sources, [n, m] each: the three nominators in turn.

        Each nominates more than its share, since some may nominate the same. Popular items are
        drawn by how popular they are; fresh ones alike, with the score 2^-age in days; those of a
        channel that the user subscribed to by popularity, which is the score.
        """
        count = len(users)
        pool, events = popular
        most_popular = _draw_distinct(rng, count, np.log(events), _OF_POPULAR)
        newest = np.arange(max(0, day.published - _POOL), day.published)[::-1]
        fresh = newest[_draw_distinct(rng, count, np.zeros(len(newest)), _OF_OTHERS)]
        age = day.number - self._world.videos.publish_day[fresh]
        subscribed = self._world.users.subscriptions[users]
        places = rng.integers(subscribed.shape[1], size=(count, _OF_OTHERS))
        channels = np.take_along_axis(subscribed, places, 1).ravel()
        of_channel, share = day.draw_from_channels(rng, channels)
        shape = (count, _OF_OTHERS)
        items = [pool[most_popular], fresh, of_channel.reshape(shape)]
        scores = [events[most_popular], 0.5**age, share.reshape(shape)]
        sources = [np.full(one.shape, source) for source, one in enumerate(items, start=_POPULAR)]
        return _in_turn(items), _in_turn(scores), _in_turn(sources)

    def _click(
        self, rng: np.random.Generator, day: SimulatedDay, rows: npt.NDArray[np.void]
    ) -> None:
        """Fills in which impressions are clicked, when, and for how long they are watched."""
        users, items, positions = rows["user"], rows["item"], rows["position"]
        probability = examination(positions) * day.click_probabilities(users, items)
        clicked = np.flatnonzero(rng.random(len(rows)) < probability)
        shares = day.draw_watch_shares(rng, users[clicked], items[clicked])
        duration = self._world.videos.duration[items[clicked]]
        rows["watched_seconds"][clicked] = np.round(shares * duration, 1)
        wait = _FIRST_LOOK + _A_PLACE * positions[clicked]
        wait += rng.integers(_HESITATION, size=len(clicked))
        rows["clicked_at"] = -1
        rows["clicked_at"][clicked] = rows["timestamp"][clicked] + wait


def click_events(impressions: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Returns the clicks of impressions as events of dtype `EVENT`, without a seed."""
    clicked = impressions[impressions["clicked_at"] >= 0]
    events = np.zeros(len(clicked), EVENT)
    events["timestamp"], events["seed"] = clicked["clicked_at"], -1
    for name in ("user", "item", "watched_seconds", "device"):
        events[name] = clicked[name]
    return events


def _places(users: Integers) -> Integers:
    """Returns how many equal values stand before each of ascending values, [n]."""
    return np.arange(len(users)) - np.searchsorted(users, users)


def _draw_distinct(
    rng: np.random.Generator, rows: int, logits: Floats, count: int
) -> npt.NDArray[np.intp]:
    """Draws `count` places of `logits`, no place twice, by their softmax; [rows, count].

    The greatest of logits with Gumbel noise are such a draw (Vieira 2014).
    """
    noisy = logits + rng.gumbel(size=(rows, len(logits)))
    return np.argsort(-noisy, axis=1)[:, :count]


def _in_turn(columns: list[npt.NDArray]) -> npt.NDArray:
    """Returns arrays [n, m] beside each other: the first column of each, the second, and so on."""
    turn = np.concatenate([np.arange(one.shape[1]) for one in columns])
    return np.concatenate(columns, axis=1)[:, np.argsort(turn, kind="stable")]


def _first_distinct(items: Integers, count: int) -> npt.NDArray[np.intp]:
    """Returns where the first `count` distinct items of each row stand, ascending; -1 is none."""
    order = np.argsort(items, axis=1, kind="stable")
    in_order = np.take_along_axis(items, order, 1)
    repeated = np.zeros(items.shape, bool)
    repeated[:, 1:] = in_order[:, 1:] == in_order[:, :-1]
    left_out = np.empty(items.shape, bool)
    np.put_along_axis(left_out, order, repeated | (in_order < 0), 1)
    return np.argsort(left_out, axis=1, kind="stable")[:, :count]


def _order(rng: np.random.Generator, ranked: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Draws the columns of each row in the order of their places on the page, all orders alike.

    But for the `ranked` columns, which come first: among themselves they keep their order.
    """
    keys = rng.random(ranked.shape)
    keys = np.where(ranked, np.sort(np.where(ranked, keys, 2.0), axis=1), keys)
    return np.argsort(keys, axis=1)
