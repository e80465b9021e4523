"""What every type of a raw feature's value says of itself."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from twotower_tf.config.source import Files
from twotower_tf.examples.encoding.list_columns import TextLists
from twotower_tf.examples.encoding.wire_format import FeatureColumns
from twotower_tf.examples.value_types import ID, NFC_ID, PROSE, TEXT
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.examples.values import id_text, prose_value, text_value

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ValueType(ABC):
    """The type of a raw feature's value: all that is known of it but its name and its column.

    A value is found in a record of the source (``reader``, or ``read_column`` of many at once),
    and *stored* as such, in catalogues and profiles; in an example it is what the stored value is
    at the example's time (``at``): the same, but of ages. A tensor of it is what examples are
    parsed to (``parsing_spec``), which is what the model is trained on and asked with.

    TensorFlow is loaded by the methods that need it: a build does not.

    Attributes:
        dtype: What it is made of in ``tf.train.Example``: ``bytes`` or ``float``.
        is_list: Whether requests give a list of values, and not just one.
        holds_text: Whether it holds text, one or many: then ids fit it, and the past.
        depends_on_time: Whether an example's value is another one than what is stored.
        can_be_empty: Whether the catalogue tells where it was missing.
        weighs: The name of the raw feature for each of whose values this has a weight, or a
            label, if any.
    """

    dtype: ClassVar[Literal["bytes", "float"]]
    is_list: ClassVar[bool] = False
    holds_text: ClassVar[bool] = False
    depends_on_time: ClassVar[bool] = False
    can_be_empty: ClassVar[bool] = True
    weighs: ClassVar[str | None] = None

    # --- records ------------------------------------------------------------------------------

    def source_column(self, column: str) -> str:
        """Returns the column of the source that is read for a feature of ``column``."""
        return column

    @abstractmethod
    def reader(self, column: str, files: Files) -> Callable[[Any], Any]:
        """Returns the function from a record's value, None where it is missing, to what is stored.

        It raises ``RejectedRecord``, with the reason, for a value that is wrong.

        Args:
            column: The feature's, for the reasons.
            files: Say what times mean.
        """

    @abstractmethod
    def read_column(self, columns, column: str, files: Files) -> pa.Array:
        """Reads a column of a batch of records, as ``reader`` reads one value.

        Args:
            columns: A ``reading.log_columns.UsualColumns``; its ``odd`` is told which rows
                ``reader`` is to read.
            column: The feature's.
            files: As of ``reader``.

        Returns:
            Of ``stored_type``, [n], nothing null but what may be stored as null.
        """

    def cut(self, value: Any) -> Any:
        """Returns what is kept of a value that ``reader`` made."""
        return value

    def cut_column(self, column: pa.Array) -> pa.Array:
        """Does what ``cut`` does to a column that ``read_column`` made."""
        return column

    # --- tables -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """The type of a column of values at their time."""

    @property
    def stored_type(self) -> pa.DataType:
        """The type of a column of stored values."""
        return self.arrow_type

    def at(self, stored: pa.Array, timestamps: np.ndarray) -> pa.Array:
        """Returns what stored values are at some times (int64 [n], Unix seconds)."""
        return stored

    @abstractmethod
    def add(self, columns: FeatureColumns, key: str, values: pa.Array, lists: TextLists) -> None:
        """Adds a column to the features of examples.

        Args:
            columns: What to add to.
            key: The feature's key in an example.
            values: Of ``arrow_type``; null stands for the default, or for an empty list.
            lists: Encodes lists of texts.
        """

    @abstractmethod
    def of_catalogue(self, column: pa.ChunkedArray) -> np.ndarray | Lists:
        """Returns stored values as the model takes them, [N]; not of what depends on time."""

    # --- tensors ------------------------------------------------------------------------------

    @property
    def tensor_type(self) -> tf.DType:
        """The type of a tensor of it."""
        import tensorflow as tf

        return tf.string if self.dtype == "bytes" else tf.float32

    @property
    @abstractmethod
    def parsing_spec(self) -> Any:
        """What ``tf.io.parse_example`` needs to know."""

    @property
    @abstractmethod
    def tensor_spec(self) -> tf.TypeSpec:
        """The type and shape of a batch as parsing makes it."""

    @property
    @abstractmethod
    def blank(self) -> tf.Tensor:
        """A batch of one row that says nothing: the default, or an empty list."""

    # --- requests -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def fill(self) -> str | float:
        """What rows of a request are filled with that lacks the feature; what pads lists."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """Words what a query may give, for messages."""

    @abstractmethod
    def asked(self, value: Any) -> Any:
        """Returns a query's value, from JSON, as ``rows`` takes it; ValueError if it is wrong."""

    @abstractmethod
    def rows(self, values: Sequence[Any]) -> np.ndarray:
        """Returns the input of a request: [B] or [B, L].

        Args:
            values: B of what ``asked`` returns; None: left out.
        """

    def as_parsed(
        self, value: tf.Tensor | tf.RaggedTensor, name: str, others: Mapping[str, tf.RaggedTensor]
    ) -> tf.Tensor | tf.RaggedTensor:
        """Makes of a request's tensor, or of a parsed one, what parsing makes.

        Args:
            value: [B] or [B, L].
            name: The feature's.
            others: What this made of the features before it, by name.

        Raises:
            InvalidArgumentError: When run, if the value does not fit.
        """
        return value

    def cut_tensor(self, value: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Does what ``cut`` does to a tensor that ``as_parsed`` made."""
        return value


_CONVERSIONS: Mapping[str, Callable[[Any, str], str]] = {
    TEXT: text_value,
    ID: partial(id_text, nfc=False),
    NFC_ID: partial(id_text, nfc=True),
    PROSE: prose_value,
}


@dataclasses.dataclass(frozen=True)
class TextType(ValueType):
    """A type that holds text: ids fit it, one by one, and what the build fills in.

    Attributes:
        form: ``TEXT``, ``ID``, ``NFC_ID`` or ``PROSE``: what its texts are.
    """

    form: str = dataclasses.field(default=TEXT, kw_only=True)
    dtype = "bytes"
    holds_text = True

    def conversion(self, column: str) -> Callable[[Any], str]:
        """Returns the function from a record's single value, which is there, to text."""
        return partial(_CONVERSIONS[self.form], column=column)

    def missing(self, files: Files) -> frozenset[str]:
        """Returns the texts that stand for a missing value."""
        return files.missing_in(of_text=self.form in (TEXT, PROSE))

    def normalised(self, texts: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Returns a request's texts as the build would write them."""
        if self.form != NFC_ID:
            return texts
        from twotower_tf.graph.normal_form import nfc

        return nfc(texts)

    @abstractmethod
    def each(self, texts: pa.Array) -> pa.Array:
        """Returns values that hold one text each, none where it is ``""``, of ``arrow_type``."""

    @abstractmethod
    def of_past(self, texts: Sequence[str]) -> Any:
        """Returns the value that stands for a user's past, oldest first, as ``rows`` takes it."""

    @abstractmethod
    def add_past(self, columns: FeatureColumns, key: str, past, lists: TextLists) -> None:
        """Adds a column of users' pasts (``Ranges`` of texts, oldest first) as ``add`` does."""
