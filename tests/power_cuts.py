"""A disk of which one knows what a power cut would leave.

It keeps what was flushed to it. Of all else, a power cut may leave any part: so at the moment a
folder gets its name, all that is in it must have been flushed since it was last changed.
"""

import os
import pathlib
import stat

import pytest


class Disk:
    """Knows by the calls of ``os`` what a power cut would leave.

    Attributes:
        lost: What might be lost of each folder that was put into place with a manifest in it.
        named: The folders that were put into place.
        open: The folders in which a name was put into place that a power cut may still take back.
    """

    def __init__(self, patch: pytest.MonkeyPatch):
        self._flushed: dict[int, tuple] = {}
        self.lost: list[str] = []
        self.named: list[str] = []
        self.open: set[int] = set()
        self._fsync, self._rename, self._replace = os.fsync, os.rename, os.replace
        patch.setattr(os, "fsync", self._flush)
        patch.setattr(os, "rename", lambda old, new: self._move(self._rename, old, new))
        patch.setattr(os, "replace", lambda old, new: self._move(self._replace, old, new))

    def _flush(self, opened) -> None:
        self._fsync(opened)
        number = opened if isinstance(opened, int) else opened.fileno()
        found = os.fstat(number)
        self._flushed[found.st_ino] = _content(found)
        self.open.discard(found.st_ino)

    def _move(self, move, old, new) -> None:
        if os.path.isdir(old) and not str(new).endswith(".outgoing"):
            self.named.append(str(new))
            below = [old, *pathlib.Path(old).rglob("*")]
            self.lost += [str(path) for path in below if self.may_lose(path)]
        elif ".json" in str(new) and self.may_lose(old):
            self.lost.append(str(new))
        move(old, new)
        self.open.add(os.stat(os.path.dirname(new)).st_ino)

    def may_lose(self, path) -> bool:
        """Says whether a file, or a name in a folder, would be lost in a power cut."""
        found = os.stat(path)
        return self._flushed.get(found.st_ino) != _content(found)


def _content(found: os.stat_result) -> tuple:
    """Returns what changes when a file is written, or when a name in a folder comes or goes."""
    size = None if stat.S_ISDIR(found.st_mode) else found.st_size
    return size, found.st_mtime_ns
