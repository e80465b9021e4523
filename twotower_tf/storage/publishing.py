"""Folders that appear whole or not at all, and places to prepare them."""

import contextlib
import os
from collections.abc import Iterator

from twotower_tf.errors import JobError
from twotower_tf.storage.files import store_of
from twotower_tf.storage.locks import FileLock, ObjectLock, locked

STAGING = ".staging"
_LOCK = ".lock"


@contextlib.contextmanager
def scratch(target: str) -> Iterator[str]:
    """Gives an empty folder beside ``target`` to work in; removes it at the end.

    Only one process has it at a time. What a killed process left for the same target is cleaned
    up first. Beside a URL it is a URL, which the workers of other machines can write to.

    Raises:
        JobError: If another process has such a folder.
    """
    with _scratch(target) as (folder, _):
        yield folder


@contextlib.contextmanager
def staged(target: str, last: tuple[str, ...] = ()) -> Iterator[str]:
    """Gives an empty folder to fill; it is at ``target`` when the block ends, and not on an error.

    What stood at ``target`` is replaced whole; see ``scratch`` for leftovers. On a disk the folder
    is moved. On an object store its files are copied, those that stand for the whole at the end.

    Args:
        target: The folder.
        last: Names of the files by which readers tell that a folder is there, in their order.
    """
    with _scratch(target) as (folder, lock):
        yield folder
        lock.check()
        store_of(target).replace_folder(folder, target, last)


def has_leftovers(folder: str) -> bool:
    """Says whether a process is preparing something for a folder, or was killed when it did."""
    return store_of(folder).is_folder(os.path.join(folder, STAGING))


def clear_away(folder: str) -> None:
    """Removes what killed processes were preparing for a folder; what others prepare stays."""
    staging = os.path.join(folder, STAGING)
    for name in store_of(folder).names(staging):
        target = os.path.join(folder, name.removesuffix(_LOCK))
        if name.endswith(_LOCK):
            with contextlib.suppress(JobError), scratch(target):
                pass
    store_of(folder).remove_empty(staging)


@contextlib.contextmanager
def _scratch(target: str) -> Iterator[tuple[str, FileLock | ObjectLock]]:
    parent, name = os.path.split(target)
    place = os.path.join(parent, STAGING, name)
    store = store_of(target)
    store.make_lasting_folder(parent)
    with locked(f"{place}{_LOCK}", name) as lock:
        folder = lock.own(place)
        try:
            store.remove_folder(place)
            store.recover(place, target)
            store.make_folder(folder)
            yield folder, lock
        finally:
            store.remove_folder(folder)
