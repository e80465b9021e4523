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
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from twotower_tf.simulator.settings import MEAN_SESSION_LENGTH, SimulatorSettings

DAY_SECONDS = 86_400
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
_USERS, _VIDEOS, _UPLOADS, _WORDS, _TASTE, _JITTER, EVENTS, PAGES, _OPINIONS = range(9)


def stream(settings: SimulatorSettings, *key: int) -> np.random.Generator:
    """Returns the random stream of this seed and key (a purpose, and a day or more)."""
    return np.random.default_rng([settings.seed, *key])


def opinions(
    settings: SimulatorSettings, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Returns what each user thinks of an item beside all that features could tell, [n].

    It is the same on all days. Over users and items it has the standard logistic distribution.

    Args:
      settings: of the platform; its seed decides.
      users, items: [n] rows.
    """
    salt = stream(settings, _OPINIONS).integers(2**63, size=2).astype(np.uint64)
    mixed = _mix(_mix(users.astype(np.uint64) ^ salt[0]) + items.astype(np.uint64) ^ salt[1])
    uniform = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return np.log(uniform / (1.0 - uniform))


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Returns well-mixed hashes of whole numbers (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


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
