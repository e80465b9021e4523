"""What a closed loop compares: its arms, and the platform they run on.

No TensorFlow here: a wrong flag is to be told at once.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

# Nothing is released before the first day, so only the second one differs.
LEAST_DAYS = 2
PLAN_FILE = "closed_loop_plan.json"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of the systems that are compared, with users of its own.

    Attributes:
        name: Of its folder and in tables: that of its file, with a number if there are several.
        config: What it trains and releases.
    """

    name: str
    config: Config


def read_arms(paths: Sequence[str], overrides: Sequence[str] = ()) -> list[Arm]:
    """Reads a configuration an arm; the same one twice makes two arms that should not differ.

    Args:
        paths: YAML files, at least two.
        overrides: ``key.path=value``, for every arm.

    Raises:
        InputError: If there are fewer than two, or one is wrong.
    """
    if len(paths) < 2:
        raise InputError("--arms: give at least two configurations, separated by commas")
    arms: list[Arm] = []
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        same = sum(os.path.splitext(os.path.basename(one))[0] == stem for one in paths[: len(arms)])
        arms.append(Arm(f"{stem}-{same + 1}" if same else stem, load_config(path, overrides)))
    return arms


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raises InputError if the loop is too short for the arms to differ, or shows nothing."""
    if sizes["days"] < LEAST_DAYS:
        raise InputError(
            f"--days={sizes['days']}: give at least {LEAST_DAYS}: on the first day nothing is "
            "released yet, and all arms show the same"
        )
    if sizes["pages_per_day"] < 1:
        raise InputError("--pages_per_day=0: give at least 1: arms differ in what their pages show")


def bind(folder: str, arms: Sequence[Arm], sizes: Mapping[str, int]) -> None:
    """Notes in a folder what is run in it.

    Raises:
        InputError: If something else was run there; says what differs.
    """
    plan = {
        **{f"--{name}": value for name, value in sizes.items()},
        "--arms": [arm.name for arm in arms],
        **{
            f"configuration of {arm.name}": arm.config.model_dump(mode="json", by_alias=True)
            for arm in arms
        },
    }
    path = os.path.join(folder, PLAN_FILE)
    known = storage.read_json(path)
    if known is None:
        storage.write_json(path, plan)
    elif known != plan:
        keys = dict.fromkeys([*plan, *known])
        differing = ", ".join(key for key in keys if known.get(key) != plan.get(key))
        raise InputError(f"{folder} was begun with another {differing}; give a new --out")
