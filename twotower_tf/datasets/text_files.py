"""Text files as they come, opened as lines of UTF-8 that end in line feeds.

What a file is, its first bytes say: compressed or not (whatever its name ends in), UTF-8 or UTF-16,
lines that end in carriage returns alone, and of JSON whether it has an object a line. What holds no
data at all, such as an error page that was saved in its place, they say too.
"""

import bz2
import codecs
import contextlib
import dataclasses
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator

from twotower_tf import storage
from twotower_tf.datasets.json_streams import as_lines, is_stream
from twotower_tf.errors import InputError

_HEAD_BYTES = 1 << 16
_FEW_BYTES = 16
# Of a compressed file, to know how much it holds.
_MEASURED_BYTES = 1 << 20
_MOST_EXPANSION = 64
_GZIP, _BZ2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_LZ4 = b"\x04\x22\x4d\x18"
# What these files begin with, and what opens them.
_COMPRESSIONS: dict[bytes, Callable] = {
    _GZIP: lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    _BZ2: bz2.BZ2File,
    _XZ: lzma.LZMAFile,
    _ZSTD: lambda file: _by_arrow(file, "zstd"),
    _LZ4: lambda file: _by_arrow(file, "lz4"),
}
_ENDINGS = {".gz": _GZIP, ".bz2": _BZ2, ".xz": _XZ, ".zst": _ZSTD, ".lz4": _LZ4}
ENDINGS = tuple(_ENDINGS)
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What a file system leaves where what was written never reached the disk; no text has so many.
_ZEROS = bytes(16)
PARQUET = "Parquet, not text: set its format"
_NO_DATA = {
    re.compile(rb"\s*<(\?xml|!DOCTYPE|html|Error)", re.I): "an XML or HTML page, not data",
    re.compile(rb"version https://git-lfs\.github\.com/spec/"): (
        "a pointer of Git LFS, not the data: fetch it with `git lfs pull`"
    ),
    re.compile(rb"/annex/objects/"): "a pointer of git-annex, not the data: `git annex get` it",
    re.compile(rb"PAR1"): PARQUET,
    re.compile(rb"PK\x03\x04"): "a ZIP archive: unpack it",
    re.compile(rb"Obj\x01"): "Avro, not text: write it as Parquet or JSON",
    re.compile(rb"ARROW1\0\0"): "an Arrow or Feather file, not text: write it as Parquet",
    re.compile(rb"SQLite format 3\0"): "a database of SQLite, not text: export its tables",
    re.compile(_ZEROS): "zero bytes, not data: it was never written to its end",
}


class Damaged(Exception):
    """From here on a file can't be read; says why."""


@dataclasses.dataclass(frozen=True)
class TextForm:
    """What a text file is, but for its lines.

    Attributes:
        compression: What it begins with if it is compressed.
        encoding: As Python names it; None: UTF-8.
        carriage_returns: Whether its lines end in ``\\r`` alone.
        json_stream: Whether it is JSON, and not an object a line.
        no_data: Why there is nothing in it to read.
    """

    compression: bytes | None = None
    encoding: str | None = None
    carriage_returns: bool = False
    json_stream: bool = False
    no_data: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether its bytes are those of its lines, so that it can be entered anywhere."""
        return self == TextForm()


def form_of(path: str, encoding: str | None = None, is_json: bool = False) -> TextForm:
    """Returns what a text file is, by its first bytes.

    Args:
        path: The file.
        encoding: What somebody says it is written in; None: to be found out.
        is_json: Whether it is JSON.

    Raises:
        InputError: If the file can't be opened.
    """
    with _opened(path) as file:
        head = file.read(_HEAD_BYTES)
        compression = _compression(path, head)
        if compression is not None:
            file.seek(0)
            head = _start(_COMPRESSIONS[compression](file))
    encoding = _utf8_is_none(encoding) or _encoding(head)
    form = TextForm(compression, encoding)
    text = head if encoding is None else head.decode(encoding, "ignore").encode("utf-8", "replace")
    no_data = next((why for begins, why in _NO_DATA.items() if begins.match(text)), None)
    carriage_returns = b"\r" in text and b"\n" not in text
    return dataclasses.replace(
        form,
        carriage_returns=carriage_returns,
        json_stream=is_json and is_stream(text),
        no_data=no_data,
    )


def expansion(path: str, form: TextForm) -> float:
    """Returns about how many bytes of text a byte of a file holds, by the file's beginning.

    Raises:
        InputError: If it can't be opened.
    """
    if form.compression is None:
        return 1.0
    with _opened(path) as file:
        head = file.read(_MEASURED_BYTES)
    text = _start(_COMPRESSIONS[form.compression](io.BytesIO(head)), _MOST_EXPANSION * len(head))
    return max(1.0, len(text) / max(1, len(head)))


@contextlib.contextmanager
def open_plain(path: str) -> Iterator[io.BufferedIOBase]:
    """Opens a file whose form is plain.

    Raises:
        InputError: If it can't be opened.
    """
    with _opened(path) as file:
        yield file


def pieces(path: str, form: TextForm, size: int, start: int = 0) -> Iterator[bytes]:
    """Yields what the lines of a file are.

    Args:
        path: The file.
        form: As ``form_of`` returns it.
        size: About how many bytes to read at once.
        start: The byte to start at, of a file whose form is plain.

    Raises:
        InputError: If it can't be opened.
        Damaged: Where it can't be read any further.
    """
    if form.no_data is not None:
        raise Damaged(form.no_data)
    read = _decompressed(path, form, size, start)
    if form.encoding is not None:
        read = _as_utf8(read, form.encoding)
    read = _up_to_zeros(read)
    if form.carriage_returns:
        read = (piece.replace(b"\r", b"\n") for piece in read)
    return as_lines(read, Damaged) if form.json_stream else read


def _up_to_zeros(read: Iterator[bytes]) -> Iterator[bytes]:
    for piece in read:
        start = piece.find(_ZEROS)
        if start >= 0:
            yield piece[:start]
            raise Damaged("zero bytes, not data, from here on: it was never written to its end")
        yield piece


def _opened(path: str) -> contextlib.closing:
    try:
        return contextlib.closing(storage.open_input(path))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def _by_arrow(file: io.BufferedIOBase, compression: str):
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)


def _compression(path: str, head: bytes) -> bytes | None:
    begins = next((magic for magic in _COMPRESSIONS if head.startswith(magic)), None)
    if begins is None and head:
        # What is called compressed and is not is damaged: to open it says how.
        named = (magic for ending, magic in _ENDINGS.items() if path.lower().endswith(ending))
        return next(named, None)
    return begins


def _start(file: io.BufferedIOBase, most: int = _HEAD_BYTES) -> bytes:
    """Returns the first bytes of what a compressed file holds, as far as they can be read."""
    head = bytearray()
    with contextlib.suppress(OSError, EOFError, zlib.error, lzma.LZMAError):
        while len(head) < most and (more := file.read1(_HEAD_BYTES)):
            head += more
    return bytes(head)


def _utf8_is_none(encoding: str | None) -> str | None:
    return None if encoding is None or codecs.lookup(encoding).name == "utf-8" else encoding


def _encoding(head: bytes) -> str | None:
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    # Text of UTF-16 without a mark: every other byte of its ASCII characters is 0.
    if len(head) < _FEW_BYTES:
        return None
    first, second = head[0::2], head[1::2]
    for with_zeros, other, encoding in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        zeros = with_zeros.count(0)
        if other and zeros > 0.9 * len(with_zeros) and not other.count(0):
            return encoding
    return None


def _decompressed(path: str, form: TextForm, size: int, start: int) -> Iterator[bytes]:
    with _opened(path) as file:
        file.seek(start)
        try:
            inside = file if form.compression is None else _COMPRESSIONS[form.compression](file)
            read = getattr(inside, "read1", inside.read)
            while piece := read(size):
                yield piece
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise Damaged(_damaged(form, error)) from error
        except OSError as error:
            # Python and Arrow say no more of compressed files that are damaged; a store does.
            if form.compression is None or error.errno is not None or storage.is_url(path):
                raise
            raise Damaged(_damaged(form, error)) from error


def _damaged(form: TextForm, error: Exception) -> str:
    ending = {magic: ending for ending, magic in _ENDINGS.items()}[form.compression]
    kind = {".gz": "gzip", ".zst": "zstd"}.get(ending, ending[1:])
    return f"the {kind} file is damaged from here on: {' '.join(str(error).split())}"


def _as_utf8(read: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    # Bytes that an encoding has not stay what they are, so that their line is refused alone.
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    decoder = codecs.getincrementaldecoder(encoding)("strict" if wide else "surrogateescape")
    try:
        for piece in read:
            yield decoder.decode(piece).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        raise Damaged(f"not {encoding} from here on: {error}") from error
