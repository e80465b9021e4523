"""What operators do to published releases: promote, roll back, prune.

TensorFlow Serving serves the largest version, and a reader may be in the middle of any of them.
So no folder is renamed or changed: an older release becomes current by being published again,
under a new version, its files hard-linked where the file system can.
"""

import dataclasses
import datetime
import os
import shutil
from collections.abc import Collection

from twotower_tf import storage
from twotower_tf.errors import InputError
from twotower_tf.indexing.candidates import embedding_files
from twotower_tf.indexing.candidates.withdrawals import read_withdrawals
from twotower_tf.releases.releases import (
    RELEASE_FILE,
    Release,
    list_releases,
    publish_version,
    releases_folder,
    require_current,
    version_after,
)
from twotower_tf.storage import Workdir
from twotower_tf.storage.whole_files import link_file


def find_release(workdir: Workdir, model_name: str, version: str) -> Release:
    """Returns a release by its version.

    Raises:
        InputError: If there is none; names those there are.
    """
    known = list_releases(workdir, model_name)
    for release in known:
        if release.version == version:
            return release
    require_current(workdir, model_name)
    versions = ", ".join(release.version for release in known[-10:])
    raise InputError(f"there is no release {version} of '{model_name}'; there are {versions}")


def promote(workdir: Workdir, model_name: str, version: str) -> Release:
    """Makes a release the current one, and returns it.

    The current release stays as it is; any other is published again with the next free version,
    its ``release.json`` saying ``republished_from``, without what was withdrawn since.

    Raises:
        InputError: If there is no such release.
    """
    release = find_release(workdir, model_name, version)
    current = require_current(workdir, model_name)
    if release.origin == current.origin:
        return current
    folder = releases_folder(workdir, model_name)

    withdrawn = read_withdrawals(workdir)

    def save(staging: str) -> None:
        with storage.read_on_disk(release.path) as folder:
            _copy_without(dataclasses.replace(release, path=folder), staging, withdrawn)

    metadata = {**release.metadata, "republished_from": release.origin}
    return publish_version(folder, model_name, version_after(folder), release.day, save, metadata)


def _copy_without(release: Release, folder: str, withdrawn: Collection[str]) -> None:
    """Copies a release on disk; its withdrawn items, if it has any, can't come any more."""
    if withdrawn:
        # TensorFlow takes seconds to import, and lists are without it.
        from twotower_tf.releases.fresh_part import FreshPart, indexed_items

        before = FreshPart.of(release.path)
        after = before.without(indexed_items(release.path).item_ids, withdrawn)
        if not after.equals(before):
            after.write(release, folder)
            return
    shutil.copytree(release.path, folder, copy_function=link_file, dirs_exist_ok=True)
    # A link of the old one, which write_json must not take for its own.
    os.unlink(os.path.join(folder, RELEASE_FILE))


def roll_back(workdir: Workdir, model_name: str) -> Release:
    """Makes the release before the current one current again, and returns it.

    Called again it goes back one further: what was rolled back from is not returned to.

    Raises:
        InputError: If there is no release before it.
    """
    current = require_current(workdir, model_name)
    before = [
        release for release in list_releases(workdir, model_name) if release.origin < current.origin
    ]
    if not before:
        raise InputError(
            f"there is no release of '{model_name}' before {current.origin} to roll back to"
        )
    return promote(workdir, model_name, max(before, key=lambda release: release.origin).version)


def prune(workdir: Workdir, model_name: str, keep: int) -> list[str]:
    """Removes all releases but the newest ``keep``; returns the versions removed, oldest first.

    The current one is the newest, so it always stays. A folder disappears whole before it is
    removed.

    Raises:
        InputError: If ``keep`` is less than 1, or nothing was released yet.
    """
    if keep < 1:
        raise InputError(f"--keep must be at least 1 (the current release stays), got {keep}")
    require_current(workdir, model_name)
    removed = list_releases(workdir, model_name)[:-keep]
    for release in removed:
        _remove(release.path)
    return [release.version for release in removed]


def prune_embeddings(workdir: Workdir, model_name: str) -> list[datetime.date]:
    """Removes the embeddings that belong to no release any more; returns their days, oldest first.

    Those of days after that of the newest release stay: they may be of a build under way.

    Raises:
        InputError: If nothing was released yet.
    """
    require_current(workdir, model_name)
    needed = {release.day for release in list_releases(workdir, model_name)}
    days = workdir.days(embedding_files.KIND)
    removed = [day for day in days if day not in needed and day < max(needed)]
    for day in removed:
        workdir.partition(embedding_files.KIND, day).remove()
    return removed


def size_of(release: Release) -> int:
    """Returns how many bytes the files of a release have."""
    return sum(
        storage.size(os.path.join(release.path, name)) for name in storage.files_below(release.path)
    )


def _remove(path: str) -> None:
    """Removes a release, which for readers is gone at once."""
    with storage.scratch(path) as folder:
        if storage.is_url(path):
            storage.remove(os.path.join(path, RELEASE_FILE))
            storage.remove_folder(path)
        else:
            os.rename(path, os.path.join(folder, "removed"))
