"""The truth of one simulated day: its probabilities in closed form, and exact draws from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.settings import MEAN_SESSION_LENGTH
from twotower_tf.simulator.world import (
    DAY_SECONDS,
    LONGEST_SESSION,
    RING_REACH,
    SUBSCRIPTIONS,
    World,
    opinions,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# A watch is either skimmed (share of the duration near 0) or watched, with a mean that rises with
# the match between taste and topic.
_SKIMMED = (1.0, 40.0)
_WATCHED_CONCENTRATION = 4.0

# The logit of a click on an item that was looked at: for everything alike, then what it gains by
# the match between taste and topic, by a subscription to the channel, by each unit of the logarithm
# of the item's popularity, and by the user's own opinion of the item.
_CLICK_LOGIT = -4.0
_CLICK_BY_MATCH = 2.5
_CLICK_BY_SUBSCRIPTION = 0.7
_CLICK_BY_POPULARITY = 0.25
_CLICK_BY_OPINION = 0.5


class SimulatedDay:
    """What is true on one day. Users and items are row numbers here; ids are the files' business.

    Args:
      world: the platform.
      day: days since the settings' `start`.

    Attributes:
      number: days since the settings' `start`.
      midnight: Unix seconds at which the day begins.
      published: number of items that exist on the day; they are the first rows of the catalogue.
    """

    def __init__(self, world: World, day: int) -> None:
        self._settings = world.settings
        self._users = world.users
        self.number = day
        start = int(np.datetime64(world.settings.start, "s").astype(np.int64))
        self.midnight = start + day * DAY_SECONDS
        self._logits = world.tastes(day)
        self._weights = world.popularity(day)
        self.published = len(self._weights)
        self._topic = world.videos.topic[: self.published]
        self._channel = world.videos.channel[: self.published]
        self._duration = world.videos.duration[: self.published]
        self._topic_weight = np.bincount(self._topic, self._weights, self._settings.topics)
        self._channel_weight = np.bincount(self._channel, self._weights, self._settings.channels)
        self._index_segments()
        self._index_rings(world.videos.coordinate[: self.published])

    def tastes(self, users: Integers) -> Floats:
        """Returns P(topic | user, day), [len(users), topics]."""
        logits = self._logits[users].astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def item_probabilities(self, user: int, seed_item: int | None = None) -> Floats:
        """Returns P(item | user, day, seed), [published], without a seed if that is None."""
        topic = self.tastes(np.array([user]))[0]
        subscriptions = self._users.subscriptions[user]
        channel = np.bincount(subscriptions, minlength=self._settings.channels) / SUBSCRIPTIONS
        base = self._mix(topic, channel)
        if seed_item is None:
            return base
        neighbours, shares = self._neighbours(np.array([seed_item]))
        related = np.bincount(neighbours[0], shares[0], self.published)
        strength = self._settings.seed_strength
        return (1.0 - strength) * base + strength * related

    def sampling_probabilities(self) -> Floats:
        """Returns the probability that an event of the day is item i, [published].

        Exact, the seeds included. Averaged over users by activity, the first event of a session
        has the distribution b of events without a seed, and the next ones m <- (1 - g) b + g m R,
        where g is the probability of going to a neighbour of the previous item and R[j, i] is
        R_d(i | j). The mean over a session's places weighs place n with P(length >= n) / E[length].
        """
        settings, activity = self._settings, self._users.activity
        topic = np.zeros(settings.topics)
        for first in range(0, settings.users, 100_000):
            users = np.arange(first, min(first + 100_000, settings.users))
            topic += activity[users] @ self.tastes(users)
        per_place = np.repeat(activity / SUBSCRIPTIONS, SUBSCRIPTIONS)
        channel = np.bincount(self._users.subscriptions.ravel(), per_place, settings.channels)
        base = self._mix(topic, channel)

        neighbours, shares = self._neighbours(np.arange(self.published))
        follow = settings.seeded_after_first * settings.seed_strength
        place, total = base, np.zeros(self.published)
        for n in range(LONGEST_SESSION):
            total += (LONGEST_SESSION - n) / LONGEST_SESSION / MEAN_SESSION_LENGTH * place
            moved = (place[:, np.newaxis] * shares).ravel()
            moved = np.bincount(neighbours.ravel(), moved, self.published)
            place = (1.0 - follow) * base + follow * moved
        return total

    def expected_watch_shares(self, user: int) -> Floats:
        """Returns E[watched seconds / duration | user, item, day], [published]."""
        return _mean_share(self._matches(np.array([user]), self._topic))

    def click_probabilities(self, users: Integers, items: Integers) -> Floats:
        """Returns P(click | the user looks at the item, day) of n users and as many items, [n].

        A logistic law: see the constants for what it weighs. The opinion is fixed for a user and
        an item, so an item that was passed over yesterday is likely to be so again.
        """
        channel = self._channel[items][:, np.newaxis]
        subscribed = (self._users.subscriptions[users] == channel).any(axis=1)
        logit = (
            _CLICK_LOGIT
            + _CLICK_BY_MATCH * self._matches(users, self._topic[items])
            + _CLICK_BY_SUBSCRIPTION * subscribed
            + _CLICK_BY_POPULARITY * np.log(self._weights[items])
            + _CLICK_BY_OPINION * opinions(self._settings, users, items)
        )
        return 1.0 / (1.0 + np.exp(-logit))

    def expected_watch_seconds(self, users: Integers, items: Integers) -> Floats:
        """Returns P(click | looked at) * E[watched seconds | click], of n users and items, [n]."""
        share = _mean_share(self._matches(users, self._topic[items]))
        return self.click_probabilities(users, items) * share * self._duration[items]

    def draw_from_channels(
        self, rng: np.random.Generator, channels: Integers
    ) -> tuple[Integers, Floats]:
        """Draws an item of each channel by the day's popularity.

        Args:
          rng: the random stream.
          channels: [n] channels.

        Returns:
          [n] items, and [n] the probability of each among its channel's.
        """
        start, end = self._channel_start[channels], self._channel_end[channels]
        items = self._draw_from_segments(rng, start, end)
        return items, self._weights[items] / self._channel_weight[channels]

    def draw_items(self, rng: np.random.Generator, users: Integers, seeds: Integers) -> Integers:
        """Draws one item per user from P(item | user, day, seed).

        Args:
          rng: the random stream.
          users: [n] users.
          seeds: [n] seed items, -1 for none.

        Returns:
          [n] items.
        """
        count = len(users)
        followed = (rng.random(count) < self._settings.seed_strength) & (seeds >= 0)
        by_channel = rng.random(count) < self._settings.channel_share
        place = rng.integers(SUBSCRIPTIONS, size=count)
        channel = self._users.subscriptions[users, place]
        topic = _draw_columns(rng, self.tastes(users))
        start = np.where(by_channel, self._channel_start[channel], self._topic_start[topic])
        end = np.where(by_channel, self._channel_end[channel], self._topic_start[topic + 1])
        items = self._draw_from_segments(rng, start, end)
        neighbours, shares = self._neighbours(seeds[followed])
        chosen = _draw_columns(rng, shares)
        items[followed] = neighbours[np.arange(len(chosen)), chosen]
        return items

    def draw_watch_shares(
        self, rng: np.random.Generator, users: Integers, items: Integers
    ) -> Floats:
        """Draws the share of its duration, in [0, 1], that each user watches of the item, [n]."""
        skim, mean = _watch_law(self._matches(users, self._topic[items]))
        skimmed = rng.random(len(users)) < skim
        alpha = np.where(skimmed, _SKIMMED[0], _WATCHED_CONCENTRATION * mean)
        beta = np.where(skimmed, _SKIMMED[1], _WATCHED_CONCENTRATION * (1.0 - mean))
        return rng.beta(alpha, beta)

    def _mix(self, topic: Floats, channel: Floats) -> Floats:
        by_topic = (topic / self._topic_weight)[self._topic]
        by_channel = (channel / self._channel_weight)[self._channel]
        share = self._settings.channel_share
        return self._weights * ((1.0 - share) * by_topic + share * by_channel)

    def _matches(self, users: Integers, topics: Integers) -> Floats:
        """Returns a topic's probability relative to the user's favourite topic's, in (0, 1]."""
        favourite = self._logits[users].max(axis=1)
        return np.exp((self._logits[users, topics] - favourite).astype(np.float64))

    def _index_segments(self) -> None:
        # Sorted by topic, then channel, both are runs of one running sum of the weights, so one
        # binary search draws from any topic or channel.
        topics, channels = self._settings.topics, self._settings.channels
        self._by_segment = np.lexsort((self._channel, self._topic))
        self._running = np.append(0.0, np.cumsum(self._weights[self._by_segment]))
        self._topic_start = np.searchsorted(self._topic[self._by_segment], np.arange(topics + 1))
        keys = (self._topic * channels + self._channel)[self._by_segment]
        key_of_channel = np.arange(channels) % topics * channels + np.arange(channels)
        self._channel_start = np.searchsorted(keys, key_of_channel)
        self._channel_end = np.searchsorted(keys, key_of_channel, side="right")

    def _draw_from_segments(
        self, rng: np.random.Generator, start: Integers, end: Integers
    ) -> Integers:
        low, high = self._running[start], self._running[end]
        target = low + rng.random(len(start)) * (high - low)
        found = np.searchsorted(self._running, target, side="right") - 1
        # Rounding can put the target on the segment's upper edge.
        return self._by_segment[np.clip(found, start, end - 1)]

    def _index_rings(self, coordinate: Floats) -> None:
        self._ring = np.lexsort((coordinate, self._topic))
        self._ring_place = np.empty(self.published, np.int64)
        self._ring_place[self._ring] = np.arange(self.published)

    def _neighbours(self, seeds: Integers) -> tuple[Integers, Floats]:
        """Returns the items a seed leads to and R_d(item | seed), both [n, 2 * RING_REACH]."""
        start = self._topic_start[self._topic[seeds]][:, np.newaxis]
        size = self._topic_start[self._topic[seeds] + 1][:, np.newaxis] - start
        reach = np.arange(1, RING_REACH + 1)
        offset = np.concatenate((-reach[::-1], reach))
        place = (self._ring_place[seeds][:, np.newaxis] - start + offset) % size
        items = self._ring[start + place]
        # On a small ring the two directions would meet and count an item twice.
        distinct = np.abs(offset) <= (size - 1) // 2
        shares = np.where(distinct, self._weights[items] / np.abs(offset), 0.0)
        return items, shares / shares.sum(axis=1, keepdims=True)


def _watch_law(match: Floats) -> tuple[Floats, Floats]:
    """Returns the probability of skimming and the mean share of those who do not."""
    return 0.35 - 0.3 * match, 0.2 + 0.6 * match


def _mean_share(match: Floats) -> Floats:
    """Returns the mean share of its duration that is watched."""
    skim, mean = _watch_law(match)
    return skim * _SKIMMED[0] / sum(_SKIMMED) + (1.0 - skim) * mean


def _draw_columns(rng: np.random.Generator, probabilities: Floats) -> Integers:
    """Draws a column per row of [n, columns] probabilities; never one of probability 0."""
    running = np.cumsum(probabilities, axis=1)
    target = rng.random((len(running), 1)) * running[:, -1:]
    # Beyond the last running sum below the total there are only columns of probability 0.
    return np.minimum((running <= target).sum(axis=1), (running < running[:, -1:]).sum(axis=1))
