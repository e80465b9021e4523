"""Which files below a folder or URL a path pattern names: wildcards, ``{date}``, ``{hour}``.

What nobody means is passed over: names that start with ``_`` or ``.``, of folders too, unless the
pattern has them as they are or they are of the form ``key=value``; and work directories of ours.
What somebody may have meant and can't be opened is an error: it must not go missing silently.
"""

import contextlib
import datetime
import os
import re
from collections.abc import Iterator

from twotower_tf import storage
from twotower_tf.config import dated_paths
from twotower_tf.errors import InputError

_PART = re.compile(r"(\0[YmdH]|\*\*/|\*\*$|\*|\?|\[!?\]?[^\]]*\])")
# Wildcards don't stand for the start of a hidden name.
_NOT_HIDDEN = r"(?![._][^/=]*(?:/|$))"
_ANY_FOLDERS = rf"(?:{_NOT_HIDDEN}[^/]+/)*"
_ANY_FOLDER = "**"
# How year, month, day and hour are written; some write hours as plain numbers.
_FIELDS = {"Y": "[0-9]{4}", "m": "[0-9]{2}", "d": "[0-9]{2}", "H": "(?:[01]?[0-9]|2[0-3])"}


def matches(
    root: str, pattern: str, endings: tuple[str, ...]
) -> Iterator[tuple[str, datetime.date | None, int | None]]:
    """Yields the files that a pattern names, and what ``{date}`` and ``{hour}`` stand for in each.

    A folder whose ``{date}`` is no date of the calendar is passed over.

    Args:
        root: A folder or URL.
        pattern: A normalised path below it.
        endings: Those of files with data. A folder that is called so, and that the pattern names
            instead of what is in it, is an error.

    Raises:
        InputError: If a link leads nowhere, or back to a folder above it; if something that is
            named is neither file nor folder, or can't be looked into.
    """
    pattern, given = dated_paths.with_fields(pattern), pattern
    dated = re.compile(_expression(pattern)) if dated_paths.is_dated(given) else None
    names = _InStore(root, endings) if storage.is_url(root) else _OnDisk(root, endings)
    for name in names.matching(pattern):
        path = os.path.join(root, name)
        if dated is None:
            yield path, None, None
        elif match := dated.fullmatch(name):
            # ValueError: the folder's name looks like a day, but the calendar has none such.
            with contextlib.suppress(ValueError):
                day = datetime.date(int(match["Y"]), int(match["m"]), int(match["d"]))
                yield path, day, int(match["H"]) if "H" in dated.groupindex else None


def _a_folder(root: str, folder: str) -> InputError:
    ending = os.path.splitext(folder)[1]
    return InputError(
        f"{os.path.join(root, folder)} is a folder; name the files in it, as {folder}/*{ending}"
    )


class _OnDisk:
    """Looks for files on a disk, and follows links."""

    def __init__(self, root: str, endings: tuple[str, ...]):
        self._root = root
        self._endings = endings

    def matching(self, pattern: str) -> list[str]:
        """Returns the names below the root that match a pattern, each once."""
        parts = pattern.split("/")
        if parts[-1] == _ANY_FOLDER:
            parts.append("*")
        folders: list[str] = []
        found = set(self._below("", parts, folders))
        for folder in folders:
            inside = [name for name in self._listed(folder) if name[0] not in "._"]
            if inside and not any(name.startswith(f"{folder}/") for name in found):
                raise _a_folder(self._root, folder)
        return sorted(found)

    def _below(self, folder: str, parts: list[str], folders: list[str]) -> Iterator[str]:
        """Yields the files in a folder that match; notes folders that are called like files."""
        part, *rest = parts
        if part == _ANY_FOLDER:
            yield from self._below(folder, rest, folders)
        any_folder = part == _ANY_FOLDER
        matching = re.compile(_expression("*" if any_folder else part)).fullmatch
        has_wildcard = any_folder or _PART.search(part) is not None
        for name in self._listed(folder) if has_wildcard else [part or "/"]:
            if has_wildcard and not matching(name):
                continue
            path = os.path.join(folder, name)
            whole = os.path.join(self._root, path)
            if os.path.isdir(whole):
                if any_folder:
                    self._refuse_loop(path)
                if has_wildcard and storage.is_workdir(whole):
                    continue
                if any_folder or rest:
                    yield from self._below(path, parts if any_folder else rest, folders)
                elif has_wildcard and path.lower().endswith(self._endings):
                    folders.append(path)
            elif os.path.lexists(whole) and (any_folder or not rest):
                if not os.path.exists(whole):
                    raise InputError(
                        f"{whole} is a link to {os.readlink(whole)}, which is not there; mend or "
                        "remove it"
                    )
                if not any_folder:
                    yield self._openable(path)

    def _openable(self, name: str) -> str:
        path = os.path.join(self._root, name)
        if not os.path.isfile(path):
            raise InputError(f"{path} is no file that can be read; remove it")
        return name

    def _listed(self, folder: str) -> list[str]:
        path = os.path.join(self._root, folder)
        try:
            return os.listdir(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise InputError(f"{path} can't be looked into: {error.strerror}") from error

    def _refuse_loop(self, folder: str) -> None:
        path = os.path.join(self._root, folder)
        if os.path.islink(path):
            target, above = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
            if os.path.commonpath([target, above]) == target:
                raise InputError(
                    f"{path} is a link to {target}, which it is in: its files would be read again "
                    "and again; remove it"
                )


class _InStore:
    """Looks for files in an object store."""

    def __init__(self, root: str, endings: tuple[str, ...]):
        self._root = root
        self._endings = endings

    def matching(self, pattern: str) -> list[str]:
        """Returns the names below the root that match a pattern, ascending."""
        wildcard = _PART.search(pattern)
        if wildcard is None:
            there = storage.exists(os.path.join(self._root, pattern))
            return [pattern] if there else []
        above = os.path.dirname(pattern[: wildcard.start()])
        below = storage.files_below(os.path.join(self._root, above).rstrip("/"))
        names = self._outside_workdirs([os.path.join(above, name) for name in below])
        matching = re.compile(_expression(pattern)).fullmatch
        found = [name for name in names if matching(name)]
        for name in set(names) - set(found):
            folder, file = os.path.split(name)
            if file[0] in "._" or not folder.lower().endswith(self._endings):
                continue
            if matching(folder) and not any(one.startswith(f"{folder}/") for one in found):
                raise _a_folder(self._root, folder)
        return found

    def _outside_workdirs(self, names: list[str]) -> list[str]:
        folders = [os.path.dirname(name) for name in names if storage.is_bound_by(name)]
        inside = tuple(
            f"{folder}/"
            for folder in folders
            if folder and storage.is_workdir(os.path.join(self._root, folder))
        )
        return [name for name in names if not name.startswith(inside)]


def _expression(pattern: str) -> str:
    """Returns a path pattern as a regular expression; every date must be the same day."""
    expression = ""
    for part in _PART.split(pattern):
        starts_a_name = not expression or expression.endswith(("/", _ANY_FOLDERS))
        if dated_paths.FIELD.fullmatch(part):
            field = part[1]
            first = f"(?P<{field}>" not in expression
            expression += f"(?P<{field}>{_FIELDS[field]})" if first else f"(?P={field})"
        elif part == "**/":
            expression += _ANY_FOLDERS
        elif part == "**":
            expression += f"{_ANY_FOLDERS}{_NOT_HIDDEN}[^/]+"
        elif part in ("*", "?"):
            expression += _NOT_HIDDEN if starts_a_name else ""
            expression += "[^/]" + part.replace("?", "")
        elif part.startswith("[") and part.endswith("]") and len(part) > 2:
            expression += _NOT_HIDDEN if starts_a_name else ""
            inside = part[1:-1].replace("\\", "\\\\")
            expression += "[" + ("^" + inside[1:] if inside[0] == "!" else inside) + "]"
        else:
            expression += re.escape(part)
    return expression
