"""Items that may not come whatever the catalogue says: withdrawn for a reason, lifted by name.

They are the work directory's, not a release's: builds, refreshes and older releases that are made
current again all leave them out. Each call writes a file of its own below ``withdrawals/``, and
what holds now is what all of them say, oldest first: two processes can't lose each other's.
"""

import dataclasses
import datetime
import os
import uuid
from collections.abc import Collection, Sequence

from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir, names, read_json, write_json

KIND = "withdrawals"


@dataclasses.dataclass(frozen=True)
class Withdrawal:
    """An item that may not come.

    Attributes:
        item_id: The item.
        time: When it was withdrawn, in ISO format (UTC).
        reason: Why, in the words of who withdrew it; may be empty.
    """

    item_id: str
    time: str
    reason: str


def read_withdrawals(workdir: Workdir) -> dict[str, Withdrawal]:
    """Returns what is withdrawn now, by item id, in the order in which it was."""
    folder = workdir.path(KIND)
    held: dict[str, Withdrawal] = {}
    # Names begin with the time.
    for name in sorted(name for name in names(folder) if name.endswith(".json")):
        said = read_json(os.path.join(folder, name))
        for item_id in said["lifted"]:
            held.pop(item_id, None)
        for item_id in said["withdrawn"]:
            held.setdefault(item_id, Withdrawal(item_id, said["time"], said["reason"]))
    return held


def withdraw(workdir: Workdir, item_ids: Collection[str], reason: str = "") -> list[str]:
    """Withdraws items; returns those that were not withdrawn yet, ascending."""
    new = sorted(set(item_ids) - read_withdrawals(workdir).keys())
    if new:
        _write(workdir, {"withdrawn": new, "lifted": [], "reason": reason})
    return new


def lift(workdir: Workdir, item_ids: Sequence[str]) -> None:
    """Lets withdrawn items come again, from the next refresh or build on.

    Raises:
        InputError: If one is not withdrawn; then none is lifted.
    """
    held = read_withdrawals(workdir)
    for item_id in item_ids:
        if item_id not in held:
            raise InputError(
                f"--lift: item '{item_id}' is not withdrawn in {workdir.path(KIND)}; "
                f"withdrawn are {', '.join(list(held)[:10]) or 'none'}"
            )
    if item_ids:
        _write(workdir, {"withdrawn": [], "lifted": sorted(set(item_ids)), "reason": ""})


def _write(workdir: Workdir, said: dict) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    # Two calls may be of one microsecond.
    name = f"{now:%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}.json"
    write_json(workdir.path(KIND, name), {"time": now.isoformat(timespec="seconds"), **said})
