"""A work directory: where it is, which days it holds, where it says what it is bound to."""

import contextlib
import datetime
import os
import re

from twotower_tf.errors import InputError
from twotower_tf.storage import files
from twotower_tf.storage.connection import is_url
from twotower_tf.storage.partitions import MANIFEST, Partition

# The kinds of partitions that more than one room reads or writes; others are with who writes them.
EXAMPLES = "examples"
RANKING = "ranking"
CHECKPOINTS = "checkpoints"
RANKING_CHECKPOINTS = "ranking_checkpoints"
# The sizes that a model's start chose, by the kind of the examples that it is trained on.
SIZES = {EXAMPLES: "sizes.json", RANKING: "ranking_sizes.json"}
_CONFIGURATION = "configuration.json"
# What the file says in any case, in this version and before there were versions.
_KEYS = ({"schema", "examples", "model"}, {"source", "examples", "query", "candidate"})
_DAY_FOLDER = re.compile(r"^dt=(\d{4}-\d{2}-\d{2})$")


class Workdir:
    """A work directory: its partitions, metrics and reports.

    Args:
        root: A folder of this machine, made if it is not there, or a URL.

    Raises:
        InputError: If the folder can't be made or written, or the store can't be used.
    """

    def __init__(self, root: str):
        if is_url(root):
            self.root = root.rstrip("/")
            _check_url(root, self.root)
        else:
            self.root = os.path.abspath(root)
            _make(root, self.root)

    @classmethod
    def existing(cls, root: str) -> "Workdir":
        """Opens a work directory that a build has made; raises InputError if there is none."""
        if is_url(root):
            there = _check_url(root, root.rstrip("/"))
        else:
            there = os.path.isdir(root)
        if not there:
            raise InputError(
                f"--workdir={root}: there is no such folder; run build_examples or run_daily first"
            )
        return cls(root)

    @property
    def configuration(self) -> str:
        """The file that says what it is bound to (``binding.bind``)."""
        return self.path(_CONFIGURATION)

    def partition(self, kind: str, day: datetime.date) -> Partition:
        """Returns the partition of a day, published or not."""
        return Partition(self.root, kind, day)

    def days(self, kind: str) -> list[datetime.date]:
        """Returns the days whose partition was published, oldest first."""
        days = self._day_folders(kind)
        manifests = {self.partition(kind, day).file(MANIFEST): day for day in days}
        there = files.store_of(self.root).existing(manifests)
        return [manifests[path] for path in there]

    def latest(self, kind: str, at_or_before: datetime.date) -> Partition | None:
        """Returns the newest published partition that is not after a day, if there is one."""
        for day in reversed(self._day_folders(kind)):
            partition = self.partition(kind, day)
            if day <= at_or_before and partition.exists():
                return partition
        return None

    def _day_folders(self, kind: str) -> list[datetime.date]:
        """Returns the days that have a folder, published or not, oldest first."""
        days = []
        for match in filter(None, map(_DAY_FOLDER.match, files.names(self.path(kind)))):
            # A folder of some other date, such as 2026-13-45, is none of ours.
            with contextlib.suppress(ValueError):
                days.append(datetime.date.fromisoformat(match[1]))
        return sorted(days)

    def metrics_path(self, job: str, day: datetime.date) -> str:
        """Returns where a job's metrics of a day are."""
        return os.path.join(self.root, "metrics", job, f"dt={day.isoformat()}.json")

    def path(self, *parts: str) -> str:
        """Returns a path below the work directory."""
        return os.path.join(self.root, *parts)


def is_bound_by(path: str) -> bool:
    """Says whether a file is called like the one that says what a work directory is bound to."""
    return os.path.basename(path) == _CONFIGURATION


def is_workdir(folder: str) -> bool:
    """Says whether a folder or URL is a work directory that is bound to a configuration."""
    path = os.path.join(folder, _CONFIGURATION)
    if not files.exists(path):
        return False
    try:
        bound = files.read_json(path)
    except ValueError:
        return False
    # Somebody else's file may have the same name.
    keys = set(bound) if isinstance(bound, dict) else set()
    return any(wanted <= keys for wanted in _KEYS)


def _check_url(given: str, root: str) -> bool:
    """Says whether anything is below a URL; raises InputError if it can't be asked."""
    try:
        return files.is_folder(root)
    except InputError as error:
        raise InputError(f"--workdir={error}") from error
    except OSError as error:
        raise InputError(f"--workdir={given} can't be read: {error}") from error


def _make(given: str, root: str) -> None:
    try:
        files.store_of(root).make_lasting_folder(root)
    except OSError as error:
        raise InputError(
            f"--workdir={given} can't be made: {error.strerror}; give a folder you can write"
        ) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise InputError(f"--workdir={given} is not writable; give a folder you can write")
