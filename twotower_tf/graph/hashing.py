"""From ids to hash buckets inside the TensorFlow graph.

An id is hashed once, to a 64-bit fingerprint (for strings the costly part); any number of
independent hash functions is then a few integer operations on the fingerprint.

The mixer is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014): one step of its generator, from the state given.
"""

import functools

import numpy as np
import tensorflow as tf

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
# The largest range the string hash can be asked for: it counts its buckets in an int64.
_STRING_FINGERPRINTS = 2**63 - 1


def _xor_shift(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(bits, tf.uint64)))


def _splitmix64(x: tf.Tensor) -> tf.Tensor:
    """SplitMix64's output for the state x (uint64, any shape): a bijection that mixes all bits."""
    # Unsigned throughout: overflow wraps modulo 2^64, and the right shift brings in zeros.
    x = x + tf.constant(_GOLDEN_GAMMA, tf.uint64)
    x = _xor_shift(x, 30) * tf.constant(_MULTIPLIERS[0], tf.uint64)
    x = _xor_shift(x, 27) * tf.constant(_MULTIPLIERS[1], tf.uint64)
    return _xor_shift(x, 31)


@functools.lru_cache(maxsize=256)
def _key(seed: int) -> np.uint64:
    """Mixes a seed before it meets fingerprints: neighbouring ones would permute neighbours."""
    # Once, and not as operations of every graph that hashes.
    with tf.init_scope():
        return _splitmix64(tf.cast(tf.constant(seed, tf.int64), tf.uint64)).numpy()


def fingerprint(ids: tf.Tensor) -> tf.Tensor:
    """The 64-bit fingerprint of every id.

    Strings get FarmHash64 reduced to [0, 2^63 - 1), so that two of 50 million strings share a
    fingerprint with probability 1.4e-4. Integers are mixed by a bijection of 64-bit words:
    no two integers share one. The same integer in another integer type has the same
    fingerprint; the string "7" and the integer 7 do not.

    Args:
        ids: Strings or integers, any shape.

    Returns:
        int64, the shape of `ids`; negative for about half of the integers.

    Raises:
        ValueError: If `ids` are neither strings nor integers.

    >>> import twotower_tf
    >>> fingerprint(tf.constant(["a", "b", "a"])).shape
    TensorShape([3])
    """
    ids = tf.convert_to_tensor(ids)
    if ids.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(ids, _STRING_FINGERPRINTS)
    if not ids.dtype.is_integer:
        raise ValueError(f"ids must be strings or integers, got {ids.dtype.name}")
    return tf.cast(_splitmix64(tf.cast(tf.cast(ids, tf.int64), tf.uint64)), tf.int64)


def hash_to_buckets(fingerprints: tf.Tensor, buckets: int, seed: int) -> tf.Tensor:
    """One of a family of independent hash functions, chosen by `seed`, applied to fingerprints.

    Args:
        fingerprints: int64, any shape, from `fingerprint`.
        buckets: The number of buckets, at least 1.
        seed: Any 64-bit integer; different seeds give independent functions.

    Returns:
        int64 in [0, buckets), the shape of `fingerprints`.

    Raises:
        ValueError: If `buckets` is below 1.

    >>> import twotower_tf
    >>> bool(tf.reduce_all(hash_to_buckets(fingerprint([3, 14, 15]), buckets=10, seed=0) < 10))
    True
    """
    if buckets < 1:
        raise ValueError(f"buckets must be at least 1, got {buckets}")
    key = tf.constant(_key(seed), tf.uint64)
    keyed = tf.bitwise.bitwise_xor(tf.cast(fingerprints, tf.uint64), key)
    # 2^64 is no multiple of `buckets`, but the bias is below buckets / 2^64.
    hashed = tf.math.floormod(_splitmix64(keyed), tf.constant(buckets, tf.uint64))
    return tf.cast(hashed, tf.int64)
