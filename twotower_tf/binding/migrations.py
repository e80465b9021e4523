"""Versions of ``configuration.json``, and the way from each to the next.

A version's form never changes once work directories have it. To change it, raise ``SCHEMA``, add a
function to ``_STEPS`` and a work directory of the version before to ``tests/binding/workdirs``.

Version 0, without a number, held the sections that bound a work directory then, as they were
dumped: with what may now change. Version 1 holds the keys by what they touch:
``{"schema": 1, "examples": {...}, "model": {...}}``, each with all its values, also the defaults.
"""

import copy
from collections.abc import Callable

from twotower_tf.binding.keys import values
from twotower_tf.config import Config
from twotower_tf.config.section import Touches
from twotower_tf.errors import InputError

SCHEMA = 1


def current(bound: dict, config: Config, path: str) -> dict:
    """Returns what a ``configuration.json`` says in the form of this version.

    Args:
        bound: What it says.
        config: What opens the work directory now.
        path: The file, for messages.

    Raises:
        InputError: If a newer version of the package wrote it.
    """
    version = bound.get("schema", 0)
    if not isinstance(version, int) or version > SCHEMA:
        raise InputError(
            f"{path} has the schema {version}, and this version of the package knows those up to "
            f"{SCHEMA}: use the version that wrote it, or a newer one"
        )
    for step in _STEPS[version:]:
        bound = step(bound, config)
    return bound


def _by_what_is_touched(bound: dict, config: Config) -> dict:
    """From 0 to 1.

    What is bound today is sorted out of the old sections, by the keys of the configuration; what
    version 0 bound, and today may change, is left behind. It did not hold how the ranking model
    is built: the checkpoints did, and it is taken to be as now.
    """
    sections = copy.deepcopy(bound)
    parts = {}
    for touches in (Touches.EXAMPLES, Touches.MODEL):
        others = [one for one in Touches if one is not touches]
        parts[touches.value] = _less(sections, values(config, others), values(config, [touches]))
    ranking = values(config, [Touches.MODEL]).get("ranking")
    if ranking is not None and "ranking" in bound:
        parts[Touches.MODEL.value]["ranking"] = ranking
    return {"schema": 1, **parts}


def _less(given, others, wanted):
    """Returns values without the keys that are only among others, or that only they have left."""
    if isinstance(given, dict) and isinstance(others, dict):
        wanted = wanted if isinstance(wanted, dict) else {}
        kept = {}
        for key, value in given.items():
            if key in others and key not in wanted:
                continue
            kept[key] = _less(value, others.get(key), wanted.get(key))
        return kept
    if isinstance(given, list) and isinstance(others, list) and len(given) == len(others):
        wanted = wanted if isinstance(wanted, list) else [None] * len(given)
        return [_less(*each) for each in zip(given, others, wanted, strict=True)]
    return given


# The n-th leads from version n to the next.
_STEPS: list[Callable[[dict, Config], dict]] = [_by_what_is_touched]
