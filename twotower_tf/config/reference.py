"""Makes docs/configuration.md of the sections themselves.

    python -m twotower_tf.config.reference > docs/configuration.md
    python -m twotower_tf.config.reference my_company.retrieval

``make docs`` does the first; a test holds the file to it. With modules of your own the page has
their kinds, too. What it says comes from here:

- of a section: its docstring
- of a key: the text below it, or ``Field(description=...)``; its first paragraph stands in the
  table, the others above what the key holds
- of what may stand there: the type's ``title``, or else what it is, and its bounds
"""

import ast
import inspect
import json
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from twotower_tf.config.deployment import Config
from twotower_tf.config.extensions import import_modules
from twotower_tf.config.registry import Registry
from twotower_tf.config.section import LARGEST, Section, Touches, declared

_INTRODUCTION = """\
# Configuration

<!-- Made by `make docs` of the texts in the code (twotower_tf.config.reference): edit those. -->

One YAML file describes a deployment: where the data is, the model, what a release must reach.
[configs/](../configs) has complete ones; the [README](../README.md) has a small one to start from.
It is validated before anything runs, and a mistake is one line with exit status 2:

```
error: configuration songs.yaml: loss: unknown key 'temprature'; did you mean 'temperature'? (allowed: kind, temperature)
```

`--set key.path=value` (repeatable) overrides any key of the file for one call; the value is YAML,
a list's element is addressed by its number:

```sh
--set loss.temperature=0.1 --set 'evaluation.at=[10, 100]' --set query.features.0.table=songs
```

**What may change later.** The last column of the tables says what changing a key touches. `nothing`:
it may change from one night to the next, and each day records what it was done with. `examples`: once
a work directory holds examples it refuses another value, `model`: once it holds a checkpoint; use a
new folder then. An unset key and its default are the same, and defaults that a newer version adds change
nothing. [storage.md](storage.md#what-a-work-directory-is-bound-to) has the rules.

In the tables, *required* keys have no default, and *none* means the key may be left out. A *number*
may be a fraction; where only bounds are given it is whole, and not above 2147483647. A section with
a `kind` takes the keys of that kind and no others. Keys are written as paths: `source.events.path` is

```yaml
source:
  events:
    path: plays/dt={date}/*.csv
```
"""  # noqa: E501  (the error is one line)
_ROW = "| {} | {} | {} | {} | {} |"
_TOUCHES = {None: "by key", **{touches: touches.value for touches in Touches}}


def reference() -> str:
    """Returns the page, of all that is registered."""
    page = _Page()
    lines = [_INTRODUCTION, "## Top level\n", *page.table(Config, Config.model_fields)]
    for key in Config.model_fields:
        lines += page.below(Config, key, key, "## {}", None)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


class _Page:
    """What was described so far, and what describes the rest."""

    def __init__(self):
        self._described: dict[object, str] = {}

    def below(
        self, owner: type[Section], key: str, path: str, heading: str, touches: Touches | None
    ) -> list[str]:
        """Describes the sections that a key holds; nothing if it holds none.

        Args:
            owner: The section with the key.
            key: Its name.
            path: Its path.
            heading: What stands above.
            touches: What keys of the owner touch that don't say it.
        """
        field = owner.model_fields[key]
        touches = declared(field) or touches
        registry, sections = _held(field)
        if not sections:
            return []
        lines = ["", heading.format(path), ""]
        what = registry or tuple(sections)
        if what in self._described:
            return [
                *lines,
                f"{_summary(owner, key)} Its keys are those of `{self._described[what]}`.",
            ]
        self._described[what] = path
        if typing.get_origin(field.annotation) is dict:
            path += ".<name>"
        said = _paragraphs(_text(owner, key))[1:]
        if all("kind" in section.model_fields for section in sections):
            return [*lines, *said, *self._kinds(sections, registry, path, touches)]
        for section in sections:
            described = self._section(section, path, touches)
            lines += [*_paragraphs(section.__doc__), *said, *described]
        return lines

    def table(
        self, section: type[Section], keys: typing.Iterable[str], touches: Touches | None = None
    ) -> list[str]:
        """Returns the rows of some keys; what they touch is as given where they don't say it."""
        rows = [
            _ROW.format(
                f"`{key}`",
                _type(field),
                _default(field),
                self._meaning(section, key, field),
                _TOUCHES[declared(field) or touches],
            )
            for key, field in section.model_fields.items()
            if key in keys
        ]
        head = _ROW.format("key", "type", "default", "meaning", "touches")
        return [head, _ROW.format(*["---"] * 5), *rows]

    def _meaning(self, section: type[Section], key: str, field: FieldInfo) -> str:
        link = f" See [{key}](#{key})." if section is Config and _held(field)[1] else ""
        return _summary(section, key) + link

    def _section(self, section: type[Section], path: str, touches: Touches | None) -> list[str]:
        lines = self._rows(section, path, touches)
        for key in section.model_fields:
            lines += self.below(section, key, f"{path}.{key}", "### `{}`", touches)
        return lines

    def _kinds(
        self,
        sections: Sequence[type[Section]],
        registry: Registry | None,
        path: str,
        touches: Touches | None,
    ) -> list[str]:
        default = registry.default if registry else None
        names = {
            section: section.model_fields["kind"].annotation.__args__[0] for section in sections
        }
        common = [
            key
            for key in sections[0].model_fields
            if _owner(sections[0], key) not in sections
            and len({_owner(section, key) for section in sections}) == 1
        ]
        kinds = ", ".join(f"`{name}`" for name in names.values())
        head, rule, *rows = self.table(sections[0], common, touches)
        said = (kinds, default or "required", "See below.", _TOUCHES[touches])
        kind = _ROW.format("`kind`", *said)
        lines = [head, rule, kind, *rows, ""]
        for section, name in names.items():
            first, *others = _paragraphs(section.__doc__) or [""]
            is_default = " (the default)" if name == default else ""
            lines += [f"**`kind: {name}`**{is_default}. {first}", *others]
            rows = self._rows(section, f"kind: {name}", touches, {*common, "kind"})
            lines += [*rows, ""]
        # A key that several kinds have of one base is one key.
        keys = {(_owner(one, key), key): one for one in sections for key in one.model_fields}
        for (_, key), section in keys.items():
            lines += self.below(section, key, f"{path}.{key}", "### `{}`", touches)
        return lines

    def _rows(
        self,
        section: type[Section],
        path: str,
        touches: Touches | None,
        known: set[str] = frozenset(),
    ) -> list[str]:
        """Returns the rows of a section, but for keys known of another with the same base."""
        own, elsewhere = [], {}
        for key in section.model_fields:
            owner = _owner(section, key)
            if key in known:
                continue
            if self._described.setdefault(owner, path) == path:
                own.append(key)
            else:
                elsewhere.setdefault(self._described[owner], []).append(f"`{key}`")
        lines = [f"As of `{there}`: {', '.join(keys)}.\n" for there, keys in elsewhere.items()]
        return lines + (self.table(section, own, touches) if own else [])


def _held(field: FieldInfo) -> tuple[Registry | None, list[type[Section]]]:
    """Returns the sections that a field may hold, and the registry that they are of, if one."""
    found = []
    for annotation, metadata in _parts(field.annotation, field.metadata):
        for one in metadata:
            if isinstance(one, Registry):
                return one, list(one.sections.values())
        if inspect.isclass(annotation) and issubclass(annotation, Section):
            found.append(annotation)
    return None, found


def _parts(annotation, metadata: Sequence = ()) -> Iterator[tuple[object, Sequence]]:
    """Yields an annotation, and all it is made of, each with what it is annotated with."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, *added = typing.get_args(annotation)
        metadata = [*metadata, *added]
    metadata = [
        part
        for one in metadata
        for part in ([one, *one.metadata] if isinstance(one, FieldInfo) else [one])
    ]
    yield annotation, metadata
    if typing.get_origin(annotation) is not typing.Literal:
        for part in typing.get_args(annotation):
            yield from _parts(part)


def _type(field: FieldInfo) -> str:
    if field.title:
        return field.title
    return _worded(field.annotation, field.metadata)


def _worded(annotation, metadata: Sequence) -> str:
    """Words a type: its title, its allowed words, what it is and its bounds."""
    ((annotation, metadata), *_) = _parts(annotation, metadata)
    titles = [one.title for one in metadata if isinstance(one, FieldInfo) and one.title]
    if titles:
        return titles[0]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        worded = [_worded(one, ()) for one in arguments if one is not types.NoneType]
        return " or ".join(dict.fromkeys(worded))
    if origin is typing.Literal:
        words = [f"`{one}`" if isinstance(one, str) else str(one) for one in arguments]
        return ", ".join(words) if isinstance(arguments[0], str) else " or ".join(words)
    if origin is dict:
        return f"name → {_worded(arguments[1], ())}"
    if origin is list:
        some = ", at least one" if any(isinstance(one, MinLen) for one in metadata) else ""
        element = _worded(arguments[0], ())
        return f"list of {'sections' if element == 'section' else element}{some}"
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return "section"
    word = {bool: "boolean", str: "text", float: "number"}.get(annotation, "")
    return ", ".join(filter(None, [word, _bounds(metadata)]))


def _bounds(metadata: Sequence) -> str:
    said = {type(one): one for one in metadata if isinstance(one, Ge | Gt | Le | Lt)}
    low = f"{said[Ge].ge:g}" if Ge in said else f"> {said[Gt].gt:g}" if Gt in said else ""
    if Le in said and said[Le].le != LARGEST:
        return f"{low} to {said[Le].le:g}"
    if Lt in said:
        return f"{low} to less than {said[Lt].lt:g}"
    return f"≥ {low}" if Ge in said else low


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if _held(field)[1] and default is not None and not isinstance(default, float):
        return "{}" if typing.get_origin(field.annotation) is dict else "section"
    if default is None or default == "":
        return "none"
    return default if isinstance(default, str) else json.dumps(default)


def _owner(section: type[Section], key: str) -> type[Section] | None:
    """Returns the class that defines a key, of a section and its bases; None if it has no such."""
    owners = (one for one in section.__mro__ if key in vars(one).get("__annotations__", {}))
    return next(owners, None)


def _summary(section: type[Section], key: str) -> str:
    return " ".join(" ".join(_paragraphs(_text(section, key))[:1]).split())


def _text(section: type[Section], key: str) -> str:
    """Returns what is said of a key: its description, or the text below it."""
    description = section.model_fields[key].description
    if description:
        return description
    owner = _owner(section, key)
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    for statement, below in zip(body.body, body.body[1:], strict=False):
        is_key = isinstance(statement, ast.AnnAssign) and statement.target.id == key
        if is_key and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            return below.value.value
    return ""


def _paragraphs(text: str | None) -> list[str]:
    """Returns the paragraphs of a docstring as Markdown, each with an empty line after it."""
    clean = re.sub(r"(?<!`)``(?!`)", "`", inspect.cleandoc(text or ""))
    return [f"{part}\n" for part in clean.split("\n\n") if part]


if __name__ == "__main__":
    import_modules(sys.argv[1:])
    sys.stdout.write(reference())
