"""One number."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config.source import Files
from twotower_tf.examples.encoding.list_columns import TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.value_types.lists import column_values
from twotower_tf.examples.value_types.value_type import ValueType
from twotower_tf.examples.values import number_value, optional_value


@dataclasses.dataclass(frozen=True)
class Number(ValueType):
    """One number, stored with its default in place of what is missing.

    Attributes:
        default: Where the column is missing or empty.
    """

    default: float = 0.0
    dtype = "float"
    can_be_empty = False

    def reader(self, column: str, files: Files):
        """See ``ValueType``."""
        convert = partial(number_value, column=column)
        missing = files.missing_in(of_text=False)
        return partial(optional_value, convert=convert, default=self.default, missing=missing)

    def read_column(self, columns, column: str, files: Files) -> pa.Array:
        """See ``ValueType``."""
        missing = files.missing_in(of_text=False)
        return pc.fill_null(columns.numbers(column, missing), self.default)

    @property
    def arrow_type(self) -> pa.DataType:
        """See ``ValueType``."""
        return pa.float64()

    def add(self, columns: FeatureColumns, key: str, values: pa.Array, lists: TextLists) -> None:
        """See ``ValueType``."""
        columns.add_floats(key, pc.fill_null(values, self.default).to_numpy())

    def of_catalogue(self, column: pa.ChunkedArray) -> np.ndarray:
        """See ``ValueType``: float32 [N]."""
        return column_values(column)

    @property
    def parsing_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.io.FixedLenFeature([], tf.float32, default_value=self.default)

    @property
    def tensor_spec(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.TensorSpec([None], tf.float32)

    @property
    def blank(self):
        """See ``ValueType``."""
        import tensorflow as tf

        return tf.constant([self.default])

    @property
    def fill(self) -> float:
        """See ``ValueType``."""
        return self.default

    @property
    def expected(self) -> str:
        """See ``ValueType``."""
        return "a number"

    def asked(self, value: Any) -> float:
        """See ``ValueType``."""
        return asked_number(value)

    def rows(self, values: Sequence[float | None]) -> np.ndarray:
        """See ``ValueType``: float32 [B]."""
        return np.array([self.default if value is None else value for value in values], np.float32)


def asked_number(value: Any) -> float:
    """Returns a number of JSON that fits float32; raises ValueError for anything else."""
    if isinstance(value, bool | str):
        raise ValueError(f"{value!r} is no number")
    return number_value(value, "")
