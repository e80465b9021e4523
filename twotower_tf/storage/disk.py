"""Files and folders of this machine.

What is put into place is on the disk by then, not only in memory: after a power cut, what a name
leads to is whole. So the files of a folder are flushed, and then the folder that names them, before
it gets its own name. Whoever moves a single file (``move``, ``copy``) does not wait for that: such
files are on their way to a folder that ``replace_folder`` flushes as a whole.
"""

import contextlib
import errno
import filecmp
import glob
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

_OUTGOING = ".outgoing"
_TEMPORARY = ".tmp-"
_THREADS = 16


class Disk:
    """Files and folders of this machine; the methods are those of ``objects.ObjectStore``."""

    def open_input(self, path: str) -> BinaryIO:
        """Opens a file to read it; raises FileNotFoundError where there is none."""
        return open(path, "rb")

    def arrow_input(self, path: str):
        """Opens a file as Arrow reads it best, a ``pyarrow.NativeFile``."""
        from pyarrow import fs

        return fs.LocalFileSystem().open_input_file(path)

    @contextlib.contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file to write it; it is there, whole, when the block ends without an error."""
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        temporary = f"{path}{_TEMPORARY}{os.getpid()}"
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def write(self, path: str, content: bytes) -> None:
        """Writes bytes to a file whole: a reader sees the old ones or all of these."""
        while True:
            # Not found: another process took the temporary file for one that stayed behind.
            with contextlib.suppress(FileNotFoundError):
                with self.open_output(path) as file:
                    file.write(content)
                return

    def exists(self, path: str) -> bool:
        """Says whether there is such a file."""
        return os.path.isfile(path)

    def existing(self, paths: Iterable[str]) -> list[str]:
        """Returns those of the files that are there, in their order."""
        return [path for path in paths if self.exists(path)]

    def is_folder(self, path: str) -> bool:
        """Says whether there is such a folder."""
        return os.path.isdir(path)

    def size(self, path: str) -> int:
        """Returns how many bytes a file has."""
        return os.path.getsize(path)

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files and folders in a folder, sorted; none if it is not there.

        Raises:
            NotADirectoryError: If it is a file.
        """
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(folder))
        return []

    def files_below(self, folder: str) -> list[str]:
        """Returns the files at any depth of a folder, as paths from it, sorted."""
        return sorted(
            os.path.relpath(os.path.join(parent, name), folder)
            for parent, _, names in os.walk(folder)
            for name in names
        )

    def make_folder(self, folder: str) -> None:
        """Makes a folder and its parents."""
        os.makedirs(folder, exist_ok=True)

    def make_lasting_folder(self, folder: str) -> None:
        """Makes a folder and its parents; no power cut takes them back."""
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder) or "."
        for made in reversed(missing):
            os.makedirs(made, exist_ok=True)
            _flush(os.path.dirname(made) or ".")

    def copy(self, source: str, target: str) -> None:
        """Copies a file; makes the folders above the copy, replaces what was there."""
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        shutil.copyfile(source, target)

    def move(self, source: str, target: str) -> None:
        """Moves a file; makes the folders above its place, replaces what was there."""
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        os.replace(source, target)

    def remove(self, path: str) -> None:
        """Removes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def remove_folder(self, folder: str) -> None:
        """Removes a folder and what is in it, if it is there."""
        shutil.rmtree(folder, ignore_errors=True)

    def remove_temporary(self, folder: str) -> None:
        """Removes the files that killed processes were writing in a folder."""
        for name in glob.glob(f"*{_TEMPORARY}*", root_dir=folder):
            self.remove(os.path.join(folder, name))

    def remove_empty(self, folder: str) -> None:
        """Removes a folder if it is there and nothing is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(folder)

    def recover(self, folder: str, target: str) -> None:
        """Puts right what a killed ``replace_folder`` left half-way."""
        outgoing = f"{folder}{_OUTGOING}"
        if os.path.isdir(outgoing):
            if os.path.isdir(target):
                shutil.rmtree(outgoing)
            else:
                os.rename(outgoing, target)

    def replace_folder(self, folder: str, target: str, last: tuple[str, ...]) -> None:
        """Moves a folder into place, whole; ``last`` is of no matter where folders are moved.

        A target that holds the same already is left alone: readers may be in it.
        """
        if self._are_same(folder, target):
            return
        _flush_all(folder)
        outgoing = f"{folder}{_OUTGOING}"
        if os.path.isdir(target):
            os.rename(target, outgoing)
        os.rename(folder, target)
        for parent in (os.path.dirname(folder), os.path.dirname(target)):
            _flush(parent)
        if os.path.isdir(outgoing):
            shutil.rmtree(outgoing)

    def _are_same(self, folder: str, target: str) -> bool:
        names = self.files_below(folder)
        if names != self.files_below(target):
            return False
        _, differing, unreadable = filecmp.cmpfiles(folder, target, names, shallow=False)
        return bool(names) and not differing and not unreadable


def _flush_all(folder: str) -> None:
    """Flushes a folder and all that is below it."""
    below = [(parent, names) for parent, _, names in os.walk(folder)]
    files = [os.path.join(parent, name) for parent, names in below for name in names]
    # A disk answers many at once in about the time of one.
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(_flush, files))
        list(pool.map(_flush, [parent for parent, _ in below]))


def _flush(path: str) -> None:
    """Waits until a file, or which names a folder has, is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # What some file systems say of folders, which they keep in order by themselves.
        if error.errno not in (errno.EINVAL, errno.EBADF) or not os.path.isdir(path):
            raise
    finally:
        os.close(opened)
