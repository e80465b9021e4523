"""Serialises columns as ``tf.train.Example``, all rows at once.

The format is that of protocol buffers for ``tensorflow/core/example/{example,feature}.proto``: an
example holds features, features are a map, each entry of a map holds a key and a feature, a
feature holds one of three kinds of list. Each of these is written as a tag, its length in bytes
(a varint) and its bytes. So an example is its values with a head before each feature, and a head
depends on nothing but the key and the length of what comes after: heads are made once for each
length that occurs, and what is left to do for every row is to join bytes, which Arrow does.

Binary arrays have 64-bit offsets: the columns of many rows may hold more than 2 GiB.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BINARY = pa.large_binary()
_NOTHING = pa.scalar(b"", BINARY)
# Tags of length-delimited fields: number << 3 | 2.
_FIELD_1, _FIELD_2, _FIELD_3 = b"\x0a", b"\x12", b"\x1a"
# The three kinds of tensorflow.Feature.
BYTES_LIST, FLOAT_LIST, INT64_LIST = _FIELD_1, _FIELD_2, _FIELD_3
_VARINT_BITS = 7


def byte_lengths(values: pa.Array) -> np.ndarray:
    """Returns the bytes of each value of a binary array, int64 [n]."""
    return pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)


def offsets_of(values: pa.LargeBinaryArray) -> np.ndarray:
    """Returns where each value starts in the data, and where the last one ends, int64 [n + 1]."""
    offsets = np.frombuffer(values.buffers()[1], np.int64)
    return offsets[values.offset : values.offset + len(values) + 1]


def binary_of(offsets: np.ndarray, data: np.ndarray | pa.Buffer) -> pa.LargeBinaryArray:
    """Returns the values that lie between offsets, int64 [n + 1], of data, without a copy."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(BINARY, len(offsets) - 1, buffers)


def fixed_width(rows: np.ndarray) -> pa.LargeBinaryArray:
    """Returns the rows of a uint8 array [n, width] as binary values."""
    count, width = rows.shape
    return binary_of(np.arange(count + 1, dtype=np.int64) * width, np.ascontiguousarray(rows))


def concatenated(*pieces: pa.Array | bytes) -> pa.LargeBinaryArray:
    """Concatenates binary values row by row; ``bytes`` stand for the same value in every row."""
    scalars = [pa.scalar(one, BINARY) if isinstance(one, bytes) else one for one in pieces]
    return pc.binary_join_element_wise(*scalars, _NOTHING)


def varints(values: np.ndarray) -> pa.LargeBinaryArray:
    """Encodes integers, 7 bits a byte, the lowest first, the top bit set in all but the last.

    Args:
        values: int64 [n]; negative ones as 64-bit two's complement, which takes 10 bytes.
    """
    rest = values.astype(np.int64, copy=False).view(np.uint64)
    largest = int(rest.max(initial=0))
    width = max(1, -(-largest.bit_length() // _VARINT_BITS))
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(_VARINT_BITS)
    groups = rest[:, None] >> shifts
    # The first byte is there even for 0; any other where something is left to write.
    written = groups != 0
    written[:, 0] = True
    digits = (groups & np.uint64(0x7F)).astype(np.uint8)
    digits[:, :-1] |= written[:, 1:].astype(np.uint8) << _VARINT_BITS
    return binary_of(_starts(written.sum(axis=1)), digits[written])


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


class _Heads:
    """What goes before values of some lengths: grows from the inside out.

    Args:
        lengths: int64 [n], the bytes of the values.
    """

    def __init__(self, lengths: np.ndarray):
        self._total = lengths
        self._pieces: list[pa.Array | bytes] = []

    def wrap(self, tag: bytes) -> "_Heads":
        """Puts a tag, and the length of all that comes after it, in front."""
        size = varints(self._total)
        self._pieces = [tag, size, *self._pieces]
        self._total = self._total + byte_lengths(size) + len(tag)
        return self

    def encoded(self) -> pa.LargeBinaryArray:
        return concatenated(*self._pieces)


def _by_length(lengths: np.ndarray, heads) -> pa.LargeBinaryArray:
    """Returns ``heads(length)`` of each length, made once for each that occurs."""
    distinct = pa.array(lengths).dictionary_encode()
    return heads(distinct.dictionary.to_numpy()).take(distinct.indices)


def list_elements(texts: pa.Array) -> pa.LargeBinaryArray:
    """Returns each text as an element of a bytes list: concatenated, they are the list."""
    texts = texts.cast(BINARY)
    tags = _by_length(byte_lengths(texts), lambda lengths: _Heads(lengths).wrap(_FIELD_1).encoded())
    return concatenated(tags, texts)


def _entry_tag(key: str) -> bytes:
    """Returns what a map's entry holds before its value's length: the key, the value's tag."""
    name = key.encode()
    size = varints(np.array([len(name)]))[0].as_py()
    return b"".join((_FIELD_1, size, name, _FIELD_2))


def _text_heads(key: str, lengths: np.ndarray) -> pa.LargeBinaryArray:
    def heads(lengths: np.ndarray) -> pa.LargeBinaryArray:
        element = _Heads(lengths).wrap(_FIELD_1)
        return element.wrap(BYTES_LIST).wrap(_entry_tag(key)).wrap(_FIELD_1).encoded()

    return _by_length(lengths, heads)


def _list_heads(key: str, kind: bytes, lengths: np.ndarray) -> pa.LargeBinaryArray:
    def heads(lengths: np.ndarray) -> pa.LargeBinaryArray:
        return _Heads(lengths).wrap(kind).wrap(_entry_tag(key)).wrap(_FIELD_1).encoded()

    return _by_length(lengths, heads)


def _packed_heads(key: str, kind: bytes, lengths: np.ndarray) -> pa.LargeBinaryArray:
    """Heads of lists of numbers, which have a length of their own, but not where they are empty."""

    def heads(lengths: np.ndarray) -> pa.LargeBinaryArray:
        empty = _Heads(np.zeros_like(lengths))
        packed = _Heads(lengths).wrap(_FIELD_1)
        whole = [
            one.wrap(kind).wrap(_entry_tag(key)).wrap(_FIELD_1).encoded() for one in (empty, packed)
        ]
        return pc.if_else(pa.array(lengths == 0), *whole)

    return _by_length(lengths, heads)


class FeatureColumns:
    """The features of n rows: columns are added one by one, and concatenated row by row in the end.

    Numbers that every row has one of stand together at the end, where their heads never change;
    otherwise features stand in the order in which they were added.
    """

    def __init__(self, rows: int):
        self._rows = rows
        self._pieces: list[pa.Array] = []
        self._numbers: list[tuple[bytes, np.ndarray]] = []

    def add_encoded(self, features: pa.LargeBinaryArray) -> None:
        """Adds features that were encoded before, by ``features``."""
        self._pieces.append(features)

    def add_texts(self, key: str, texts: pa.Array) -> None:
        """Adds a feature with one text a row."""
        texts = texts.cast(BINARY)
        self._pieces += [_text_heads(key, byte_lengths(texts)), texts]

    def add_text_lists(self, key: str, lists: pa.LargeBinaryArray) -> None:
        """Adds a list of texts a row, each list its ``list_elements``, concatenated."""
        self._pieces += [_list_heads(key, BYTES_LIST, byte_lengths(lists)), lists]

    def add_floats(self, key: str, numbers: np.ndarray) -> None:
        """Adds a feature with one number a row, [n], stored as float32."""
        head = _packed_heads(key, FLOAT_LIST, np.array([4]))[0].as_py()
        self._numbers.append((head, numbers.astype("<f4")))

    def add_float_lists(self, key: str, lists: pa.LargeBinaryArray) -> None:
        """Adds a feature with a list of numbers a row, each list the bytes of its float32."""
        self._pieces += [_packed_heads(key, FLOAT_LIST, byte_lengths(lists)), lists]

    def add_integers(self, key: str, numbers: np.ndarray) -> None:
        """Adds a feature with one int64 a row, [n]."""
        encoded = varints(numbers)
        self._pieces += [_packed_heads(key, INT64_LIST, byte_lengths(encoded)), encoded]

    def features(self) -> pa.LargeBinaryArray:
        """Returns each row's features: put one after the other, several are still features."""
        return concatenated(*self._all())

    def examples(self) -> pa.LargeBinaryArray:
        """Returns each row's features as a serialised ``tf.train.Example``."""
        pieces = self._all()
        total = sum(map(byte_lengths, pieces), np.zeros(self._rows, np.int64))
        return concatenated(_FIELD_1, varints(total), *pieces)

    def _all(self) -> list[pa.Array]:
        if not self._numbers:
            # So that there is something to join.
            return self._pieces or [fixed_width(np.empty((self._rows, 0), np.uint8))]
        blocks = []
        for head, numbers in self._numbers:
            block = np.empty((self._rows, len(head) + 4), np.uint8)
            block[:, : len(head)] = np.frombuffer(head, np.uint8)
            block[:, len(head) :] = numbers.view(np.uint8).reshape(self._rows, 4)
            blocks.append(block)
        return [*self._pieces, fixed_width(np.concatenate(blocks, axis=1))]
