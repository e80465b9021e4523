"""Converts whole columns of times as ``values.Time`` does single ones; see ``column_values``."""

import datetime
import zoneinfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.reading.column_values import Converted, flags, numbers, without_missing
from twotower_tf.examples.values import (
    UNITS_A_SECOND,
    RejectedRecord,
    Time,
    unix_seconds,
)

_TICKS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SECONDS_A_DAY = 86_400
_EPOCH = datetime.datetime(1970, 1, 1)
# What is usual of all that ``datetime.fromisoformat`` reads.
_TEXT = (
    r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3}|\.[0-9]{6})?"
    r"(?P<zone>[Zz]| UTC|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?)?$"
)
_LOCAL_CHARACTERS = len("2026-01-31T12:00:00")


def times(column: pa.Array, time: Time) -> Converted:
    """Converts times to Unix seconds, rounded down, int64; missing ones to null."""
    column = without_missing(column, time.missing)
    type_ = column.type
    given = flags(column.is_valid())
    if pa.types.is_timestamp(type_):
        found = _ticks(column, pa.int64()) // _TICKS_A_SECOND[type_.unit]
        odd = np.zeros(len(column), bool)
        if type_.tz is None:
            found = _to_utc(found, time)
    elif pa.types.is_date32(type_):
        found = _to_utc(_ticks(column, pa.int32()).astype(np.int64) * _SECONDS_A_DAY, time)
        odd = np.zeros(len(column), bool)
    elif time.unit == "iso8601":
        found, given, odd = _of_texts(column, time)
    elif time.is_pattern:
        found, given, odd = _of_distinct(column, time)
    else:
        found, given, odd = _of_numbers(column, time)
    odd = odd | (given & ((found < time.earliest) | (found >= time.latest)))
    return Converted(pa.array(found, mask=~given | odd), odd)


def _ticks(column: pa.Array, type_: pa.DataType) -> np.ndarray:
    return pc.fill_null(column.cast(type_), 0).to_numpy(zero_copy_only=False)


def _of_numbers(column: pa.Array, time: Time) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if pa.types.is_boolean(column.type):
        return _all_odd(column)
    if time.unit == "nanoseconds":
        # float64 has too few digits for them.
        return _of_distinct(column, time)
    converted = numbers(column)
    found = pc.fill_null(converted.values, 0.0).to_numpy(zero_copy_only=False)
    seconds = np.floor(found / UNITS_A_SECOND[time.unit])
    # Beyond int64, and out of every range.
    seconds = np.clip(seconds, -(2.0**62), 2.0**62).astype(np.int64)
    return seconds, converted.given, converted.odd


def _of_distinct(column: pa.Array, time: Time) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts every distinct value of text or of whole numbers once, by ``time`` itself."""
    type_ = column.type
    if not (pa.types.is_string(type_) or pa.types.is_integer(type_)):
        return _all_odd(column)
    encoded = column.dictionary_encode()
    found = [_seconds_or_none(value, time) for value in encoded.dictionary.to_pylist()]
    readable = np.array([one is not None for one in found], bool)
    seconds = np.array([one or 0 for one in found], np.int64)
    given = flags(column.is_valid())
    if pa.types.is_string(type_):
        given &= ~flags(pc.equal(column, ""))
    if not given.any():
        return np.zeros(len(column), np.int64), given, np.zeros(len(column), bool)
    place = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    return seconds[place], given & readable[place], given & ~readable[place]


def _seconds_or_none(value: str | int, time: Time) -> int | None:
    try:
        return time(value)
    except RejectedRecord:
        return None


def _of_texts(column: pa.Array, time: Time) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_string(column.type):
        return _all_odd(column)
    fields = pc.extract_regex(column, _TEXT)
    given = flags(column.is_valid()) & ~flags(pc.equal(column, ""))
    usual = flags(fields.is_valid())
    rows = pa.array(usual)
    try:
        local = pc.utf8_slice_codeunits(column.filter(rows), 0, _LOCAL_CHARACTERS)
        seconds = local.cast(pa.timestamp("s")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        # A day that its month hasn't.
        return _all_odd(column)
    found = np.zeros(len(column), np.int64)
    found[usual] = _less_offsets(seconds, pc.struct_field(fields, 0).filter(rows), time)
    return found, given & usual, given & ~usual


def _less_offsets(seconds: np.ndarray, zones: pa.Array, time: Time) -> np.ndarray:
    """Returns local times as Unix seconds, given what each says of its zone: ``""``: nothing."""
    encoded = zones.dictionary_encode()
    kinds = encoded.dictionary.to_pylist()
    kind = encoded.indices.to_numpy(zero_copy_only=False)
    offsets = np.array([_offset_seconds(text) if text else 0 for text in kinds], np.int64)
    found = seconds - offsets[kind]
    unsaid = np.array([not text for text in kinds], bool)[kind]
    if unsaid.any():
        found[unsaid] = _to_utc(seconds[unsaid], time)
    return found


def _offset_seconds(text: str) -> int:
    if text in "Zz" or text == " UTC":
        return 0
    size = int(text[1:3]) * 3600 + int(text[4:6]) * 60
    return -size if text[0] == "-" else size


def _all_odd(column: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given = flags(column.is_valid())
    return np.zeros(len(column), np.int64), np.zeros(len(column), bool), given


def _to_utc(local: np.ndarray, time: Time) -> np.ndarray:
    """Returns times of the column's zone as Unix seconds, int64 [n].

    Those that are out of range anyhow are left as they are: Python's calendar may not have them.
    """
    if time.zone.key == "UTC":
        return local
    margin = 2 * _SECONDS_A_DAY
    inside = (local > time.earliest - margin) & (local < time.latest + margin)
    distinct, places = np.unique(local[inside], return_inverse=True)
    found = local.copy()
    found[inside] = _unix_seconds(distinct.tolist(), time.zone)[places]
    return found


def _unix_seconds(local: list[int], zone: zoneinfo.ZoneInfo) -> np.ndarray:
    clocks = (_EPOCH + datetime.timedelta(seconds=second) for second in local)
    return np.fromiter((unix_seconds(clock, zone) for clock in clocks), np.int64, len(local))
