"""Files by their path or URL: ``/folder/file`` of this machine, ``s3://bucket/folder/file``.

``os.path.join``, ``split``, ``basename`` and ``dirname`` work on both kinds. Every function raises
InputError for a URL of a kind that is not supported, and for a store without such a bucket,
without credentials or without the permission.
"""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from twotower_tf.storage import connection
from twotower_tf.storage.disk import Disk
from twotower_tf.storage.objects import ObjectStore

_DISK = Disk()
_OBJECTS = ObjectStore()
_BLOCK_BYTES = 1 << 20
# Over the network each block is a request.
_BLOCK_BYTES_OF_STORE = 8 << 20


def store_of(path: str) -> Disk | ObjectStore:
    """Returns what holds the files of such a path."""
    if not connection.is_url(path):
        return _DISK
    connection.split_url(path)
    return _OBJECTS


def open_input(path: str) -> BinaryIO:
    """Opens a file to read its bytes, in any order; raises FileNotFoundError where there is none.

    On an object store reading goes over the network in blocks of at least 1 MB.
    """
    return store_of(path).open_input(path)


def arrow_input(path: str):
    """Opens a file as a ``pyarrow.NativeFile``, which is how Arrow's Parquet reads fast."""
    return store_of(path).arrow_input(path)


@contextlib.contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    """Opens a file to write bytes; it is there, whole, when the block ends without an error."""
    with store_of(path).open_output(path) as file:
        yield file


def exists(path: str) -> bool:
    """Says whether there is such a file; a folder is none."""
    return store_of(path).exists(path)


def is_folder(path: str) -> bool:
    """Says whether there is such a folder; on an object store, whether any file is below it."""
    return store_of(path).is_folder(path)


def size(path: str) -> int:
    """Returns how many bytes a file has."""
    return store_of(path).size(path)


def names(folder: str) -> list[str]:
    """Returns the names of the files and folders in a folder, sorted; none if it is not there."""
    return store_of(folder).names(folder)


def files_below(folder: str) -> list[str]:
    """Returns the files at any depth of a folder, as paths from it, sorted."""
    return store_of(folder).files_below(folder)


def copy(source: str, target: str) -> None:
    """Copies a file within or between this machine and an object store.

    Within a store the bytes do not pass through this machine.
    """
    _store_of_both(source, target).copy(source, target)


def move(source: str, target: str) -> None:
    """Moves a file; on one disk, and only there, in one step."""
    _store_of_both(source, target).move(source, target)


def move_all(paths: Mapping[str, str]) -> None:
    """Moves files, given where each is to go; within an object store several at a time."""
    if any(map(connection.is_url, paths)):
        _OBJECTS.move_all(paths)
    else:
        for source, target in paths.items():
            move(source, target)


def remove(path: str) -> None:
    """Removes a file, if it is there."""
    store_of(path).remove(path)


def remove_folder(folder: str) -> None:
    """Removes a folder and what is in it, if it is there."""
    store_of(folder).remove_folder(folder)


def remove_temporary(folder: str) -> None:
    """Removes the files that killed processes were writing in a folder, not in those below it."""
    store_of(folder).remove_temporary(folder)


def write_text(path: str, text: str) -> None:
    """Writes a text in UTF-8 so that a reader sees the old file or the new one, never a part."""
    store_of(path).write(path, text.encode())


def write_json(path: str, values) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a part of one."""
    write_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n")


def read_json(path: str):
    """Reads a JSON file; returns None where there is none."""
    try:
        with open_input(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def checksum(path: str) -> str:
    """Returns the SHA-256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    size = _BLOCK_BYTES_OF_STORE if connection.is_url(path) else _BLOCK_BYTES
    with open_input(path) as file:
        for block in iter(lambda: file.read(size), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def filled_on_disk(folder: str) -> Iterator[str]:
    """Gives a folder of this machine to fill; its files are in ``folder`` when the block ends.

    That is ``folder`` itself, or a temporary one whose files are uploaded at the end. For
    libraries that write to a disk only.
    """
    if not connection.is_url(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="twotower_tf-") as local:
        yield local
        for name in _DISK.files_below(local):
            copy(f"{local}/{name}", f"{folder}/{name}")


@contextlib.contextmanager
def read_on_disk(folder: str) -> Iterator[str]:
    """Gives a folder as one of this machine: itself, or a download that is removed at the end."""
    if not connection.is_url(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="twotower_tf-") as local:
        for name in files_below(folder):
            copy(f"{folder}/{name}", f"{local}/{name}")
        yield local


def for_tensorflow(path: str) -> str:
    """Returns the path after seeing to it that TensorFlow can read and write it."""
    if connection.is_url(path):
        connection.connect_tensorflow()
    return path


def _store_of_both(source: str, target: str) -> Disk | ObjectStore:
    return store_of(source if connection.is_url(source) else target)
