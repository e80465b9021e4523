"""Which files belong together, and the path pattern that names them: ``{date}``, wildcards."""

import dataclasses
import datetime
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from twotower_tf import storage
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.path_patterns import matches
from twotower_tf.discovery.layouts import FileLayout, layout_of
from twotower_tf.errors import InputError

_FIRST_YEAR, _LAST_YEAR = 1990, 2100
_FEW_FILES = 8
# Days in paths, the plainest form first.
_DATES = tuple(
    re.compile(expression)
    for expression in (
        r"(?<!\d)(?P<Y>\d{4})(?P<a>-)(?P<m>\d{2})(?P<b>-)(?P<d>\d{2})(?!\d)",
        r"(?<=year=)(?P<Y>\d{4})(?P<a>/month=)(?P<m>\d{2})(?P<b>/day=)(?P<d>\d{2})(?!\d)",
        r"(?<!\d)(?P<Y>\d{4})(?P<a>/)(?P<m>\d{2})(?P<b>/)(?P<d>\d{2})(?!\d)",
        r"(?<!\d)(?P<Y>\d{4})(?P<a>_)(?P<m>\d{2})(?P<b>_)(?P<d>\d{2})(?!\d)",
        r"(?<!\d)(?P<Y>\d{4})(?P<a>)(?P<m>\d{2})(?P<b>)(?P<d>\d{2})(?!\d)",
    )
)
# Stand for year, month and day while paths are compared; no path has these characters.
_FIELDS = re.compile("\0Y(.*?)\0m(.*?)\0d")
_COUNTED = re.compile(r"(?<!\0)(?:[0-9a-f]{8}-[0-9a-f-]{9,}|[0-9a-f]{16,}|\d+)")
_WILDCARDS = re.compile(r"[?\[]")
_ENDINGS = re.compile(r"(\.[A-Za-z]\w*)(\.(?:gz|bz2|xz|zst))?$")


@dataclasses.dataclass(frozen=True)
class FileGroup:
    """Files that hold records of one kind.

    Attributes:
        dated: The path pattern, with ``{date}`` where the paths have days.
        undated: The same with wildcards in place of the day; as ``dated`` if there is none.
        files: The files, by path, each with its day and layout.
        layout: How they are written.
        bytes: The size of all of them.
    """

    dated: str
    undated: str
    files: tuple[SourceFile, ...]
    layout: FileLayout
    bytes: int

    @property
    def days(self) -> list[datetime.date]:
        """The days of the paths, ascending, each once."""
        return sorted({file.day for file in self.files if file.day is not None})

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.dated


@dataclasses.dataclass(frozen=True)
class _Alike:
    """Files whose names differ by days and counters alone."""

    names: list[str]
    dated: list[str]
    days: list[datetime.date | None]
    layout: FileLayout


def find_groups(root: str) -> tuple[list[FileGroup], dict[str, str]]:
    """Returns the groups of files below a folder, and the files that are none with the reason.

    Hidden files, and work directories, are passed over as ``path_patterns`` does.

    Args:
        root: A folder or URL.

    Raises:
        InputError: If there is no such folder, it has no file, or one of them can't be opened.
    """
    if not storage.is_folder(root):
        raise InputError(f"--source={root}: there is no such folder")
    paths = sorted(path for path, _ in matches(root, "**/*", (".parquet",)))
    names = [
        os.path.relpath(path, root) if not storage.is_url(root) else path[len(root) + 1 :]
        for path in paths
    ]
    if not names:
        raise InputError(f"--source={root}: there is no file in it")
    known, passed_over = [], {}
    for some in _of_one_layout(root, names):
        layout = layout_of(os.path.join(root, some[0]))
        if isinstance(layout, str):
            passed_over[some[0]] = layout
            continue
        dated, days = zip(*map(_with_fields, some), strict=True)
        known.append(_Alike(some, list(dated), list(days), layout))
    merged = _merged(known, names)
    return [_group(root, _with_days_to_come(one, names)) for one in merged], passed_over


def _of_one_layout(root: str, names: Sequence[str]) -> Iterator[list[str]]:
    """Yields names that differ by days and counters alone; by days, if the files are not alike."""
    alike: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        dated = _with_fields(name)[0]
        alike[_COUNTED.sub("*", dated)][dated].append(name)
    for _, counted in sorted(alike.items()):
        firsts = [some[0] for some in counted.values()]
        # Of many files the first two are believed: to open each would take too long.
        few = firsts if len(firsts) <= _FEW_FILES else firsts[:2]
        layouts = [layout_of(os.path.join(root, name)) for name in few]
        if all(layout == layouts[0] or _is_json(layout) for layout in layouts):
            yield sorted(name for some in counted.values() for name in some)
        else:
            yield from counted.values()


def _is_json(layout: FileLayout | str) -> bool:
    return not isinstance(layout, str) and layout.format == "jsonl"


def _with_fields(name: str) -> tuple[str, datetime.date | None]:
    """Returns a path with fields in place of its day, and the day."""
    for expression in _DATES:
        for match in expression.finditer(name):
            try:
                day = datetime.date(int(match["Y"]), int(match["m"]), int(match["d"]))
            except ValueError:
                continue
            if _FIRST_YEAR <= day.year < _LAST_YEAR:
                fields = f"\0Y{match['a']}\0m{match['b']}\0d"
                return name.replace(match[0], fields), day
    return name, None


def _merged(known: Sequence[_Alike], names: Sequence[str]) -> list[_Alike]:
    """Joins those of the same columns whose common pattern names no other file."""
    merged: list[_Alike] = []
    for one in known:
        for place, other in enumerate(merged):
            both = _Alike(
                other.names + one.names, other.dated + one.dated, other.days + one.days, one.layout
            )
            if _may_be_one(other, one) and _names_only(both, names):
                merged[place] = both
                break
        else:
            merged.append(one)
    return merged


def _with_days_to_come(alike: _Alike, names: Sequence[str]) -> _Alike:
    """Puts a wildcard for the counter of a day's files: tomorrow there may be more of them."""
    if alike.days[0] is None:
        return alike
    dated = []
    for name in alike.dated:
        folder, slash, file = name.rpartition("/")
        dated.append(folder + slash + _COUNTED.sub("*", file))
    open_ended = dataclasses.replace(alike, dated=dated)
    return open_ended if _names_only(open_ended, names) else alike


def _may_be_one(one: _Alike, other: _Alike) -> bool:
    columns, others = set(one.layout.columns), set(other.layout.columns)
    if one.layout.format == "jsonl":
        same = len(columns & others) >= 0.8 * len(columns | others)
    else:
        same = one.layout == other.layout
    no_header = one.layout.layout.header is not None
    same_ending = _ending(one.names[0]) == _ending(other.names[0])
    has_day = (one.days[0] is None) == (other.days[0] is None)
    return same and same_ending and has_day and not no_header and len(columns) > 1


def _ending(name: str) -> str:
    found = _ENDINGS.search(name)
    return found[0] if found else ""


def _names_only(alike: _Alike, names: Sequence[str]) -> bool:
    pattern = _pattern(alike.dated)
    if pattern is None:
        return False
    expression = "".join(
        "[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", pattern)
    )
    expression = re.sub(
        "(?:\\\\?\0)([Ymd])", lambda m: r"\d{4}" if m[1] == "Y" else r"\d{2}", expression
    )
    return {one for one in names if re.fullmatch(expression, one)} <= set(alike.names)


def _pattern(names: Sequence[str]) -> str | None:
    """Returns the pattern of paths, wildcards where they differ; None: of different depth."""
    parts = [name.split("/") for name in dict.fromkeys(names)]
    if len({len(one) for one in parts}) > 1:
        return None
    return "/".join(map(_common, zip(*parts, strict=True)))


def _common(parts: Sequence[str]) -> str:
    start = _start(parts)
    if len(set(parts)) == 1:
        return start
    rest = [part[len(start) :] for part in parts]
    end = _start([part[::-1] for part in rest])[::-1]
    if "\0d" in end and "\0Y" not in end:
        end = end[end.rfind("\0d") + 2 :]
    return f"{start}*{end}"


def _start(texts: Sequence[str]) -> str:
    """Returns what all texts begin with."""
    first, last = min(texts), max(texts)
    length = next(
        (place for place, character in enumerate(first) if character != last[place : place + 1]),
        len(first),
    )
    return first[:length]


def _group(root: str, alike: _Alike) -> FileGroup:
    literal = [_WILDCARDS.sub(lambda match: f"[{match[0]}]", name) for name in alike.dated]
    pattern = _pattern(literal)
    dated = _FIELDS.sub(_braces, pattern)
    undated = _FIELDS.sub(lambda match: _wild(match[0]), pattern)
    in_order = sorted(zip(alike.names, alike.days, strict=True))
    if len(alike.names) == 1:
        undated = alike.names[0]
    layout = alike.layout
    files = tuple(
        SourceFile(os.path.join(root, name), layout.format, day, layout.layout)
        for name, day in in_order
    )
    size = sum(storage.size(file.path) for file in files)
    return FileGroup(dated, undated, files, layout, size)


def _braces(fields: re.Match) -> str:
    first, second = fields[1], fields[2]
    return "{date}" if first == second == "-" else f"{{date:%Y{first}%m{second}%d}}"


def _wild(fields: str) -> str:
    return "/".join("*" for _ in fields.split("/"))
