"""The weights of a list of texts: a number for each of its values."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from twotower_tf.config.source import Files
from twotower_tf.examples.encoding.list_columns import Ranges, TextLists, float_bytes
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.value_types.lists import padded
from twotower_tf.examples.value_types.number import asked_number
from twotower_tf.examples.value_types.text_list import ListType
from twotower_tf.examples.values import list_value, number_value


@dataclasses.dataclass(frozen=True)
class Weights(ListType):
    """A list of numbers, as long as the list of another raw feature, which comes before it.

    Attributes:
        weighs: The name of that feature, a ``TextList``.
    """

    weighs: str = ""
    dtype = "float"

    def reader(self, column: str, files: Files):
        """See ``ValueType``."""
        convert = partial(number_value, column=column)
        return partial(
            list_value,
            column=column,
            convert=convert,
            separator=self.separator,
            missing=files.missing_in(of_text=False),
        )

    def read_column(self, columns, column: str, files: Files) -> pa.ListArray:
        """See ``ValueType``."""
        return columns.number_lists(column, self.separator, files.missing_in(of_text=False))

    @property
    def arrow_type(self) -> pa.DataType:
        """See ``ValueType``."""
        return pa.list_(pa.float64())

    def add(self, columns: FeatureColumns, key: str, values: pa.Array, lists: TextLists) -> None:
        """See ``ValueType``."""
        self.add_past(columns, key, Ranges.of(values), lists)

    def add_past(self, columns: FeatureColumns, key: str, past: Ranges, lists: TextLists) -> None:
        """Adds numbers of users' pasts as ``add`` does."""
        columns.add_float_lists(key, float_bytes(past.last(self.max_length)))

    def of_past(self, numbers: Sequence[float]) -> list[float]:
        """Returns the value that stands for a user's past, oldest first, as ``rows`` takes it."""
        return list(numbers)

    @property
    def fill(self) -> float:
        """See ``ValueType``."""
        return 0.0

    @property
    def expected(self) -> str:
        """See ``ValueType``."""
        return "a list of numbers"

    def asked(self, value: Any) -> list[float]:
        """See ``ValueType``."""
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is no list")
        return [asked_number(one) for one in value]

    def rows(self, values: Sequence[list[float] | None]) -> np.ndarray:
        """See ``ValueType``: float32 [B, L]."""
        return padded([value or [] for value in values], np.float32, self.fill)

    def as_parsed(self, value, name: str, others):
        """See ``ValueType``."""
        from twotower_tf.graph.ragged import as_long_as

        return as_long_as(others[self.weighs], value, name)
