"""The settings of the simulated platform: how large it is, and what its users are like."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import Any

import numpy as np

MEAN_SESSION_LENGTH = 5
PAGE_SIZE = 12  # Items on a page.
# The heaviest user sees some 10 times the mean, and needs time to look at each page.
_PAGES_PER_USER = 10

_MOST = 10**9
_LIMITS: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**63 - 1),
    "users": (int, 1, _MOST),
    "videos": (int, 3, _MOST),
    "uploads_per_day": (int, 0, _MOST),
    "channels": (int, 1, _MOST),
    "topics": (int, 1, 1000),
    "events_per_day": (int, 1, _MOST),
    "pages_per_day": (int, 0, _MOST),
    "days": (int, 1, 36500),
    "seed_share": (float, 0.0, 1.0 - 1.0 / MEAN_SESSION_LENGTH),
    "seed_strength": (float, 0.0, 1.0),
    "channel_share": (float, 0.0, 1.0),
    "popularity_exponent": (float, 0.0, 3.0),
    "popularity_jitter": (float, 0.0, 3.0),
    "freshness_boost": (float, 0.0, 1e6),
    "freshness_half_life_days": (float, 0.01, 1e6),
    "taste_spread": (float, 0.0, 20.0),
    "taste_drift": (float, 0.0, 1.0),
}


@dataclasses.dataclass(frozen=True)
class SimulatorSettings:
    """The size and the habits of a simulated video platform.

    Attributes:
      seed: everything random follows from it.
      users: number of users; their activity is a power law.
      videos: number of videos published before `start`, at least 3 per channel.
      uploads_per_day: number of videos published at the start of every day.
      channels: number of channels; each belongs to one topic and every video to one channel.
      topics: number of topics.
      events_per_day: number of events in each day, exactly; at most 10,000 per user.
      pages_per_day: number of pages shown in each day, of PAGE_SIZE items each; at most 10 per
        user. Their clicks are events beyond `events_per_day`. 0: there are none.
      start: the first day (UTC).
      days: number of days.
      seed_share: expected share of the events that have a seed, the session's previous video. At
        most 0.8, because the first event of a session has none.
      seed_strength: probability that an event with a seed goes to a neighbour of the seed.
      channel_share: of the other events, the share that goes through a subscribed channel; the
        rest goes through the user's taste in topics.
      popularity_exponent: a video's base popularity is x^-exponent, x uniform on (0, 1]; 0 makes
        all alike.
      popularity_jitter: standard deviation of the logarithm of a video's day-to-day factor.
      freshness_boost: a video of age 0 is 1 + this many times as popular as when it is old.
      freshness_half_life_days: days in which that boost halves.
      taste_spread: standard deviation of a user's topic logits; at 2.5 some three topics matter.
      taste_drift: share of a user's logits forgotten in a day (0: tastes stay, 1: new every day).

    Raises:
      ValueError: a value has the wrong type or lies outside the allowed range.
    """

    seed: int = 17
    users: int = 2000
    videos: int = 4000
    uploads_per_day: int = 100
    channels: int = 300
    topics: int = 30
    events_per_day: int = 20000
    pages_per_day: int = 0
    start: datetime.date = datetime.date(2026, 1, 1)
    days: int = 7
    seed_share: float = 0.4
    seed_strength: float = 0.6
    channel_share: float = 0.2
    popularity_exponent: float = 1.1
    popularity_jitter: float = 0.3
    freshness_boost: float = 10.0
    freshness_half_life_days: float = 1.5
    taste_spread: float = 2.5
    taste_drift: float = 0.05

    def __post_init__(self) -> None:
        for name, (kind, low, high) in _LIMITS.items():
            _check_number(name, getattr(self, name), kind, low, high)
        if type(self.start) is not datetime.date or not 2000 <= self.start.year < 3000:
            raise ValueError(
                f"simulator setting start: {self.start!r} given, must be a datetime.date from "
                "2000-01-01 to 2999-12-31"
            )
        if self.channels < self.topics:
            raise ValueError(
                f"simulator setting channels: {self.channels} given, must be at least topics "
                f"({self.topics}), so that every topic has a channel"
            )
        if self.events_per_day > 10_000 * self.users:
            raise ValueError(
                f"simulator setting events_per_day: {self.events_per_day} given, must be at most "
                f"10000 * users ({10_000 * self.users}), so that a day has seconds enough for them"
            )
        if self.pages_per_day > _PAGES_PER_USER * self.users:
            raise ValueError(
                f"simulator setting pages_per_day: {self.pages_per_day} given, must be at most "
                f"{_PAGES_PER_USER} * users ({_PAGES_PER_USER * self.users}), so that "
                "nobody gets a page while looking at another"
            )
        if self.pages_per_day and self.videos < PAGE_SIZE:
            raise ValueError(
                f"simulator setting videos: {self.videos} given, must be at least {PAGE_SIZE} with "
                "pages_per_day, so that a page is full"
            )
        if self.videos < 3 * self.channels:
            raise ValueError(
                f"simulator setting videos: {self.videos} given, must be at least 3 * channels "
                f"({3 * self.channels}), so that every channel has videos"
            )

    @property
    def seeded_after_first(self) -> float:
        """Probability that an event which is not its session's first has a seed."""
        return self.seed_share / (1.0 - 1.0 / MEAN_SESSION_LENGTH)


def _check_number(name: str, value: Any, kind: type, low: float, high: float) -> None:
    accepted = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    right_type = isinstance(value, accepted) and not isinstance(value, bool)
    if right_type and math.isfinite(value) and low <= value <= high:
        return
    word = "an integer" if kind is int else "a number"
    raise ValueError(
        f"simulator setting {name}: {value!r} given, must be {word} from {low:g} to {high:g}"
    )
