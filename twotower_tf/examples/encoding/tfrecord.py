"""TFRecord files: a gzip stream of records, each with its length and checksums.

The format (``tensorflow/core/lib/io/record_writer.h``): length as uint64, masked CRC of the
length, the record, masked CRC of the record; integers little-endian, CRC-32C (Castagnoli).
"""

import contextlib
import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
from isal import isal_zlib

from twotower_tf import storage
from twotower_tf.examples.encoding.wire_format import (
    BINARY,
    byte_lengths,
    concatenated,
    fixed_width,
    offsets_of,
)
from twotower_tf.storage.whole_files import whole_file

# Of ISA-L's levels 0 to 3: on examples of a video log 10 times as fast as zlib's level 4, for
# files 1 % larger.
_COMPRESSION_LEVEL = 2
# zlib's way to ask for a gzip header; its time and name are left out, so that the same records
# make the same bytes on every day.
_GZIP_FORMAT = 31
# What the compressor makes depends on how its input is cut: it always gets so many bytes.
_BLOCK_BYTES = 1 << 20
# So many records are framed at a time, which fit a processor's cache.
_RECORDS = 4096
_MASK_DELTA = 0xA282EAD8
_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_FRAME = np.dtype([("length", "<u8"), ("crc", "<u4")])


def _masked(crcs: np.ndarray) -> np.ndarray:
    """Masks checksums, uint32 [n], so that those of records that hold checksums are sound too."""
    return (crcs >> np.uint32(15) | crcs << np.uint32(17)) + np.uint32(_MASK_DELTA)


def _masked_crcs(data: bytes, starts: list[int], ends: list[int]) -> np.ndarray:
    """Returns the masked CRC of the bytes between starts and ends, uint32 [n]."""
    values = map(data.__getitem__, map(slice, starts, ends))
    return _masked(np.fromiter(map(google_crc32c.value, values), np.uint32, len(starts)))


def _masked_crc(data: bytes) -> int:
    return int(_masked_crcs(data, [0], [len(data)])[0])


def _length_frames(lengths: np.ndarray) -> pa.LargeBinaryArray:
    frames = np.empty(len(lengths), _FRAME)
    frames["length"] = lengths
    places = range(0, len(lengths) * _LENGTH.size, _LENGTH.size)
    ends = [place + _LENGTH.size for place in places]
    frames["crc"] = _masked_crcs(frames["length"].tobytes(), list(places), ends)
    return fixed_width(frames.view(np.uint8).reshape(len(lengths), _FRAME.itemsize))


def _framed(records: pa.LargeBinaryArray) -> pa.Buffer:
    """Returns records with their lengths and checksums, one after the other."""
    lengths = pa.array(byte_lengths(records)).dictionary_encode()
    headers = _length_frames(lengths.dictionary.to_numpy()).take(lengths.indices)
    offsets = offsets_of(records)
    first, last = int(offsets[0]), int(offsets[-1])
    data = records.buffers()[2].slice(first, last - first).to_pybytes() if last > first else b""
    places = (offsets - first).tolist()
    crcs = _masked_crcs(data, places[:-1], places[1:]).astype("<u4")
    footers = fixed_width(crcs.view(np.uint8).reshape(len(crcs), _CRC.size))
    return concatenated(headers, records, footers).buffers()[2]


class RecordWriter:
    """Writes a gzip-compressed TFRecord file.

    The bytes depend on the records and their order alone, not on how they are split into arrays.
    (Another version of ISA-L, or a processor without SSE 4.2, may compress them differently.)
    A file that was closed without records is valid.

    Args:
        file: A path, or a binary file that stays open.

    Attributes:
        count: How many records were written so far.
    """

    def __init__(self, file: str | BinaryIO):
        self.count = 0
        self._opened = contextlib.ExitStack()
        if isinstance(file, str):
            file = self._opened.enter_context(open(file, "wb"))  # noqa: SIM115
        self._file = file
        self._gzip = isal_zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP_FORMAT)
        self._pending = bytearray()

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        with self._opened:
            # What is half written gets no end that would make it look whole.
            if error_type is None:
                self.close()

    def write(self, records: pa.BinaryArray | pa.LargeBinaryArray) -> None:
        """Appends records; none may be null."""
        records = records.cast(BINARY)
        for start in range(0, len(records), _RECORDS):
            self._pending += _framed(records.slice(start, _RECORDS))
            self._compress_whole_blocks()
        self.count += len(records)

    def _compress_whole_blocks(self) -> None:
        whole = len(self._pending) // _BLOCK_BYTES * _BLOCK_BYTES
        with memoryview(self._pending) as pending:
            for start in range(0, whole, _BLOCK_BYTES):
                self._file.write(self._gzip.compress(pending[start : start + _BLOCK_BYTES]))
        del self._pending[:whole]

    def close(self) -> None:
        """Writes what is left, and the end of the file."""
        self._file.write(self._gzip.compress(self._pending))
        self._file.write(self._gzip.flush())
        self._opened.close()


def write_records(path: str, records: Iterable[bytes]) -> int:
    """Writes a gzip-compressed TFRecord file and returns how many records it holds."""
    with whole_file(path) as temporary, RecordWriter(temporary) as writer:
        writer.write(pa.array(list(records), BINARY))
    return writer.count


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records of a gzip-compressed TFRecord file in order.

    Raises:
        ValueError: If the file is cut short or a checksum differs; names the file and record.
    """
    with storage.open_input(path) as file, gzip.open(file, "rb") as stream:
        number = 0
        try:
            while header := stream.read(_HEADER.size):
                number += 1
                yield _read_record(stream, header)
        except (EOFError, struct.error, zlib.error, OSError, ValueError) as error:
            raise ValueError(f"{path}: record {number} is damaged: {error}") from error


def _read_record(stream, header: bytes) -> bytes:
    length, length_crc = _HEADER.unpack(header)
    if length_crc != _masked_crc(header[: _LENGTH.size]):
        raise ValueError("the checksum of its length differs")
    record = stream.read(length)
    (crc,) = _CRC.unpack(stream.read(_CRC.size))
    if crc != _masked_crc(record):
        raise ValueError("its checksum differs")
    return record
