"""Lists of ids that people write: vocabularies, what may come, what may not, what is withdrawn."""

import io
from collections.abc import Sequence

from twotower_tf.errors import InputError
from twotower_tf.storage.files import open_input

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_ids(path: str, what: str) -> list[str]:
    """Returns the ids in a text file, one a line; empty lines are passed over.

    Args:
        path: The file: UTF-8, or UTF-16 with a byte order mark, which is no part of the first id.
        what: What names it, for the message.

    Raises:
        InputError: If it can't be read.
    """
    try:
        with open_input(path) as file:
            content = file.read()
        encoding = "utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig"
        # Lines end as Python's text files have them end: an id may hold U+2028.
        lines = io.StringIO(content.decode(encoding), newline=None)
        return [line.strip() for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{what}: {path} can't be read ({reason}); give a text file with an id a line"
        ) from error


def unknown_ids(ids: Sequence[str], known: Sequence[bool], what: str, by: str) -> str | None:
    """Words how many ids of a list nobody knows; None if all are known.

    Args:
        ids: Those of the list, [n].
        known: Of each whether it is known.
        what: What names the list, as for ``read_ids``.
        by: What knows the others, such as ``the catalogue``.
    """
    unknown = [one for one, is_known in zip(ids, known, strict=True) if not is_known]
    if not unknown:
        return None
    return (
        f"{what}: {len(unknown):,} of {len(ids):,} ids are unknown, the first '{unknown[0]}': "
        f"{by} has no such item"
    )
