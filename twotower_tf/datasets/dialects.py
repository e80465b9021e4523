"""How files of separated values are written: what the configuration leaves open, the file says."""

import dataclasses
import re
from collections.abc import Mapping

from twotower_tf.config.source import Files, TextList
from twotower_tf.datasets.text_files import Damaged, TextForm, form_of, pieces

DELIMITERS = {"csv": ",", "tsv": "\t"}
# So much of a file is looked at for quotes; where there are some only later, they are refused.
_LOOKED_AT = 1 << 20


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the configuration says of how a file is written; see ``Files`` there.

    Attributes:
        encoding: As Python names it; None: UTF-8, or what the file begins with.
        header: The names of the columns of a file without a header.
        delimiter: What stands between fields; None: what the format has.
        quote: ``auto``, ``double`` or ``none``.
        comment: What lines begin with that are none of the data.
        lists: By column, how the lists in it are written.
    """

    encoding: str | None = None
    header: tuple[str, ...] | None = None
    delimiter: str | None = None
    quote: str = "auto"
    comment: str | None = None
    lists: Mapping[str, TextList] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, files: Files) -> "Layout":
        """Returns the layout of a part of the source."""
        own = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: getattr(files, name) for name in own})


AS_USUAL = Layout()


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a file of separated values is written.

    Attributes:
        form: What its text is.
        delimiter: What stands between fields.
        quoted: Whether fields may be quoted with ``"``.
        looked_for_quotes: Whether the start of the file says so, not the configuration.
        comment: What lines begin with that are none of the data.
        header: The names of the columns, if the file has no header.
    """

    form: TextForm
    delimiter: str
    quoted: bool = True
    looked_for_quotes: bool = False
    comment: bytes | None = None
    header: tuple[str, ...] | None = None

    def is_quoted_after_all(self, line: bytes) -> bool:
        """Says whether a line has a quoted field, though the start of its file has none."""
        return self.looked_for_quotes and _well_quoted(self.delimiter).search(line) is not None


def dialect_of(path: str, format: str, layout: Layout) -> Dialect:
    """Returns how a file is written.

    Args:
        path: The file.
        format: ``csv`` or ``tsv``.
        layout: What the configuration says.

    Raises:
        InputError: If the file can't be opened.
    """
    form = form_of(path, layout.encoding)
    delimiter = layout.delimiter or DELIMITERS[format]
    if layout.quote != "auto" or len(delimiter.encode()) > 1:
        quoted, looked = layout.quote == "double", False
    else:
        # Who separates by tabs often does not quote, and then quotes are characters like others.
        looked = delimiter == "\t"
        quoted = not looked or _well_quoted(delimiter).search(_start(path, form)) is not None
    comment = layout.comment and layout.comment.encode()
    return Dialect(form, delimiter, quoted, looked and not quoted, comment, layout.header)


def _start(path: str, form: TextForm) -> bytes:
    try:
        return next(pieces(path, form, _LOOKED_AT), b"")[:_LOOKED_AT]
    except Damaged:
        return b""


def _well_quoted(delimiter: str) -> re.Pattern:
    """Returns what matches a field that is quoted as a whole, in one line."""
    between = re.escape(delimiter)
    expression = rf'(?:^|(?<={between}))"(?:[^"\r\n]|"")*"(?={between}|\r?$)'
    return re.compile(expression.encode(), re.MULTILINE)
