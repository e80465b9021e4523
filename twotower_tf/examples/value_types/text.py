"""One text: an id, a category, a title."""

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
from twotower_tf.examples.value_types.lists import column_values
from twotower_tf.examples.value_types.value_type import TextType
from twotower_tf.examples.values import optional_value, text_value


@dataclasses.dataclass(frozen=True)
class Text(TextType):
    """One text.

    Attributes:
        default: Where the column is missing or empty.
    """

    default: str = ""

    def reader(self, column: str, files: Files):
        """See ``ValueType``."""
        return partial(
            optional_value,
            convert=self.conversion(column),
            default=self.default,
            missing=self.missing(files),
        )

    def read_column(self, columns, column: str, files: Files) -> pa.Array:
        """See ``ValueType``."""
        found = columns.texts(column, self.form, self.missing(files))
        return pc.fill_null(found, self.default)

    @property
    def arrow_type(self) -> pa.DataType:
        """See ``ValueType``."""
        return pa.string()

    def add(self, columns: FeatureColumns, key: str, values: pa.Array, lists: TextLists) -> None:
        """See ``ValueType``."""
        columns.add_texts(key, pc.fill_null(values, self.default))

    def of_catalogue(self, column: pa.ChunkedArray) -> np.ndarray:
        """See ``ValueType``: [N] objects (str)."""
        return column_values(column)

    def each(self, texts: pa.Array) -> pa.Array:
        """See ``TextType``."""
        return texts

    def of_past(self, texts: Sequence[str]) -> str:
        """See ``TextType``: the last one."""
        return texts[-1] if texts else self.default

    def add_past(self, columns: FeatureColumns, key: str, past: Ranges, lists: TextLists) -> None:
        """See ``TextType``."""
        columns.add_texts(key, past.last_values(self.default))

    @property
    def parsing_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.io.FixedLenFeature([], tf.string, default_value=self.default)

    @property
    def tensor_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.TensorSpec([None], tf.string)

    @property
    def blank(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.constant([self.default])

    @property
    def fill(self) -> str:
        """See ``ValueType``."""
        return self.default

    @property
    def expected(self) -> str:
        """See ``ValueType``."""
        return "a text in quotes or a whole number"

    def asked(self, value: Any) -> str:
        """See ``ValueType``: a text, or a whole number, which data files may have too."""
        return self.conversion("")(asked_text(value))

    def rows(self, values: Sequence[str | None]) -> np.ndarray:
        """See ``ValueType``: [B] objects (str)."""
        return np.array([self.default if value is None else value for value in values], object)

    def as_parsed(self, value, name: str, others):
        """See ``ValueType``."""
        return self.normalised(value)


def asked_text(value: Any) -> str:
    """Returns a text of JSON, or a whole number as text; raises ValueError for anything else."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no text")
    return text_value(value, "")
