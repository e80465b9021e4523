"""A bucket of the adaptive estimator: what its 8 bytes hold, and what they say.

A bucket belongs to one item. It knows n, the sightings since its start step s, and what was
learned before s: a mean gap g that weighs as much as w sightings. The word packs n, w and g with
a tag of the item's hash; s has an int32 of its own.
"""

import math
from typing import NamedTuple

import tensorflow as tf

BLOCK = 16  # Sightings after which a block joins what was learned before it.
TAGS = 2**10 - 1  # Tags are 1 to 1023: a word of 0 is an empty bucket.
LARGEST_WEIGHT = float(BLOCK * 63)

# The word, from the lowest bit: gap, weight, sightings, tag.
_GAP_BITS, _WEIGHT_BITS, _SIGHTING_BITS, _TAG_BITS = 12, 6, 4, 10
_WEIGHT_SHIFT = _GAP_BITS
_SIGHTING_SHIFT = _WEIGHT_SHIFT + _WEIGHT_BITS
_TAG_SHIFT = _SIGHTING_SHIFT + _SIGHTING_BITS
_TOP_GAP_CODE = 2**_GAP_BITS - 1
_TOP_WEIGHT_CODE = 2**_WEIGHT_BITS - 1
# The codes of a gap are its logarithm, up to 2^31 steps: neighbours differ by 0.5 %.
_CODES_PER_E_FOLD = _TOP_GAP_CODE / (31 * math.log(2))

_IMPLAUSIBLE = 9.0  # Three standard deviations, squared.
_FIRST_SIGHTING = 0.125  # Exact in binary: scores that tie do so in any precision.


class Bucket(NamedTuple):
    """Unpacked buckets: float32 tensors of one shape.

    Attributes:
        sightings: n, since the block began; the sighting that began it does not count.
        weight: w, the sightings that `gap` is worth; 0 before the first block is full.
        gap: g, the mean gap in steps before the block; for weight 0 a first guess.
        elapsed: T = t - s, the steps since the block began.
    """

    sightings: tf.Tensor
    weight: tf.Tensor
    gap: tf.Tensor
    elapsed: tf.Tensor

    def trusted_weight(self) -> tf.Tensor:
        """What the block leaves of the weight: w f, f = 1 while it agrees with the gap before.

        With E = T / g sightings expected, z^2 = (n - E)^2 / (1 + E max(1 - 1/g, 0.05) + E^2 / w):
        the squared deviation over the variance of n (binomial), of E (the gap is an average of
        w) and of rounding. f = 1 / max(z^2, 1), and 0 beyond z^2 = 9. A drift thus shortens the
        average, a jump starts it anew, and so does a silence several gaps long.
        """
        expected = self.elapsed / self.gap
        variance = (
            1.0
            + expected * tf.maximum(1.0 - 1.0 / self.gap, 0.05)
            + tf.math.divide_no_nan(expected * expected, self.weight)
        )
        surprise = (self.sightings - expected) ** 2 / variance
        return tf.where(surprise > _IMPLAUSIBLE, 0.0, self.weight / tf.maximum(surprise, 1.0))

    def probability(self, initial_gap: float) -> tf.Tensor:
        """(v + n + a) / (v g + T + a c), at most 1: sightings over the steps they took.

        v is the trusted weight. Without any (v = 0) a guess helps out, the gap c, that weighs
        a = 1 / (1 + n)^2 sightings: c = g for a new item; g, but no more than the initial gap,
        where the weight was lost.
        """
        weight = self.trusted_weight()
        guess_weight = tf.where(weight > 0.0, 0.0, 1.0 / (1.0 + self.sightings) ** 2)
        guess = tf.where(self.weight > 0.0, tf.minimum(self.gap, initial_gap), self.gap)
        sightings = weight + self.sightings + guess_weight
        return tf.minimum(
            1.0, sightings / (weight * self.gap + self.elapsed + guess_weight * guess)
        )

    def score(self) -> tf.Tensor:
        """How much a bucket deserves to stay: about its frequency, little if seen only once.

        Of the items seen once the oldest goes first, and any of them before an item that is
        known to come back: a stream of items never seen again can't flush the table.
        """
        return (self.weight + self.sightings + _FIRST_SIGHTING) / (self._span() + 1.0)

    def turnover(self) -> tf.Tensor:
        """Steps per sighting, the one that began it counted: the gap a successor might have."""
        return self._span() / (self.weight + self.sightings + 1.0)

    def seen(self, initial_gap: float, heaviest: float) -> tuple["Bucket", tf.Tensor]:
        """The bucket after one more sighting, and whether that filled its block.

        A full block joins the gap before it, with the trusted weight; the sum is cut at
        `heaviest`, so that a sighting always counts at least 1 / heaviest. The next block starts.
        """
        now = self._replace(sightings=self.sightings + 1.0)
        trusted = now.trusted_weight()
        full = now.sightings >= BLOCK
        lost = tf.logical_and(self.weight > 0.0, trusted <= 0.0)
        merged = trusted + now.sightings
        guess = tf.where(lost, tf.minimum(self.gap, initial_gap), self.gap)
        return Bucket(
            sightings=tf.where(full, 0.0, now.sightings),
            weight=tf.where(full, tf.minimum(merged, heaviest), tf.where(lost, 0.0, self.weight)),
            gap=tf.where(full, (trusted * self.gap + self.elapsed) / merged, guess),
            elapsed=tf.where(full, 0.0, self.elapsed),
        ), full

    def _span(self) -> tf.Tensor:
        return self.weight * self.gap + self.elapsed


def pack(tags: tf.Tensor, buckets: Bucket, heaviest: float) -> tf.Tensor:
    """Packs tags (int32, 1 to TAGS) and buckets, all but the elapsed steps, into int32 words.

    The weight is rounded to 63rds of `heaviest`, but not to 0; the gap to 0.5 %, between 1 step
    and 2^31.
    """
    weight = tf.cast(tf.round(buckets.weight * (_TOP_WEIGHT_CODE / heaviest)), tf.int32)
    weight = tf.maximum(weight, tf.cast(buckets.weight > 0.0, tf.int32))
    gap = tf.round(tf.math.log(tf.maximum(buckets.gap, 1.0)) * _CODES_PER_E_FOLD)
    word = tf.bitwise.left_shift(tags, _TAG_SHIFT)
    word += tf.bitwise.left_shift(tf.cast(buckets.sightings, tf.int32), _SIGHTING_SHIFT)
    word += tf.bitwise.left_shift(weight, _WEIGHT_SHIFT)
    return word + tf.minimum(tf.cast(gap, tf.int32), _TOP_GAP_CODE)


def unpack(words: tf.Tensor, elapsed: tf.Tensor, heaviest: float) -> Bucket:
    """The buckets of int32 words; `elapsed`, int32 of the same shape, is t - s."""
    gap = tf.cast(_field(words, 0, _GAP_BITS), tf.float32)
    weight = tf.cast(_field(words, _WEIGHT_SHIFT, _WEIGHT_BITS), tf.float32)
    return Bucket(
        sightings=tf.cast(_field(words, _SIGHTING_SHIFT, _SIGHTING_BITS), tf.float32),
        weight=weight * (heaviest / _TOP_WEIGHT_CODE),
        gap=tf.exp(gap / _CODES_PER_E_FOLD),
        elapsed=tf.cast(elapsed, tf.float32),
    )


def tags_of(words: tf.Tensor) -> tf.Tensor:
    """The tags in int32 words: int32, 0 for an empty bucket."""
    return _field(words, _TAG_SHIFT, _TAG_BITS)


def _field(words: tf.Tensor, shift: int, bits: int) -> tf.Tensor:
    # The shift copies the sign bit, which may be a tag's; the mask cuts the copies off.
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(words, shift), 2**bits - 1)
