"""What differs between the keys that a work directory was made with and those of a configuration.

An unset key and its default are the same, also one that a newer version of the package added.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from twotower_tf.binding.keys import values
from twotower_tf.config import Config
from twotower_tf.config.section import Touches

UNSET = "unset"


class Difference(NamedTuple):
    """A key that binds, and was changed.

    Attributes:
        key: Its path, such as ``tables.items.dim``.
        before: What it was.
        now: What it is; of both ``UNSET`` where it was not given, and had no default.
        touches: What it touches.
    """

    key: str
    before: Any
    now: Any
    touches: Touches


def differences(before: Mapping, config: Config) -> list[Difference]:
    """Returns the keys that touch something and differ, those of the examples first.

    Args:
        before: What touched something in the configuration before, by what it touches, each as
            ``keys.values`` gives it.
        config: The configuration now.
    """
    found = []
    for touches in (Touches.EXAMPLES, Touches.MODEL):
        now, said = values(config, [touches]), values(config, [touches], without_defaults=True)
        for key, old, new in _differing(before.get(touches.value, {}), now, said):
            found.append(Difference(key, old, new, touches))
    return found


def _differing(before: Any, now: Any, said: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields path, old value and new value.

    Args:
        before: The old value.
        now: The new value.
        said: The same without its defaults, ``UNSET`` where it is a default as a whole.
        path: Of both.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        if "kind" in before and "kind" in now and before["kind"] != now["kind"]:
            yield f"{path}.kind", before["kind"], now["kind"]
            return
        for key in sorted(set(before) | set(now)):
            below = f"{path}.{key}" if path else key
            inner = said.get(key, UNSET) if isinstance(said, Mapping) else UNSET
            yield from _of_key(before.get(key, UNSET), now.get(key, UNSET), inner, below)
    elif _are_sections(before) and _are_sections(now) and len(before) == len(now):
        for place, (old, new) in enumerate(zip(before, now, strict=True)):
            inner = said[place] if isinstance(said, list) and len(said) == len(now) else UNSET
            yield from _differing(old, new, inner, f"{path}[{place}]")
    elif before != now:
        yield path, before, now


def _of_key(before: Any, now: Any, said: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, str) and before == UNSET:
        if isinstance(said, str) and said == UNSET:
            return  # Nobody says it, then as now.
        if isinstance(now, Mapping):
            # A section that only its key makes a difference is named as a whole.
            yield from list(_differing({}, now, said, path)) or [(path, before, now)]
            return
    if isinstance(now, str) and now == UNSET and before in (None, [], {}):
        return
    yield from _differing(before, now, said, path)


def _are_sections(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)
