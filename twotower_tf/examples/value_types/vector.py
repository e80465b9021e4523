"""A vector: a list of numbers of a fixed length, such as a pretrained embedding."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config.source import Files
from twotower_tf.examples.encoding.list_columns import TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns, fixed_width
from twotower_tf.examples.value_types.number import asked_number
from twotower_tf.examples.value_types.value_type import ValueType
from twotower_tf.examples.values import LARGEST, RejectedRecord, list_value, number_value


@dataclasses.dataclass(frozen=True)
class Vector(ValueType):
    """``length`` numbers. One that is missing is stored as an empty list, and zeros otherwise.

    Attributes:
        length: How many numbers there are.
        separator: What separates them where they are given as text, if they are.
    """

    length: int = 1
    separator: str | None = None
    dtype = "float"
    is_list = True

    def reader(self, column: str, files: Files):
        """See ``ValueType``."""
        return partial(self._read, column, files.missing_in(of_text=False))

    def _read(self, column: str, missing: frozenset[str], value: Any) -> list[float]:
        """Returns as many numbers as there must be, rounded to float32; none where it is missing.

        Raises:
            RejectedRecord: For another number of them, or one that is not finite.
        """
        if isinstance(value, list) and set(map(type, value)) == {float}:
            # All there is in nearly all records, and much faster at once.
            found = np.array(value)
            if len(found) == self.length and (np.abs(found) <= LARGEST).all():
                return found.astype(np.float32).tolist()
        convert = partial(number_value, column=column)
        numbers = list_value(value, column, convert, self.separator, missing)
        if len(numbers) not in (0, self.length):
            raise RejectedRecord(
                f"column '{column}' has {len(numbers)} numbers; there must be {self.length}"
            )
        return np.array(numbers, np.float32).tolist()

    def read_column(self, columns, column: str, files: Files) -> pa.ListArray:
        """See ``ValueType``."""
        missing = files.missing_in(of_text=False)
        lists = columns.number_lists(column, self.separator, missing)
        lengths = pc.list_value_length(lists).to_numpy()
        columns.odd |= (lengths != 0) & (lengths != self.length)
        return lists.cast(self.arrow_type)

    @property
    def arrow_type(self) -> pa.DataType:
        """See ``ValueType``."""
        return pa.list_(pa.float32())

    def add(self, columns: FeatureColumns, key: str, values: pa.Array, lists: TextLists) -> None:
        """See ``ValueType``."""
        rows = self._filled(values)
        columns.add_float_lists(key, fixed_width(rows.view(np.uint8).reshape(len(rows), -1)))

    def of_catalogue(self, column: pa.ChunkedArray) -> np.ndarray:
        """See ``ValueType``: float32 [N, length]."""
        return self._filled(column.combine_chunks())

    def _filled(self, values: pa.Array) -> np.ndarray:
        """Returns float32 [n, length], zeros where a vector is missing."""
        rows = np.zeros((len(values), self.length), "<f4")
        given = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False) > 0
        rows[given] = values.flatten().to_numpy().reshape(-1, self.length)
        return rows

    @property
    def parsing_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        zeros = [0.0] * self.length
        return tf.io.FixedLenFeature([self.length], tf.float32, default_value=zeros)

    @property
    def tensor_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.TensorSpec([None, self.length], tf.float32)

    @property
    def blank(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.zeros([1, self.length])

    @property
    def fill(self) -> float:
        """See ``ValueType``."""
        return 0.0

    @property
    def expected(self) -> str:
        """See ``ValueType``."""
        return f"a list of {self.length} numbers, or an empty one"

    def asked(self, value: Any) -> list[float]:
        """See ``ValueType``."""
        if not isinstance(value, list) or len(value) not in (0, self.length):
            raise ValueError(f"{value!r} is no list of {self.length} numbers")
        return [asked_number(one) for one in value]

    def rows(self, values: Sequence[list[float] | None]) -> np.ndarray:
        """See ``ValueType``: float32 [B, length]."""
        return np.array([value or [0.0] * self.length for value in values], np.float32)

    def as_parsed(self, value, name: str, others):
        """See ``ValueType``: [B, length]; rows without a number are zeros."""
        import tensorflow as tf

        from twotower_tf.graph.ragged import demand

        width = tf.shape(value)[1]
        fits = (width == self.length) | (width == 0)
        message = f"{name} must have {self.length} numbers a row, or none; it has"
        with tf.control_dependencies([demand(fits, message, width)]):
            padded = tf.pad(value, [[0, 0], [0, self.length - width]])
        return tf.ensure_shape(padded, [None, self.length])
