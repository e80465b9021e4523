"""Wikispeedia's click paths as events and its articles as items (West and Leskovec, WWW 2012).

A player starts at one article and tries to get to another by links alone. Every click on a link is
an event: the item is the article clicked, the seed the article on screen. Names are URL-encoded in
the files; item ids are the decoded names.
"""

import collections
import os
from collections.abc import Iterator
from urllib.parse import unquote

from twotower_tf.datasets.files import Unreadable, read_lines
from twotower_tf.errors import InputError

_BACK = "<"
_TIMEOUT_SECONDS = 1800
_ENDS = ("timeout", "restart")
_ROOT_CATEGORY = "subject"


def read_paths(path: str) -> Iterator[tuple[int, dict | Unreadable]]:
    """Reads ``paths_unfinished.tsv`` as events.

    A click on "back" (``<``) returns to the article that was on screen before, and several in a
    row go further back; it is no event, but what it shows again counts as seen again.

    A path's timestamp is the time it ended: where the same player's next path follows a
    "restart", it began (timestamp - duration) 0 to 15 seconds after this one's timestamp far more
    often than by chance; read as starts, the paths would overlap in a quarter of the cases. A
    "timeout" ended 1800 seconds after its last click. When each click was is not recorded, so the
    moves (the clicks back among them) are spread evenly: from the start to the last click of a
    "timeout", which is one of them, or to the end of a "restart", which comes after them; at
    least a second apart, so that the events of a path have different timestamps, in order.

    Yields:
        The line number and a dict of user_id, item_id, timestamp (int, Unix seconds),
        seed_item_id, seed_title, target_item_id, target_title (the article aimed for, as the file
        gives it: some are no article) and history (the articles seen in this path before the one
        on screen, in the order of viewing). An Unreadable for a line that is no path.
    """
    for number, line in _data_lines(path):
        if isinstance(line, Unreadable):
            yield number, line
            continue
        try:
            events = list(_events(line.decode("utf-8").rstrip("\r\n").split("\t")))
        except ValueError as error:
            yield number, Unreadable.line(line, f"not a click path: {error}")
            continue
        for event in events:
            yield number, event


def read_articles(path: str) -> Iterator[tuple[int, dict | Unreadable]]:
    """Reads ``articles.tsv``, with the ``categories.tsv`` beside it, as items.

    Yields:
        The line number and a dict of item_id, title and categories: of the article's categories
        the whole paths and all that they are part of (``subject.Science.Biology``: ``Science`` and
        ``Science.Biology``), each once; an article may have none. An Unreadable for a line, of
        either file, that is wrong.

    Raises:
        InputError: If there is no ``categories.tsv`` beside the file.
    """
    categories_path = os.path.join(os.path.dirname(path), "categories.tsv")
    if not os.path.isfile(categories_path):
        raise InputError(f"{categories_path} is missing: it must lie beside {path}")
    categories: dict[str, dict[str, None]] = collections.defaultdict(dict)
    for number, line in _data_lines(categories_path):
        try:
            name, prefixes = _category_prefixes(line)
        except ValueError as error:
            yield number, _unreadable(line, f"{categories_path}: {error}")
            continue
        categories[name].update(dict.fromkeys(prefixes))
    for number, line in _data_lines(path):
        try:
            (name,) = _fields(line, 1)
            item_id = _decoded(name)
        except ValueError as error:
            yield number, _unreadable(line, f"not an article: {error}")
            continue
        kept = list(categories.get(item_id, ()))
        yield number, {"item_id": item_id, "title": _title(item_id), "categories": kept}
