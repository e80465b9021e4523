"""Paths with ``{date}`` in them: which days' files are which.

``{date}`` is a day as YYYY-MM-DD, ``{date:%Y/%m/%d}`` one in another form: of year, month and day,
each once. ``*``, ``?`` and ``[...]`` are wildcards, ``**/`` any folders; other braces mean nothing.
"""

import datetime
import re

_BRACES = re.compile(r"\{([^{}]*)\}")
_USUAL = "%Y-%m-%d"
# Stand for year, month and day where a path is taken apart; no path has these characters.
_FIELDS = {"%Y": "\0Y", "%m": "\0m", "%d": "\0d"}
FIELD = re.compile("\0[Ymd]")


def check(path: str) -> None:
    """Raises ValueError for braces that are no date, and says what would be right."""
    for braces in _BRACES.finditer(path):
        form = _form(braces[1])
        if form is None:
            raise ValueError(
                f"{braces[0]} stands for nothing; a day is {{date}}, or {{date:%Y%m%d}} in another "
                "form of %Y, %m and %d; wildcards are * ? [...] and **/"
            )


def is_dated(path: str) -> bool:
    """Says whether the files of a path belong to days."""
    return _BRACES.search(path) is not None


def on(path: str, day: datetime.date) -> str:
    """Returns a path with a day in place of ``{date}``."""
    return _BRACES.sub(lambda braces: day.strftime(_form(braces[1])), path)


def with_fields(path: str) -> str:
    """Returns a path with a ``FIELD`` in place of each year, month and day."""

    def fields(braces: re.Match) -> str:
        form = _form(braces[1])
        for name, field in _FIELDS.items():
            form = form.replace(name, field)
        return form

    return _BRACES.sub(fields, path)


def _form(inside: str) -> str | None:
    """Returns the form of a day that braces ask for; None if they hold none."""
    if inside == "date":
        return _USUAL
    name, _, form = inside.partition(":")
    once = all(form.count(field) == 1 for field in _FIELDS) and form.count("%") == len(_FIELDS)
    return form if name == "date" and once else None
