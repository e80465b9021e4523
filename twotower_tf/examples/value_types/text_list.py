"""A list of texts: a history, a set of ids, past searches."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config.source import Files
from twotower_tf.examples.encoding.list_columns import Ranges, TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.value_types.lists import Lists, last_of_each, padded
from twotower_tf.examples.value_types.text import asked_text
from twotower_tf.examples.value_types.value_type import TextType, ValueType
from twotower_tf.examples.values import list_value


@dataclasses.dataclass(frozen=True)
class ListType(ValueType):
    """A list of values of any length, 0 included; one that is missing is empty.

    Attributes:
        separator: What separates the values of a list that is given as text, if it is.
        max_length: At most so many values are kept, the last ones; None: all.
    """

    separator: str | None = None
    max_length: int | None = None
    is_list = True

    def cut(self, value: list) -> list:
        """See ``ValueType``."""
        return value if self.max_length is None else value[-self.max_length :]

    def cut_column(self, column: pa.ListArray) -> pa.ListArray:
        """See ``ValueType``."""
        return last_of_each(column, self.max_length)

    def of_catalogue(self, column: pa.ChunkedArray) -> Lists:
        """See ``ValueType``."""
        return Lists.of(column)

    @property
    def parsing_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.io.RaggedFeature(self.tensor_type, row_splits_dtype=tf.int64)

    @property
    def tensor_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.RaggedTensorSpec([None, None], self.tensor_type, ragged_rank=1)

    @property
    def blank(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.zeros([1, 0], self.tensor_type)

    def cut_tensor(self, value):
        """See ``ValueType``."""
        return value if self.max_length is None else value[:, -self.max_length :]


@dataclasses.dataclass(frozen=True)
class TextList(ListType, TextType):
    """A list of texts. Requests pad it with ``""``, so it holds none."""

    def reader(self, column: str, files: Files):
        """See ``ValueType``."""
        return partial(
            list_value,
            column=column,
            convert=self.conversion(column),
            separator=self.separator,
            missing=self.missing(files),
        )

    def read_column(self, columns, column: str, files: Files) -> pa.ListArray:
        """See ``ValueType``."""
        return columns.text_lists(column, self.form, self.separator, self.missing(files))

    @property
    def arrow_type(self) -> pa.DataType:
        """See ``ValueType``."""
        return pa.list_(pa.string())

    def add(self, columns: FeatureColumns, key: str, values: pa.Array, lists: TextLists) -> None:
        """See ``ValueType``."""
        self.add_past(columns, key, Ranges.of(values), lists)

    def each(self, texts: pa.Array) -> pa.ListArray:
        """See ``TextType``."""
        is_given = pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(is_given, dtype=np.int32)])
        return pa.ListArray.from_arrays(offsets, texts.filter(pa.array(is_given)))

    def of_past(self, texts: Sequence[str]) -> list[str]:
        """See ``TextType``: all of them."""
        return list(texts)

    def add_past(self, columns: FeatureColumns, key: str, past: Ranges, lists: TextLists) -> None:
        """See ``TextType``."""
        columns.add_text_lists(key, lists.encoded(past.last(self.max_length)))

    @property
    def fill(self) -> str:
        """See ``ValueType``."""
        return ""

    @property
    def expected(self) -> str:
        """See ``ValueType``."""
        return "a list of texts or whole numbers"

    def asked(self, value: Any) -> list[str]:
        """See ``ValueType``."""
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is no list")
        convert = self.conversion("")
        return [convert(asked_text(one)) for one in value]

    def rows(self, values: Sequence[list[str] | None]) -> np.ndarray:
        """See ``ValueType``: [B, L] objects (str)."""
        return padded([value or [] for value in values], object, self.fill)

    def as_parsed(self, value, name: str, others):
        """See ``ValueType``."""
        from twotower_tf.graph.ragged import as_ragged

        return self.normalised(as_ragged(value))
