"""What histories keep of one user at the end of a day."""

from collections.abc import Sequence

from twotower_tf.examples.users.histories import OwnItem, find_users, own_items
from twotower_tf.examples.users.history_rows import SEARCHES, SHOWN, TRAITS, schema_of
from twotower_tf.storage import Partition, Workdir


def find_history(
    workdir: Workdir, partition: Partition, user_id: str
) -> tuple[list[str], list[int]]:
    """Returns item ids and Unix seconds, empty without a history."""
    row = _row(workdir, partition, user_id)
    return (row["item_ids"], row["timestamps"]) if row else ([], [])


def find_traits(
    workdir: Workdir, partition: Partition, user_id: str, traits: Sequence[str]
) -> dict[str, list]:
    """Returns what else is kept of each item of a history, by trait."""
    row = _row(workdir, partition, user_id, traits=traits)
    return {trait: row[TRAITS[trait][0]] if row else [] for trait in traits}


def find_searches(workdir: Workdir, partition: Partition, user_id: str) -> list[str]:
    """Returns the last queries."""
    row = _row(workdir, partition, user_id, has_searches=True)
    return row[SEARCHES[0][0]] if row else []


def find_shown(workdir: Workdir, partition: Partition, user_id: str) -> tuple[list, ...]:
    """Returns the items shown last, when, and when a click of each was known (0: never)."""
    row = _row(workdir, partition, user_id, has_shown=True)
    return tuple(row[name] if row else [] for name, _ in SHOWN)


def find_own_items(workdir: Workdir, partition: Partition, user_id: str) -> list[OwnItem]:
    """Returns the own items, as examples have them."""
    row = _row(workdir, partition, user_id, has_own=True)
    return own_items(row) if row else []


def _row(workdir: Workdir, partition: Partition, user_id: str, **schema) -> dict | None:
    (row,) = find_users(workdir, partition, [user_id], schema_of(**schema))
    return row
