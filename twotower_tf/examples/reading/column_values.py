"""Converts whole columns of raw records, as ``values`` converts single values.

These are fast paths for what is usual. Each gives the converted values and the odd rows, which it
leaves to the conversion of single values, which then converts them or says what is wrong: so
``values`` alone defines what is valid.
"""

import dataclasses
import unicodedata
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.value_types import ID, NFC_ID
from twotower_tf.examples.values import EXACT_INTEGERS, LARGEST, NOTHING, WHOLE_FLOAT, IdRules

_WHOLE_DECIMAL = r"^(?P<whole>-?[0-9]+)(?:\.0+)?$"


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted column.

    Attributes:
        values: [n]; null where the value is missing or ``""``.
        odd: bool [n], the rows that the conversion of single values is to see.
    """

    values: pa.Array
    odd: np.ndarray

    @property
    def given(self) -> np.ndarray:
        """Whether there is a value, bool [n]."""
        return flags(self.values.is_valid())


def without_missing(column: pa.Array, missing: frozenset[str]) -> pa.Array:
    """Returns a column with null for NaN and the texts that stand for a missing value."""
    type_ = column.type
    if pa.types.is_floating(type_):
        is_nan = np.isnan(_float64(column)) & _given(column)
        return _with_null(column, is_nan) if is_nan.any() else column
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        column = column.cast(pa.string())
    if missing and pa.types.is_string(column.type):
        stands_for_it = flags(pc.is_in(column, pa.array(sorted(missing), pa.string())))
        return _with_null(column, stands_for_it) if stands_for_it.any() else column
    return column


def _with_null(column: pa.Array, where: np.ndarray) -> pa.Array:
    return pc.if_else(pa.array(where), pa.scalar(None, column.type), column)


def texts(column: pa.Array, missing: frozenset[str] = NOTHING, booleans: bool = True) -> Converted:
    """Converts text, whole numbers and, if they may be, booleans to text; missing ones to null."""
    column = without_missing(column, missing)
    type_ = column.type
    if pa.types.is_string(type_):
        empty = flags(pc.equal(column, ""))
        if empty.any():
            column = _with_null(column, empty)
        return Converted(column, np.zeros(len(column), bool))
    if pa.types.is_integer(type_) or (booleans and pa.types.is_boolean(type_)):
        return Converted(column.cast(pa.string()), np.zeros(len(column), bool))
    if pa.types.is_floating(type_):
        return _whole_numbers(column)
    if pa.types.is_decimal(type_):
        return _whole_decimals(column.cast(pa.string()))
    return _none(column, pa.string())


def _whole_decimals(written: pa.Array) -> Converted:
    # Those of many places may be written with an exponent: they are left over.
    whole = pc.struct_field(pc.extract_regex(written, _WHOLE_DECIMAL), 0)
    return Converted(whole, _given(written) & ~_given(whole))


def _whole_numbers(column: pa.Array) -> Converted:
    numbers = _float64(column)
    # NaN: missing, or one that is odd.
    whole = (np.floor(numbers) == numbers) & (np.abs(numbers) < EXACT_INTEGERS)
    safe = np.where(whole, numbers, 0.0).astype(np.int64)
    return Converted(pa.array(safe, mask=~whole).cast(pa.string()), _given(column) & ~whole)


def texts_of(column: pa.Array, form: str, missing: frozenset[str]) -> Converted:
    """Converts text of a form of ``value_types``, as ``TextType.conversion``."""
    converted = texts(column, missing)
    if form not in (ID, NFC_ID):
        return converted
    return dataclasses.replace(converted, values=_id_texts(converted.values, form == NFC_ID))


def ids(column: pa.Array, rules: IdRules) -> Converted:
    """Converts ids to text, as ``values.id_value``; missing ones to null."""
    converted = texts(column, rules.missing, booleans=False)
    values, odd = _id_texts(converted.values, rules.nfc), converted.odd
    if rules.longest is not None:
        odd = odd | flags(pc.greater(pc.binary_length(values), rules.longest))
    return Converted(values, odd)


def _id_texts(texts: pa.Array, nfc: bool) -> pa.Array:
    """Writes ids as ``values.id_text`` does."""
    if flags(pc.match_substring(texts, ".0")).any():
        texts = pc.replace_substring_regex(texts, r"^-0\.0+$", "0")
        texts = pc.replace_substring_regex(texts, WHOLE_FLOAT, r"\1")
    if not nfc:
        return texts
    foreign = _given(texts) & ~flags(pc.string_is_ascii(texts))
    if not foreign.any():
        return texts
    whole = texts.to_pylist()
    return pa.array(
        [
            unicodedata.normalize("NFC", text) if is_foreign else text
            for text, is_foreign in zip(whole, foreign, strict=True)
        ],
        pa.string(),
    )


def numbers(column: pa.Array, missing: frozenset[str] = NOTHING) -> Converted:
    """Converts numbers, and text that holds some, to float64, as ``values.number_value``.

    What is missing becomes null.
    """
    column = without_missing(column, missing)
    if pa.types.is_decimal(column.type):
        # Arrow's own conversion to float64 is not always to the nearest, as Python's is.
        column = column.cast(pa.string())
    type_ = column.type
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_):
        found, given = _float64(column), _given(column)
        odd = np.zeros(len(column), bool)
    elif pa.types.is_string(type_) or pa.types.is_large_string(type_):
        found, given, odd = _numbers_in(column)
    else:
        return _none(column, pa.float64())
    with np.errstate(invalid="ignore"):
        odd |= given & ~((found >= -LARGEST) & (found <= LARGEST))
    return Converted(pa.array(found, mask=~given | odd), odd)


def numbers_of_texts(column: pa.Array, worth: Mapping[str, float]) -> Converted:
    """Converts texts to numbers by a table; one that is not in it is odd."""
    converted = texts(column)
    places = pc.index_in(converted.values, pa.array(list(worth), pa.string()))
    found = pa.array(list(worth.values()), pa.float64()).take(places)
    return Converted(found, converted.odd | (converted.given & ~flags(found.is_valid())))


def _numbers_in(column: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given = _given(column) & ~flags(pc.equal(column, ""))
    found, odd = np.full(len(column), np.nan), np.zeros(len(column), bool)
    written = column.filter(pa.array(given)).to_pylist()
    try:
        found[given] = np.fromiter(map(float, written), np.float64, len(written))
    except ValueError:
        readable = np.array([_reads_as_number(text) for text in written], bool)
        odd[given] = ~readable
        found[given & ~odd] = [
            float(text) for text, reads in zip(written, readable, strict=True) if reads
        ]
        given &= ~odd
    return found, given, odd


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class ConvertedLists:
    """A converted column of lists.

    Attributes:
        elements: The elements of all lists, one list after the other.
        lengths: int64 [n].
        odd: bool [n], as in ``Converted``.
    """

    elements: pa.Array
    lengths: np.ndarray
    odd: np.ndarray

    def array(self) -> pa.ListArray:
        """Returns the lists as an Arrow array."""
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), self.elements)


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def lists(
    column: pa.Array, convert, separator: str | None, missing: frozenset[str] = NOTHING
) -> ConvertedLists:
    """Converts lists, or text with a separator, element by element, as ``values.list_value``.

    Args:
        column: Lists, or single values, which are lists of one; missing ones are empty.
        convert: ``texts``, ``numbers`` or ``ids`` of all elements.
        separator: As in ``values.list_value``.
        missing: Likewise; ``convert`` knows of it too.
    """
    elements, lengths = _flat(without_missing(column, missing), separator, missing)
    converted = convert(elements)
    # A list must not hold null or "".
    refused = converted.odd | ~converted.given
    odd = np.zeros(len(column), bool)
    odd[np.repeat(np.arange(len(column)), lengths)[refused]] = True
    return ConvertedLists(converted.values, lengths, odd)


def _flat(
    column: pa.Array, separator: str | None, missing: frozenset[str]
) -> tuple[pa.Array, np.ndarray]:
    """Returns the elements of all lists, and each list's length."""
    type_ = column.type
    if any(of(type_) for of in _LISTS):
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        return column.flatten(), lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    given = _given(column)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        given &= ~flags(pc.equal(column, ""))
        if separator is not None:
            return _split(column, given, separator, missing)
    return column.filter(pa.array(given)), given.astype(np.int64)


def _split(
    column: pa.Array, given: np.ndarray, separator: str, missing: frozenset[str]
) -> tuple[pa.Array, np.ndarray]:
    parts = pc.split_pattern(column.filter(pa.array(given)), separator)
    # Separators at the ends, or two in a row, are a matter of spelling.
    filled = ~flags(pc.is_in(parts.flatten(), pa.array(["", *sorted(missing)], pa.string())))
    rows = np.repeat(np.flatnonzero(given), pc.list_value_length(parts).to_numpy())
    lengths = np.bincount(rows[filled], minlength=len(column)).astype(np.int64)
    return parts.flatten().filter(pa.array(filled)), lengths


def _none(column: pa.Array, type_: pa.DataType) -> Converted:
    """Leaves all values that there are."""
    return Converted(pa.nulls(len(column), type_), _given(column))


def _given(column: pa.Array) -> np.ndarray:
    return flags(column.is_valid())


def _float64(column: pa.Array) -> np.ndarray:
    """Returns numbers or booleans as float64, rounded to nearest as Python does; null as NaN."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    missing = ~_given(column)
    found = pc.fill_null(column, _zero(column)).to_numpy(zero_copy_only=False).astype(np.float64)
    found[missing] = np.nan
    return found


def _zero(column: pa.Array) -> pa.Scalar:
    return pa.scalar(np.float16(0.0) if pa.types.is_float16(column.type) else 0, column.type)


def flags(array: pa.Array) -> np.ndarray:
    """Returns an array of booleans as bool [n], null as False."""
    return pc.fill_null(array, False).to_numpy(zero_copy_only=False)
