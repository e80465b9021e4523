"""TFRecord files: a gzip stream of records, each with its length and checksums.

The format (``tensorflow/core/lib/io/record_writer.h``): length as uint64, masked CRC of the
length, the record, masked CRC of the record; integers little-endian, CRC-32C (Castagnoli).
"""

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator

import crcmod.predefined

# Fixed, as is the time in the gzip header: the same records make the same bytes on every day.
_COMPRESSION_LEVEL = 4
_MASK_DELTA = 0xA282EAD8
_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")


def _masked_crc(data: bytes) -> int:
    crc = _crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def write_records(path: str, records: Iterable[bytes]) -> int:
    """Writes a gzip-compressed TFRecord file and returns how many records it holds."""
    count = 0
    with (
        open(path, "wb") as file,
        gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, fileobj=file, mtime=0) as stream,
    ):
        for record in records:
            length = _LENGTH.pack(len(record))
            stream.write(
                b"".join(
                    (
                        length,
                        _CRC.pack(_masked_crc(length)),
                        record,
                        _CRC.pack(_masked_crc(record)),
                    )
                )
            )
            count += 1
    return count


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records of a gzip-compressed TFRecord file in order.

    Raises:
        ValueError: If the file is cut short or a checksum differs; names the file and record.
    """
    with gzip.open(path, "rb") as stream:
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
