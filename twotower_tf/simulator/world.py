"""The simulated platform: its users, its videos, and the true law by which users pick videos.

Every probability here is in closed form, so the truth costs one pass over the catalogue. For user
u on day d, without a seed,

    P(i | u, d) = (1 - c) P(topic(i) | u, d) w_d(i) / W_d(topic(i))
                + c P(channel(i) | u) w_d(i) / W_d(channel(i)),

where c is `channel_share`, w_d is the day's popularity and W_d its sum over the topic or channel.
With a seed j it is (1 - s) P(i | u, d) + s R_d(i | j), where s is `seed_strength` and R_d goes to
j's neighbours on its topic's hidden ring, in proportion to popularity over ring distance.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import Any

import numpy as np
import numpy.typing as npt

MEAN_SESSION_LENGTH = 5
LONGEST_SESSION = 2 * MEAN_SESSION_LENGTH - 1  # Lengths are uniform on 1..9, so their mean is 5.
RING_REACH = 10  # A seed leads to videos at most this many places away on the ring.
SUBSCRIPTIONS = 5
PUBLISHING_SECONDS = 3600  # Uploads appear in a day's first hour; nobody watches in that hour.
OLDEST_VIDEO_DAYS = 730
WORDS_PER_TOPIC = 40
GENERAL_WORDS = 60
COUNTRIES = ("US", "IN", "BR", "DE", "JP", "GB", "FR", "NG")
DEVICES = ("phone", "tablet", "tv", "desktop")

# The first key of each random stream. What belongs to a day has a stream of its own, so that more
# days leave the earlier ones as they were.
_USERS, _VIDEOS, _UPLOADS, _WORDS, _TASTE, _JITTER, EVENTS = range(7)

_MOST = 10**9
_LIMITS: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**63 - 1),
    "users": (int, 1, _MOST),
    "videos": (int, 3, _MOST),
    "uploads_per_day": (int, 0, _MOST),
    "channels": (int, 1, _MOST),
    "topics": (int, 1, 1000),
    "events_per_day": (int, 1, _MOST),
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


def stream(settings: SimulatorSettings, *key: int) -> np.random.Generator:
    """Returns the random stream of this seed and key (a purpose, and a day or more)."""
    return np.random.default_rng([settings.seed, *key])


@dataclasses.dataclass(frozen=True)
class Users:
    """The users' fixed traits, one row a user.

    Attributes:
      activity: [users] share of all sessions; sums to 1.
      subscriptions: [users, SUBSCRIPTIONS] channels, chosen alike; one may fill several places.
      country, device: [users] places in COUNTRIES, and in DEVICES for the favourite device.
      age: [users] years.
    """

    activity: npt.NDArray[np.float64]
    subscriptions: npt.NDArray[np.int64]
    country: npt.NDArray[np.int64]
    device: npt.NDArray[np.int64]
    age: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Videos:
    """All videos published until the end of the last day, in the order of their publication.

    Attributes:
      channel, topic, second_topic: [videos]; no second topic is -1.
      duration: [videos] seconds.
      publish_day: [videos] days since `start`, negative before it.
      publish_second: [videos] seconds since the midnight of that day.
      popularity: [videos] base weight.
      coordinate: [videos] in [0, 1), the place on the topic's ring.
      title: [videos, 4] places in the world's words.
    """

    channel: npt.NDArray[np.int64]
    topic: npt.NDArray[np.int64]
    second_topic: npt.NDArray[np.int64]
    duration: npt.NDArray[np.int64]
    publish_day: npt.NDArray[np.int64]
    publish_second: npt.NDArray[np.int64]
    popularity: npt.NDArray[np.float64]
    coordinate: npt.NDArray[np.float64]
    title: npt.NDArray[np.int64]


class World:
    """Users, videos and drifting tastes; `tastes` and `popularity` are what changes daily.

    Args:
      settings: the platform's size and habits.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.words = _make_words(settings)
        self._channel_weights = 1.0 / np.sqrt(1.0 + np.arange(settings.channels) % 50)
        self._channel_weights /= self._channel_weights.sum()
        self.videos = self._make_videos()
        self._tastes = (0, self._first_tastes())
        self.users = self._make_users(self._tastes[1])

    def tastes(self, day: int) -> npt.NDArray[np.float32]:
        """Returns the users' topic logits on a day, [users, topics]; softmax gives the taste.

        The logits are a stationary first-order autoregression: a day keeps 1 - `taste_drift` of
        yesterday's and adds noise which holds their variance at `taste_spread` squared.
        """
        known, logits = self._tastes
        if known > day:
            known, logits = 0, self._first_tastes()
        keep = 1.0 - self.settings.taste_drift
        noise_scale = self.settings.taste_spread * math.sqrt(1.0 - keep * keep)
        for later in range(known + 1, day + 1):
            noise = stream(self.settings, _TASTE, later).standard_normal(logits.shape, np.float32)
            logits = np.float32(keep) * logits + np.float32(noise_scale) * noise
        self._tastes = (day, logits)
        return logits

    def popularity(self, day: int) -> npt.NDArray[np.float64]:
        """Returns w_d, [videos published by the day]: base * freshness * the day's jitter."""
        settings = self.settings
        published = settings.videos + (day + 1) * settings.uploads_per_day
        age = day - self.videos.publish_day[:published]
        fresh = 1.0 + settings.freshness_boost * 0.5 ** (age / settings.freshness_half_life_days)
        noise = stream(settings, _JITTER, day).standard_normal(published)
        return (
            self.videos.popularity[:published] * fresh * np.exp(settings.popularity_jitter * noise)
        )

    def _first_tastes(self) -> npt.NDArray[np.float32]:
        rng = stream(self.settings, _TASTE, 0)
        shape = (self.settings.users, self.settings.topics)
        return np.float32(self.settings.taste_spread) * rng.standard_normal(shape, np.float32)

    def _make_users(self, logits: npt.NDArray[np.float32]) -> Users:
        count, topics = self.settings.users, self.settings.topics
        rng = stream(self.settings, _USERS)
        rank = rng.permutation(count)
        # The offset bounds the heaviest user at some 10 times the mean, at any number of users.
        activity = ((rank + 0.5) / count + 0.01) ** -0.7
        subscriptions = np.empty((count, SUBSCRIPTIONS), np.int64)
        for place in range(SUBSCRIPTIONS):
            # Gumbel's trick draws from the softmax of the logits.
            noise = rng.gumbel(size=logits.shape).astype(np.float32)
            topic = np.argmax(logits + noise, axis=1)
            choices = (self.settings.channels - topic - 1) // topics + 1
            subscriptions[:, place] = topic + topics * rng.integers(choices)
        return Users(
            activity=activity / activity.sum(),
            subscriptions=subscriptions,
            country=rng.integers(len(COUNTRIES), size=count),
            device=rng.choice(len(DEVICES), count, p=(0.5, 0.1, 0.15, 0.25)),
            age=rng.integers(13, 80, size=count),
        )

    def _make_videos(self) -> Videos:
        settings = self.settings
        # Before `start` uploads came at the pace of later days, unless that goes back too far.
        pace = max(settings.uploads_per_day, -(-settings.videos // OLDEST_VIDEO_DAYS))
        before = -1 - np.arange(settings.videos)[::-1] // pace
        blocks = [self._make_block(stream(settings, _VIDEOS), before)]
        # Every channel, and so every topic, starts with 3 videos: no share is 0/0, and the
        # smallest ring still gives each video two neighbours.
        first = np.arange(3 * settings.channels) % settings.channels
        blocks[0]["channel"][: len(first)] = first
        for day in range(settings.days):
            days = np.full(settings.uploads_per_day, day)
            blocks.append(self._make_block(stream(settings, _UPLOADS, day), days))
        columns = {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}
        topic = columns["channel"] % settings.topics
        step = columns.pop("topic_step")
        second = np.where(step > 0, (topic + step) % settings.topics, -1)
        title = columns.pop("topic_words") + (topic * WORDS_PER_TOPIC)[:, np.newaxis]
        general = columns.pop("general_word") + settings.topics * WORDS_PER_TOPIC
        return Videos(
            topic=topic, second_topic=second, title=np.column_stack((title, general)), **columns
        )

    def _make_block(
        self, rng: np.random.Generator, days: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[Any]]:
        count, topics = len(days), self.settings.topics
        coordinate = rng.random(count)
        # Words lie on the ring too: neighbours share words, which is how a model can place an
        # upload before anybody has watched it.
        near = np.floor(coordinate * WORDS_PER_TOPIC).astype(np.int64)
        steps = rng.permuted(np.tile(np.arange(-2, 3), (count, 1)), axis=1)[:, :3]
        second = rng.integers(PUBLISHING_SECONDS, size=count)
        two_topics = (rng.random(count) < 0.3) & (topics > 1)
        return {
            "coordinate": coordinate,
            "topic_words": (near[:, np.newaxis] + steps) % WORDS_PER_TOPIC,
            "general_word": rng.integers(GENERAL_WORDS, size=count),
            "topic_step": np.where(two_topics, rng.integers(1, max(topics, 2), count), 0),
            "channel": rng.choice(self.settings.channels, count, p=self._channel_weights),
            "duration": np.clip(rng.lognormal(math.log(240), 0.8, count), 20, 1800).astype(int),
            "publish_day": days,
            "publish_second": second[np.lexsort((second, days))],
            "popularity": (1.0 - rng.random(count)) ** -self.settings.popularity_exponent,
        }


def _make_words(settings: SimulatorSettings) -> list[str]:
    """Returns distinct made-up words: WORDS_PER_TOPIC for each topic, then the general ones."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    base = len(syllables)
    count = settings.topics * WORDS_PER_TOPIC + GENERAL_WORDS
    codes = stream(settings, _WORDS).permutation(base**3)[:count].tolist()
    return [
        syllables[code // base**2] + syllables[code // base % base] + syllables[code % base]
        for code in codes
    ]
