"""Releases: versioned SavedModels in the layout TensorFlow Serving polls.

``releases/<model>/<version>/`` holds the SavedModel and a ``release.json``. TensorFlow Serving
serves the folder with the largest number as its name, and so does everything here: the current
release is the largest version, and nothing else says which one it is. A published folder never
changes; an older release becomes current again by being published anew (``release_changes``).

Versions always have 10 digits, YYYYMMDDnn, nn counting a day's releases from 00: were a day's
first release just YYYYMMDD, its second (2026112001) would outrank all releases of the days after
it (20261121).
"""

import dataclasses
import datetime
import os
import re
from collections.abc import Callable
from typing import TypeVar

from twotower_tf.errors import InputError, JobError
from twotower_tf.serving.serving_description import load_saved_model, read_serving
from twotower_tf.storage import (
    Workdir,
    clear_away,
    exists,
    filled_on_disk,
    names,
    parse_day,
    read_json,
    read_on_disk,
    staged,
    write_json,
)

RELEASE_FILE = "release.json"
# What TensorFlow Serving looks for.
_SAVED_MODEL = "saved_model.pb"
_VERSION = re.compile(r"^\d{10}$", re.ASCII)
_NUMBER = re.compile(r"^\d+$", re.ASCII)
# How many versions there are of a day: their last two digits count from 00.
_A_DAY = 100
# A reader that loses this many races against publishing and pruning has another problem.
_MOST_ATTEMPTS = 10

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Release:
    """A published release.

    Attributes:
        model: The model's name.
        version: 10 digits, YYYYMMDDnn.
        path: The SavedModel's folder; a download elsewhere is the same release.
        metadata: What ``release.json`` says: ``day``, ``version``, ``model``, ``created`` and what
            was given to ``publish``.
    """

    model: str
    version: str
    path: str = dataclasses.field(compare=False)
    metadata: dict

    @property
    def day(self) -> datetime.date:
        """The day the model was trained up to."""
        return parse_day(self.metadata["day"], f"day in {self.path}/{RELEASE_FILE}")

    @property
    def origin(self) -> str:
        """The version this one is a copy of; its own if it is none."""
        return self.metadata.get("republished_from", self.version)

    def read_serving(self) -> dict:
        """Reads the description of how to ask it (``serving_description``)."""
        return read_serving(self.path)

    def load_saved_model(self):
        """Loads the SavedModel (``serving_description``), from a store by way of this machine."""
        # What is loaded holds all it needs, the files of the index included.
        with read_on_disk(self.path) as folder:
            return load_saved_model(folder)


def publish(
    workdir: Workdir,
    model_name: str,
    day: datetime.date,
    save: Callable[[str], None],
    metadata: dict,
) -> Release:
    """Publishes a release whole or not at all.

    Args:
        workdir: Where.
        model_name: The folder below ``releases/``.
        day: The day the model was trained up to; makes the version.
        save: Writes the SavedModel into the folder it is given.
        metadata: What ``release.json`` is to say besides (metrics, gates, fingerprints, ...).

    Raises:
        JobError: If a release of a later day exists, which would be served instead; if the day has
            its 100 releases; or if another process is publishing the same version.
    """
    folder = releases_folder(workdir, model_name)
    return publish_version(folder, model_name, _next_version(folder, day), day, save, metadata)


def publish_version(
    folder: str,
    model_name: str,
    version: str,
    day: datetime.date,
    save: Callable[[str], None],
    metadata: dict,
) -> Release:
    """Publishes a release under a version that is not taken; see ``publish``."""
    target = os.path.join(folder, version)
    own = {
        "model": model_name,
        "version": version,
        "day": day.isoformat(),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    # A killed process may have been preparing, or removing, a version that nobody asks for again.
    clear_away(folder)
    # Staging is in the folder .staging: TensorFlow Serving only looks at names that are numbers.
    with staged(target, last=(_SAVED_MODEL, RELEASE_FILE)) as staging:
        if exists(os.path.join(target, RELEASE_FILE)):
            raise JobError(f"release {target} was published by another process: try again")
        # Disks are all that ScaNN writes to.
        with filled_on_disk(staging) as on_disk:
            save(on_disk)
        write_json(os.path.join(staging, RELEASE_FILE), {**metadata, **own})
    return Release(model_name, version, target, {**metadata, **own})


def releases_folder(workdir: Workdir, model_name: str) -> str:
    """Returns the folder that TensorFlow Serving is to poll for a model."""
    return workdir.path("releases", model_name)


def list_releases(workdir: Workdir, model_name: str) -> list[Release]:
    """Returns the releases of a model, oldest version first."""
    folder = releases_folder(workdir, model_name)
    releases = []
    for version in filter(_VERSION.match, names(folder)):
        path = os.path.join(folder, version)
        metadata = read_json(os.path.join(path, RELEASE_FILE))
        if metadata is not None:
            releases.append(Release(model_name, version, path, metadata))
    return releases


def current(workdir: Workdir, model_name: str) -> Release | None:
    """Returns the release TensorFlow Serving would serve, the largest version, if there is one."""
    releases = list_releases(workdir, model_name)
    return releases[-1] if releases else None


def require_current(workdir: Workdir, model_name: str) -> Release:
    """Returns the current release; raises InputError if nothing was released yet."""
    release = current(workdir, model_name)
    if release is None:
        raise InputError(
            f"there is no release of '{model_name}' in {releases_folder(workdir, model_name)}: "
            "run pipelines.run_daily first"
        )
    return release


def read_current(workdir: Workdir, model_name: str, read: Callable[[Release], T]) -> T:
    """Returns what ``read`` makes of the current release, also while releases come and go.

    A release that is pruned while it is being read was no longer current: then the one that is
    current now is read instead.

    Raises:
        InputError: If nothing was released yet.
    """
    for _ in range(_MOST_ATTEMPTS - 1):
        release = require_current(workdir, model_name)
        try:
            return read(release)
        except Exception:
            if exists(os.path.join(release.path, RELEASE_FILE)):
                raise
    return read(require_current(workdir, model_name))


def version_after(folder: str) -> str:
    """Returns the smallest version that outranks all numbers in a folder of releases."""
    return f"{largest_number(folder) + 1:010d}"


def largest_number(folder: str) -> int:
    """Returns the largest number that names a folder of releases, -1 if there is none."""
    return max((int(name) for name in names(folder) if _NUMBER.match(name)), default=-1)


def _next_version(folder: str, day: datetime.date) -> str:
    first = int(f"{day:%Y%m%d}00")
    largest = largest_number(folder)
    if largest == first + _A_DAY - 1:
        raise JobError(
            f"the {_A_DAY} versions of {day} in {folder} are taken, up to {largest}: refresh every "
            "15 minutes or less often, or publish a later day"
        )
    if largest >= first + _A_DAY:
        raise JobError(
            f"release {largest} in {folder} outranks every release of {day}: TensorFlow Serving "
            "would go on serving it; publish a later day, or remove it"
        )
    return str(max(first, largest + 1))
