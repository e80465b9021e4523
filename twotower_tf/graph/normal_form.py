"""Unicode's normal form NFC inside the graph, which TensorFlow has no operation for.

Source: Unicode Standard Annex #15, and section 3.11 of the standard for the algorithm: characters
are taken apart, marks put in order, and starters composed with the marks behind them. The tables
are Python's (``unicodedata``), so that it gives what ``unicodedata.normalize`` does.
"""

import functools
import sys
import unicodedata

import numpy as np
import tensorflow as tf

# Hangul syllables are taken apart and composed by arithmetic (section 3.12 of the standard).
_SYLLABLE, _LEADING, _VOWEL, _TRAILING = 0xAC00, 0x1100, 0x1161, 0x11A7
_LEADINGS, _VOWELS, _TRAILINGS = 19, 21, 28
# A code point has 21 bits.
_FIRST = 1 << 21


def nfc(texts: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
    """Returns texts in NFC.

    Args:
        texts: String, of any shape.
    """
    if isinstance(texts, tf.RaggedTensor):
        return texts.with_flat_values(nfc(texts.flat_values))
    flat = tf.reshape(texts, [-1])
    # Nearly all text is in NFC already, which one look at its characters tells.
    doubtful = tf.where(tf.strings.regex_full_match(flat, _doubtful_pattern()))
    composed = tf.cond(
        tf.size(doubtful) > 0,
        lambda: tf.tensor_scatter_nd_update(flat, doubtful, _nfc(tf.gather_nd(flat, doubtful))),
        lambda: flat,
    )
    return tf.reshape(composed, tf.shape(texts))


def _nfc(texts: tf.Tensor) -> tf.Tensor:
    codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
    rows, flat = tf.cast(codes.value_rowids(), tf.int64), tf.cast(codes.values, tf.int64)
    rows, flat = _in_order(*_taken_apart(rows, flat))
    tried = tf.zeros_like(flat, tf.bool)
    _, flat, rows, *_ = tf.while_loop(
        lambda going_on, *_: going_on,
        _compose_once,
        (tf.constant(True), flat, rows, tried),
        shape_invariants=(
            tf.TensorShape([]),
            *[tf.TensorShape([None])] * 3,
        ),
    )
    whole = tf.RaggedTensor.from_value_rowids(
        tf.cast(flat, tf.int32), rows, nrows=tf.size(texts, tf.int64)
    )
    return tf.strings.unicode_encode(whole, "UTF-8")


def _taken_apart(rows: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the canonical decomposition, and the row of each character."""
    tables = _tables()
    place = tf.minimum(tf.searchsorted(tables.whole, codes), len(tables.whole) - 1)
    is_whole = tf.gather(tables.whole, place) == codes
    parts = tf.where(
        is_whole[:, tf.newaxis],
        tf.gather(tables.parts, place),
        tf.pad(codes[:, tf.newaxis], [[0, 0], [0, tables.parts.shape[1] - 1]], constant_values=-1),
    )
    parts = tf.where(_is_syllable(codes)[:, tf.newaxis], _jamo(codes, parts.shape[1]), parts)
    kept = parts >= 0
    return tf.boolean_mask(tf.broadcast_to(rows[:, tf.newaxis], tf.shape(parts)), kept), (
        tf.boolean_mask(parts, kept)
    )


def _is_syllable(codes: tf.Tensor) -> tf.Tensor:
    return (codes >= _SYLLABLE) & (codes < _SYLLABLE + _LEADINGS * _VOWELS * _TRAILINGS)


def _jamo(codes: tf.Tensor, width: int) -> tf.Tensor:
    """Returns the letters of Hangul syllables, [n, width], -1 where there is none."""
    place = codes - _SYLLABLE
    trailing = place % _TRAILINGS
    letters = [
        _LEADING + place // (_VOWELS * _TRAILINGS),
        _VOWEL + place // _TRAILINGS % _VOWELS,
        tf.where(trailing > 0, _TRAILING + trailing, -1),
    ]
    return tf.stack(
        letters + [tf.fill(tf.shape(codes), tf.constant(-1, tf.int64))] * (width - 3), 1
    )


def _in_order(rows: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sorts the marks behind each starter by their class, equal ones as they stand."""
    classes = _classes(codes)
    order = tf.argsort(_runs(rows, classes) * 256 + classes, stable=True)
    return rows, tf.gather(codes, order)


def _classes(codes: tf.Tensor) -> tf.Tensor:
    """Returns the canonical combining class of each character: 0: it is a starter."""
    tables = _tables()
    place = tf.minimum(tf.searchsorted(tables.marks, codes), len(tables.marks) - 1)
    found = tf.gather(tables.classes, place)
    return tf.where(tf.gather(tables.marks, place) == codes, found, 0)


def _runs(rows: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Numbers the runs: a starter, or a row's first character, and the marks behind it."""
    begins = tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], 0)
    return tf.cumsum(tf.cast(begins | (classes == 0), tf.int64)) - 1


def _compose_once(
    _: tf.Tensor, codes: tf.Tensor, rows: tf.Tensor, tried: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Composes every starter with the first character behind it that it can be composed with.

    No character that is composed with the one before it as a starter begins a composition itself,
    so that all can be composed at once.
    """
    size = tf.size(codes, tf.int64)
    here = tf.range(size)
    classes = _classes(codes)
    runs = _runs(rows, classes)
    first = tf.math.unsorted_segment_min(here, runs, size)
    own = tf.gather(first, runs)
    # Of a starter it is the one before, if nothing stands between.
    starter = tf.where(classes == 0, here - 1, own)
    starter_at = tf.maximum(starter, 0)
    before = tf.maximum(here - 1, 0)
    there = (starter >= 0) & (tf.gather(rows, starter_at) == rows)
    there &= tf.gather(classes, starter_at) == 0
    blocked = (classes > 0) & (before != own) & (tf.gather(classes, before) >= classes)
    composed = _composed(tf.gather(codes, starter_at), codes)
    can_be = there & ~blocked & ~tried & (composed >= 0)
    chosen = tf.math.unsorted_segment_min(tf.where(can_be, here, size), starter_at, size)
    has_chosen = chosen < size
    is_chosen = can_be & (tf.gather(chosen, starter_at) == here)
    codes = tf.where(has_chosen, tf.gather(composed, tf.minimum(chosen, size - 1)), codes)
    # What stands before it was tried, and failed: it is not tried with what was composed.
    tried |= tf.gather(has_chosen, starter_at) & (here < tf.gather(chosen, starter_at))
    kept = ~is_chosen
    return (
        tf.reduce_any(is_chosen),
        tf.boolean_mask(codes, kept),
        tf.boolean_mask(rows, kept),
        tf.boolean_mask(tried, kept),
    )


def _composed(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns what two characters compose to, -1: nothing."""
    tables = _tables()
    pairs = first * _FIRST + second
    place = tf.minimum(tf.searchsorted(tables.pairs, pairs), len(tables.pairs) - 1)
    found = tf.where(tf.gather(tables.pairs, place) == pairs, tf.gather(tables.composed, place), -1)
    leading, vowel, trailing = first - _LEADING, second - _VOWEL, second - _TRAILING
    is_two = (leading >= 0) & (leading < _LEADINGS) & (vowel >= 0) & (vowel < _VOWELS)
    two = _SYLLABLE + (leading * _VOWELS + vowel) * _TRAILINGS
    is_three = _is_syllable(first) & ((first - _SYLLABLE) % _TRAILINGS == 0)
    is_three &= (trailing > 0) & (trailing < _TRAILINGS)
    return tf.where(is_two, two, tf.where(is_three, first + trailing, found))


class _Tables:
    """What ``unicodedata`` knows, as arrays.

    Attributes:
        whole: int64 [n] ascending, the characters that are taken apart; no Hangul.
        parts: int64 [n, longest], into which, -1 behind the last.
        marks: int64 [m] ascending, the characters that are no starters.
        classes: int64 [m], their combining classes.
        pairs: int64 [p] ascending, two characters that compose: the first ``* _FIRST`` + the
            second.
        composed: int64 [p], what to.
    """

    def __init__(self):
        characters = [chr(code) for code in range(sys.maxunicode + 1)]
        apart, classes, pairs = {}, {}, {}
        for code, character in enumerate(characters):
            if unicodedata.combining(character):
                classes[code] = unicodedata.combining(character)
            decomposition = unicodedata.decomposition(character)
            if decomposition and not decomposition.startswith("<"):
                apart[code] = [ord(part) for part in unicodedata.normalize("NFD", character)]
                halves = [int(half, 16) for half in decomposition.split()]
                # What is excluded from composition does not come back.
                if len(halves) == 2 and unicodedata.normalize("NFC", character) == character:
                    pairs[halves[0] * _FIRST + halves[1]] = code
        longest = max(map(len, apart.values()))
        self.whole = np.array(sorted(apart), np.int64)
        self.parts = np.array(
            [apart[code] + [-1] * (longest - len(apart[code])) for code in sorted(apart)], np.int64
        )
        self.marks = np.array(sorted(classes), np.int64)
        self.classes = np.array([classes[code] for code in sorted(classes)], np.int64)
        self.pairs = np.array(sorted(pairs), np.int64)
        self.composed = np.array([pairs[pair] for pair in sorted(pairs)], np.int64)

    def doubtful(self) -> set[int]:
        """Returns the characters without which text is surely in NFC."""
        seconds = {int(pair) % _FIRST for pair in self.pairs}
        jamo = {*range(_VOWEL, _VOWEL + _VOWELS), *range(_TRAILING + 1, _TRAILING + _TRAILINGS)}
        changed = {
            code
            for code in self.whole.tolist()
            if unicodedata.normalize("NFC", chr(code)) != chr(code)
        }
        return {*self.marks.tolist(), *seconds, *jamo, *changed}


@functools.cache
def _tables() -> _Tables:
    return _Tables()


@functools.cache
def _doubtful_pattern() -> str:
    codes = np.array(sorted(_tables().doubtful()))
    starts = codes[np.concatenate([[True], np.diff(codes) > 1])]
    ends = codes[np.concatenate([np.diff(codes) > 1, [True]])]
    ranges = (f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in zip(starts, ends, strict=True))
    return f"(?s).*[{''.join(ranges)}].*"
