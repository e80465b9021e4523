"""Hashes of users, items and events: the same on every machine, in every run, for every split.

They choose shards, held-out examples and the order of events of the same second, so a change here
changes every partition.
"""

import enum
import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


class Purpose(enum.IntEnum):
    """What a share of a hash decides; shares of different purposes are independent.

    ``PLACE`` is a share of a user's hash, the others are of an event's or an impression's; of
    impressions ``HOLD_OUT`` is a share of their page's.
    """

    # Below ``examples.holdout_share``: held out.
    HOLD_OUT = 0
    # The smallest of a user's day make examples (``examples.max_per_user_and_day``).
    CAP = 1
    # Where a user's examples stand between those of others.
    PLACE = 2
    # The smallest of the impressions without a click are kept (``ranking.negatives_per_positive``).
    SAMPLE = 3


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def text_hash(text: str) -> int:
    """Returns a 64-bit hash of a text (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def text_hashes(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Returns ``text_hash`` of each text, uint64 [n]; each distinct text is hashed once."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    encoded = texts.dictionary_encode()
    distinct = _hash_all(encoded.dictionary.to_pylist())
    return distinct[encoded.indices.to_numpy(zero_copy_only=False)]


def _hash_all(texts: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(text_hash, texts), np.uint64, len(texts))


def mixed(values: np.ndarray) -> np.ndarray:
    """Returns uint64 values well mixed (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


def event_hashes(users: np.ndarray, items: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Returns a hash of each event, uint64 [n].

    Args:
        users: ``text_hashes`` of the user ids, [n].
        items: ``text_hashes`` of the item ids, [n].
        timestamps: int64 [n], Unix seconds.
    """
    return mixed(mixed(mixed(users) ^ items) ^ timestamps.astype(np.uint64))


def shares(hashes: np.ndarray, purpose: Purpose) -> np.ndarray:
    """Returns hashes as numbers in [0, 1), float64 [n]; for each purpose independent ones."""
    salted = mixed(hashes ^ mixed(np.array([purpose.value], np.uint64)))
    return (salted >> np.uint64(11)).astype(np.float64) / 2.0**53


def shards(user_hashes: np.ndarray, count: int) -> np.ndarray:
    """Returns the shard of each user, int64 [n] in [0, count)."""
    return (user_hashes % np.uint64(count)).astype(np.int64)
