"""Paths with ``{date}`` in them: which days' files are which.

``{date}`` is a day as YYYY-MM-DD, ``{date:%Y/%m/%d}`` one in another form: of year, month and day,
each once. ``{hour}`` beside it is an hour of the day, ``00`` to ``23``. ``*``, ``?`` and ``[...]``
are wildcards, ``**/`` any folders; other braces mean nothing.
"""

import datetime
import re

_BRACES = re.compile(r"\{([^{}]*)\}")
_USUAL = "%Y-%m-%d"
_HOUR = "hour"
# Stand for year, month, day and hour where a path is taken apart; no path has these characters.
_FIELDS = {"%Y": "\0Y", "%m": "\0m", "%d": "\0d"}
_HOUR_FIELD = "\0H"
FIELD = re.compile("\0[YmdH]")


def check(path: str) -> None:
    """Raises ValueError for braces that are no date, and says what would be right."""
    for braces in _BRACES.finditer(path):
        if braces[1] != _HOUR and _form(braces[1]) is None:
            raise ValueError(
                f"{braces[0]} stands for nothing; a day is {{date}}, or {{date:%Y%m%d}} in another "
                "form of %Y, %m and %d, an hour of it {hour}; wildcards are * ? [...] and **/"
            )
    if has_hours(path) and all(braces[1] == _HOUR for braces in _BRACES.finditer(path)):
        raise ValueError("{hour} is an hour of a day, which the path must say too: {date}/{hour}")


def is_dated(path: str) -> bool:
    """Says whether the files of a path belong to days."""
    return _BRACES.search(path) is not None


def has_hours(path: str) -> bool:
    """Says whether the files of a path belong to hours of days."""
    return f"{{{_HOUR}}}" in path


def on(path: str, day: datetime.date) -> str:
    """Returns a path with a day in place of ``{date}``, and ``*`` in that of ``{hour}``."""

    def written(braces: re.Match) -> str:
        return "*" if braces[1] == _HOUR else day.strftime(_form(braces[1]))

    return _BRACES.sub(written, path)


def with_fields(path: str) -> str:
    """Returns a path with a ``FIELD`` in place of each year, month, day and hour."""

    def fields(braces: re.Match) -> str:
        if braces[1] == _HOUR:
            return _HOUR_FIELD
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
