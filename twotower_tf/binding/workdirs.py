"""Binds a work directory to a configuration: ``configuration.json``, checked and kept.

What binds are the keys that touch what is there: those of the examples once there are some, those
of a model once it has a checkpoint. All others may change from one call to the next.
"""

import json

from twotower_tf.binding.differences import UNSET, Difference, differences
from twotower_tf.binding.keys import values
from twotower_tf.binding.migrations import SCHEMA, current
from twotower_tf.config import Config
from twotower_tf.config.section import Touches
from twotower_tf.errors import InputError
from twotower_tf.storage import (
    CHECKPOINTS,
    EXAMPLES,
    RANKING,
    RANKING_CHECKPOINTS,
    SIZES,
    Workdir,
    read_json,
    remove,
    write_json,
)

_LONGEST_VALUE = 80
# Sections of which one of the models knows nothing.
_OF_RETRIEVAL, _OF_RANKING = "estimator.", "ranking."


def bind(workdir: Workdir, config: Config) -> None:
    """Binds a work directory to a configuration, and checks what is there against it.

    Raises:
        InputError: If a key differs that something there was made with; says which, the old value
            and the new one, and what would be right. Or if a newer version of the package made it.
    """
    bound = {"schema": SCHEMA} | {
        touches.value: values(config, [touches]) for touches in (Touches.EXAMPLES, Touches.MODEL)
    }
    path = workdir.configuration
    known = _read(path)
    if known is None:
        write_json(path, bound)
        return
    before = current(known, config, path)
    found = differences(before, config)
    refused = [one for one in found if _is_made_with(workdir, one)]
    if refused:
        raise InputError(_refusal(workdir, refused))
    if any(one.touches is Touches.MODEL for one in found):
        _forget_sizes(workdir)
    if found or before != known:
        write_json(path, bound if found else before)


def _forget_sizes(workdir: Workdir) -> None:
    """Lets sizes be chosen anew where no model was started by them."""
    for kind, checkpoints in ((EXAMPLES, CHECKPOINTS), (RANKING, RANKING_CHECKPOINTS)):
        if not workdir.days(checkpoints):
            remove(workdir.path(SIZES[kind]))


def _read(path: str) -> dict | None:
    try:
        known = read_json(path)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): put a copy of it back") from error
    if not isinstance(known, dict | None):
        raise InputError(f"{path} is damaged (it holds no keys): put a copy of it back")
    return known


def _is_made_with(workdir: Workdir, one: Difference) -> bool:
    """Says whether something in the work directory was made with the old value of a key."""
    kinds = {CHECKPOINTS, RANKING_CHECKPOINTS}
    if one.touches is Touches.EXAMPLES:
        kinds.add(EXAMPLES)
    elif one.key.startswith(_OF_RANKING):
        kinds = {RANKING_CHECKPOINTS}
    elif one.key.startswith(_OF_RETRIEVAL):
        kinds = {CHECKPOINTS}
    return any(workdir.days(kind) for kind in kinds)


def _refusal(workdir: Workdir, refused: list[Difference]) -> str:
    first, *others = refused
    made, remedy = "examples were", "build into a new folder"
    if first.touches is Touches.MODEL:
        made, remedy = "model was", "train a new model in a new folder"
    more = ""
    if others:
        names = ", ".join(one.key for one in others[:2])
        more = f" ({names}{' and others' if len(others) > 2 else ''} differ, too)"
    return (
        f"--workdir={workdir.root}: {first.key} is {_shown(first.now)}, and the {made} made with "
        f"{_shown(first.before)}{more}: go on with that, or {remedy}"
    )


def _shown(value) -> str:
    text = value if value == UNSET else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 4]} ..."
