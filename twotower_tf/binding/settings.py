"""The settings of a day: what may change from one night to the next, and what changed when.

A job records those that it went by with what it measured of a day (``settings``), without what is
at its default. ``changes`` tells what a day was done with that the day before was not.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from twotower_tf.binding.keys import values
from twotower_tf.config import Config
from twotower_tf.config.section import Touches

# The sections that jobs go by, as far as their keys may change.
OF_BUILD = ("examples",)
OF_TRAINING = ("statistics", "loss", "negatives", "self_supervised", "optimizer", "training")
OF_RANKING = ("ranking",)
OF_RELEASE = ("selection", "embedding", "index", "nominators", "blend", "gates", "evaluation")
# Where they are kept and shown does not make a model.
_NO_MATTER = ("keep_checkpoints", "tensorboard")


class Change(NamedTuple):
    """A key that a day was done with another value of than the day before.

    Attributes:
        day: The first day with the new value.
        key: Its path.
        before: The old value; None: the default.
        now: The new value, likewise.
    """

    day: datetime.date
    key: str
    before: Any
    now: Any


def settings(config: Config, sections: Sequence[str]) -> dict[str, Any]:
    """Returns the keys of sections that may change at any time, by path, without defaults."""
    told = values(config, [Touches.NOTHING], without_defaults=True)
    chosen = {name: told[name] for name in sections if name in told}
    return {
        key: value for key, value in _leaves(chosen) if key.rpartition(".")[2] not in _NO_MATTER
    }


def changes(days: Iterable[tuple[datetime.date, Mapping[str, Any] | None]]) -> list[Change]:
    """Returns what changed from each day to the next, oldest first.

    Args:
        days: Ascending, with the settings of each; None of a day that has none recorded, which is
            passed over.
    """
    found: list[Change] = []
    before: Mapping[str, Any] | None = None
    for day, now in days:
        if now is None:
            continue
        if before is not None:
            keys = sorted(set(before) | set(now))
            pairs = [(key, before.get(key), now.get(key)) for key in keys]
            found += [Change(day, *pair) for pair in pairs if pair[1] != pair[2]]
        before = now
    return found


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value
