"""Columns of lists as ranges of one array of values, and the values of a range as bytes."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.encoding.wire_format import BINARY, binary_of, list_elements, offsets_of

ListColumn = pa.ListArray | pa.LargeListArray | pa.ListViewArray | pa.LargeListViewArray
_FLOAT_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Lists as ranges of an array.

    Attributes:
        values: The values of all lists.
        starts: int64 [n], where each list starts in ``values``.
        ends: int64 [n], where it ends.
    """

    values: pa.Array
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, lists: ListColumn) -> "Ranges":
        """Returns the ranges of a column of lists; a null is an empty list.

        The ranges of a list view may overlap, as the histories of a user do: its values are kept
        as they are. Of a slice of other lists, only its own values are.
        """
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
        offsets = lists.offsets.to_numpy().astype(np.int64)
        if isinstance(lists, pa.ListViewArray | pa.LargeListViewArray):
            return cls(lists.values, offsets, offsets + lengths)
        first, last = int(offsets[0]), int(offsets[-1])
        starts = offsets[:-1] - first
        return cls(lists.values[first:last], starts, starts + lengths)

    def last(self, count: int | None) -> "Ranges":
        """Returns the lists cut to their last values, at most ``count`` (None: as they are)."""
        if count is None:
            return self
        starts = np.maximum(self.starts, self.ends - count)
        return dataclasses.replace(self, starts=starts)

    def last_values(self, default: str) -> pa.Array:
        """Returns the last text of each list, ``default`` of an empty one."""
        positions = pa.array(self.ends - 1, mask=self.ends == self.starts)
        found = self.values.take(positions)
        if pa.types.is_dictionary(found.type):
            found = found.dictionary_decode()
        return pc.fill_null(found, default)


def float_bytes(lists: Ranges) -> pa.LargeBinaryArray:
    """Returns each list of numbers as the bytes of its float32, little-endian."""
    numbers = lists.values.to_numpy(zero_copy_only=False).astype("<f4", copy=False)
    return _slices(lists.starts * _FLOAT_BYTES, lists.ends * _FLOAT_BYTES, pa.py_buffer(numbers))


def _slices(starts: np.ndarray, ends: np.ndarray, data: pa.Buffer) -> pa.LargeBinaryArray:
    """Returns the bytes between int64 starts and ends, [n], of data."""
    if len(starts) and np.array_equal(starts[1:], ends[:-1]):
        return binary_of(np.append(starts, ends[-1]), data)
    lengths = ends - starts
    letters = pa.Array.from_buffers(pa.uint8(), data.size, [None, data])
    views = pa.LargeListViewArray.from_arrays(pa.array(starts), pa.array(lengths), letters)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return binary_of(offsets, views.flatten().to_numpy())


class TextLists:
    """Encodes columns of lists of texts as bytes lists.

    What it made of an array it keeps until it meets another one: the chunks of a shard, whose
    histories are ranges of one array, or whose ids are one dictionary, encode that array once.
    """

    def __init__(self):
        self._dictionary = _Kept()
        self._values = _Kept()

    def encoded(self, lists: Ranges) -> pa.LargeBinaryArray:
        """Returns each list as its concatenated elements."""
        elements = self._values.get(lists.values, self._elements)
        offsets = offsets_of(elements)
        return _slices(
            offsets[lists.starts], offsets[lists.ends], elements.buffers()[2] or pa.py_buffer(b"")
        )

    def _elements(self, values: pa.Array) -> pa.LargeBinaryArray:
        if pa.types.is_dictionary(values.type):
            distinct = self._dictionary.get(values.dictionary, list_elements)
            return distinct.take(values.indices)
        return list_elements(values)


class _Kept:
    """What a function made of the last array given; asked for the same array, made once."""

    def __init__(self):
        self._of: pa.Array = pa.array([], BINARY)
        self._result: pa.LargeBinaryArray = self._of

    def get(self, array: pa.Array, make) -> pa.LargeBinaryArray:
        # The array is held on to, so that no other one can come to lie at its address.
        if _place(array) != _place(self._of):
            self._result = make(array)
            self._of = array
        return self._result


def _place(array: pa.Array) -> tuple:
    """Returns what tells an array from all others that exist at the same time."""
    addresses = tuple(buffer.address if buffer else 0 for buffer in array.buffers())
    dictionary = _place(array.dictionary) if pa.types.is_dictionary(array.type) else ()
    return (str(array.type), array.offset, len(array), addresses, dictionary)
