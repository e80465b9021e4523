"""What a section with a ``kind`` may be: an open list, to which a user's own package adds."""

import importlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from twotower_tf.config.section import Section, nearest, shown


def named(value: Any) -> Any:
    """Lets the name of a kind stand for a section that says no more."""
    return {"kind": value} if isinstance(value, str) else value


class Registry:
    """The kinds of one thing by name: for each the section it takes, and what is made of it.

    A section is a subclass of ``Section`` with ``kind: Literal["its_name"]``, and light: reading a
    configuration must not load TensorFlow. What makes something of it is a class with
    ``from_section(section, ...)`` or a function of the same arguments; or where that is, as
    ``"module:name"``: the module is imported when the first one is made.

    Args:
        what: What one is called in messages, such as ``loss``.
        built_in: The module that registers ours; it is imported when the registry is first asked.
        default: The kind of a section that names none; None: each must.

    >>> from typing import Literal
    >>> shapes = Registry("shape")
    >>> @shapes.made_by(lambda section: 3.14 * section.radius**2)
    ... class Circle(Section):
    ...     kind: Literal["circle"] = "circle"
    ...     radius: float = 1.0
    >>> shapes.make(shapes.parse({"kind": "circle", "radius": 2}))
    12.56
    """

    def __init__(self, what: str, built_in: str | None = None, default: str | None = None):
        self.what = what
        self.default = default
        self._built_in = built_in
        self._sections: dict[str, type[Section]] = {}
        self._made_by: dict[str, Callable | str] = {}

    def add(self, section: type[Section], made_by: Callable | str) -> None:
        """Adds a kind.

        Raises:
            ValueError: If the section has no ``kind: Literal[...]`` of one name, or another
                section already has that name.
        """
        field = section.model_fields.get("kind")
        names = getattr(field and field.annotation, "__args__", ())
        if len(names) != 1:
            raise ValueError(f'{section.__name__} needs a field kind: Literal["its_name"]')
        (name,) = names
        self._load_built_in()
        known = self._sections.get(name, section)
        if (known.__module__, known.__qualname__) != (section.__module__, section.__qualname__):
            raise ValueError(f"the {self.what} '{name}' is already {known.__qualname__}")
        self._sections[name], self._made_by[name] = section, made_by

    def made_by(self, maker: Callable | str) -> Callable:
        """Returns a decorator that adds the section it decorates."""

        def add(section: type[Section]) -> type[Section]:
            self.add(section, maker)
            return section

        return add

    @property
    def sections(self) -> dict[str, type[Section]]:
        """The section of each kind by name, in the order they were added."""
        self._load_built_in()
        return dict(self._sections)

    def implementation(self, kind: str) -> Callable:
        """Returns what makes things of a kind; its module is imported if need be."""
        self._load_built_in()
        made_by = self._made_by[kind]
        if isinstance(made_by, str):
            module, _, name = made_by.partition(":")
            made_by = self._made_by[kind] = getattr(importlib.import_module(module), name)
        return made_by

    def make(self, section: Section, *args, **kwargs):
        """Returns what a section describes."""
        maker = self.implementation(section.kind)
        return getattr(maker, "from_section", maker)(section, *args, **kwargs)

    def parse(self, value: Any) -> Any:
        """Returns the section that values describe, by their ``kind``.

        Raises:
            ValueError: For a kind that nothing is registered by; names the nearest.
        """
        if isinstance(value, Section):
            return value
        if not isinstance(value, Mapping):
            first = next(iter(self.sections))
            like = value if isinstance(value, str) and value in self.sections else first
            raise ValueError(
                f"must be a section, such as {{kind: {like}}}, got {shown(value)} "
                f"(kinds: {', '.join(self.sections)})"
            )
        kind = value.get("kind", self.default)
        sections = self.sections
        if not isinstance(kind, str) or kind not in sections:
            given = "no kind" if kind is None else f"unknown kind {kind!r}"
            hint = nearest(str(kind), sections)
            raise ValueError(f"{given}{hint} (allowed: {', '.join(sections)})")
        return sections[kind].model_validate({**value, "kind": kind})

    @property
    def section(self) -> Any:
        """The type of a field of the configuration that holds one of these sections."""
        # The registry itself is for those who read the configuration's types, not for pydantic.
        return Annotated[SerializeAsAny[Section], BeforeValidator(self.parse), self]

    def _load_built_in(self) -> None:
        if self._built_in is not None:
            module, self._built_in = self._built_in, None
            importlib.import_module(module)
