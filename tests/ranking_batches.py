"""A small deployment that ranks, and batches of its impressions made by hand."""

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import Catalogue

ITEMS = [f"item-{n}" if n % 5 else f"ключ-{n}" for n in range(12)]
CHANNELS = ["red", "green", "blue", ""]
COLUMNS = {"position": "place", "score": "score", "source": "by", "surface": "page"}
VALUES = {
    "name": "tiny",
    "source": {
        "events": {"path": "e.csv", "columns": {"dwell": "watched", "seed_item_id": "seed"}},
        "items": {"path": "i.csv", "columns": {"item_id": "item_id"}},
        "impressions": {"path": "i/*.jsonl", "columns": COLUMNS},
    },
    "tables": {"items": {"buckets": 64, "dim": 4}, "channels": {"buckets": 16, "dim": 4}},
    "query": {
        "features": [
            {"name": "history", "kind": "id_bag", "encode": "item", "encoder": "mean"},
            {"name": "device", "kind": "category", "values": ["phone", "tv"]},
        ],
        "layers": [5, 4],
    },
    "candidate": {
        "features": [
            {"name": "item_id", "kind": "id", "table": "items"},
            {"name": "channel", "kind": "id", "table": "channels"},
            {"name": "length", "kind": "dense", "normalise": "none"},
        ],
        "layers": [],
        "combine": "sum",
        "dim": 4,
    },
    "training": {"batch_size": 8},
    "ranking": {"likes": ["channel"], "layers": [8, 6], "time_zone": "UTC"},
}


def config_of(**ranking) -> Config:
    """Returns the deployment, with other keys of ``ranking``."""
    return Config.model_validate({**VALUES, "ranking": {**VALUES["ranking"], **ranking}})


def channel_of(item: str) -> str:
    """Returns the channel of an item; of some there is none, and of those not there."""
    return CHANNELS[ITEMS.index(item) % 4] if item in ITEMS else ""


def catalogue() -> Catalogue:
    """Returns the items' features."""
    features = {
        "item_id": np.array(ITEMS, object),
        "channel": np.array([channel_of(item) for item in ITEMS], object),
        "length": np.arange(len(ITEMS)).astype(np.float32),
    }
    return Catalogue(np.array(ITEMS, object), features)


def pasts(rng: np.random.Generator, count: int, longest: int = 6) -> dict[str, list[list]]:
    """Returns what users did before: lists by the raw feature's name, some of them empty."""
    known = [*ITEMS[:6], "not there", ""]
    watched, shown = (
        [list(rng.choice(known, rng.integers(longest))) for _ in range(count)] for _ in range(2)
    )

    def beside(lists: list[list], draw) -> list[list]:
        return [[float(draw()) for _ in one] for one in lists]

    return {
        "history": watched,
        "history_days": beside(watched, lambda: rng.exponential(3)),
        "history_dwell": beside(watched, lambda: rng.exponential(60)),
        "shown_item_ids": shown,
        "shown_days": beside(shown, lambda: rng.exponential(3)),
        "shown_clicked": beside(shown, lambda: rng.random() < 0.3),
    }


def ragged(lists: list[list]) -> tf.RaggedTensor:
    """Returns lists of texts or numbers as examples are parsed."""
    flat = [value for one in lists for value in one]
    is_number = any(isinstance(value, float) for value in flat)
    values = tf.constant(flat, tf.float32 if is_number else tf.string)
    return tf.RaggedTensor.from_row_lengths(values, [len(one) for one in lists])


def as_lists(past: dict[str, list[list]]) -> dict[str, tf.RaggedTensor]:
    """Returns a past as tensors, those of numbers too where all lists are empty."""
    made = {name: ragged(lists) for name, lists in past.items()}
    for name in ("history_days", "history_dwell", "shown_days", "shown_clicked"):
        if made[name].dtype == tf.string:
            made[name] = made[name].with_flat_values(tf.zeros([0]))
    return made


def batch_of(seed: int, count: int = 32) -> dict:
    """Returns a batch of impressions; those of even items are clicked, and watched by channel."""
    rng = np.random.default_rng(seed)
    items = list(rng.choice(ITEMS, count))
    clicked = np.array([ITEMS.index(item) % 2 == 0 for item in items]) & (rng.random(count) < 0.8)
    past = as_lists(pasts(rng, count))
    texts = {
        "nomination_source": rng.choice(["index", "fresh"], count),
        "surface": rng.choice(["home", ""], count),
        "hour": rng.integers(24, size=count).astype(str),
        "weekday": rng.integers(7, size=count).astype(str),
    }
    return {
        "query": {
            "history": past.pop("history"),
            "device": tf.constant(rng.choice(["tv", "phone", "x"], count)),
        },
        "candidate": {
            "item_id": tf.constant(items),
            "channel": tf.constant([channel_of(item) for item in items]),
            "length": tf.constant([ITEMS.index(item) for item in items], tf.float32),
        },
        "impression": {
            **past,
            "position": tf.constant(rng.integers(1, 10, count), tf.float32),
            "nomination_score": tf.constant(rng.random(count), tf.float32),
            **{name: tf.constant(values) for name, values in texts.items()},
        },
        "user_id": tf.constant([f"u{n % 5}" for n in range(count)]),
        "item_id": tf.constant(items),
        "timestamp": tf.constant(np.arange(count), tf.int64),
        "page": tf.constant(np.arange(count) // 4, tf.int64),
        "clicked": tf.constant(clicked, tf.float32),
        "watched_seconds": tf.constant(clicked * rng.exponential(50, count), tf.float32),
        "weight": tf.constant(np.where(clicked, 1.0, 2.0), tf.float32),
    }
