"""The keys of a configuration by what changing them touches.

A key says it where it is declared (``config.section.Touches``); one that says nothing goes with
the key that holds its section.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from twotower_tf.config import Config
from twotower_tf.config.registry import Registry
from twotower_tf.config.section import ByContents, Section, Touches, declared
from twotower_tf.storage import checksum


def values(
    config: Config, touching: Collection[Touches], without_defaults: bool = False
) -> dict[str, Any]:
    """Returns the keys of a configuration that touch something, as nested plain JSON values.

    A list of sections has a mapping for each, so that places stay; other sections without such a
    key are left out. Of a file of ids its checksum stands for its name.

    Args:
        config: The configuration.
        touching: Which keys are wanted.
        without_defaults: Leaves out what is as if nobody had said it.
    """
    return _Walk(frozenset(touching), without_defaults).of_section(config, None)


class _Walk:
    def __init__(self, touching: frozenset[Touches], without_defaults: bool):
        self._touching, self._without_defaults = touching, without_defaults

    def of_section(self, section: Section, inherited: Touches | None) -> dict:
        found = {}
        for key, field in type(section).model_fields.items():
            touches = declared(field) or inherited
            value = getattr(section, key)
            found |= dict(self._of_key(section, key, field, value, touches))
        return found

    def _of_key(
        self, section: Section, key: str, field: FieldInfo, value: Any, touches: Touches | None
    ) -> Iterator[tuple[str, Any]]:
        """Yields a key with its value, if it is wanted."""
        is_wanted = touches in self._touching
        if isinstance(value, Section):
            inner = self._of_one(value, touches, _default_kind(field))
            default = field.get_default(call_default_factory=True)
            is_usual = default is not None and not field.is_required()
            if inner or (is_wanted and not (self._without_defaults and is_usual)):
                yield key, inner
        elif _holds_sections(value):
            parts = _each(value, lambda one: self._of_one(one, touches, None))
            if any(_members(parts)) or is_wanted:
                yield key, parts
        elif is_wanted:
            plain = _plain(section, key, field)
            if not (self._without_defaults and plain == _plain_default(section, key, field)):
                yield key, plain

    def _of_one(self, section: Section, touches: Touches | None, default_kind: str | None) -> dict:
        inner = self.of_section(section, touches)
        kind = getattr(section, "kind", None)
        if self._without_defaults and kind is not None and touches in self._touching:
            # Each kind is the default of its own section: that says nothing of the key.
            inner.pop("kind", None)
            inner |= {} if kind == default_kind else {"kind": kind}
        return inner


def _is_file(field: FieldInfo, value: Any) -> bool:
    by_contents = any(isinstance(one, ByContents) for one in field.metadata)
    return isinstance(value, str) and by_contents


def _holds_sections(value: Any) -> bool:
    return isinstance(value, list | dict) and any(
        isinstance(one, Section) for one in _members(value)
    )


def _members(value: list | Mapping) -> Collection:
    return value.values() if isinstance(value, Mapping) else value


def _each(value: list | Mapping, of) -> list | dict:
    if isinstance(value, Mapping):
        return {name: of(one) for name, one in value.items()}
    return [of(one) for one in value]


def _default_kind(field: FieldInfo) -> str | None:
    return next((one.default for one in field.metadata if isinstance(one, Registry)), None)


def _plain(section: Section, key: str, field: FieldInfo) -> Any:
    value = getattr(section, key)
    if _is_file(field, value):
        return checksum(value)
    return section.model_dump(mode="json", include={key}, by_alias=False)[key]


def _plain_default(section: Section, key: str, field: FieldInfo) -> Any:
    if field.is_required():
        return _NONE
    default = field.get_default(call_default_factory=True)
    return section.model_copy(update={key: default}).model_dump(mode="json", include={key})[key]


# Of a key that must be given.
_NONE = object()
