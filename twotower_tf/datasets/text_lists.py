"""Lists that files of separated values write as text: ``N55689-1 N35729-0``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from twotower_tf.config.source import TextList
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import EACH

Lists = Mapping[str, TextList]


def with_lists(
    numbered: Iterable[tuple[int, dict | Unreadable]], lists: Lists
) -> Iterator[tuple[int, dict | Unreadable]]:
    """Yields numbered records with lists in place of the text in some columns.

    The elements are texts, or records of their parts; of one that has fewer parts the last ones
    are missing.
    """
    for number, record in numbered:
        if not isinstance(record, Unreadable):
            for column, how in lists.items():
                if column in record:
                    record[column] = _elements(record[column], how)
        yield number, record


def _elements(text: str, how: TextList) -> list[str | dict[str, str]]:
    elements = [element for element in text.split(how.separator) if element]
    if not how.parts:
        return elements
    # From the right: the first part is mostly an id, which may be of any form.
    split = (element.rsplit(how.between, len(how.parts) - 1) for element in elements)
    return [dict(zip(how.parts, parts, strict=False)) for parts in split]


def names_of_elements(names: Sequence[str], lists: Lists) -> list[str]:
    """Returns the names of the columns inside of those of a file's columns that are lists."""
    return [
        name
        for column, how in lists.items()
        if column in names
        for name in ([f"{column}{EACH}.{part}" for part in how.parts] or [column + EACH])
    ]
