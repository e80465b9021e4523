"""Files that are written whole, on a disk or in an object store, by any library."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator

from twotower_tf.storage.connection import is_url
from twotower_tf.storage.files import copy


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Gives a path of this machine to write to; its file is at ``path`` when the block ends.

    There is none on an error, and of two workers that do the same the last one's stays: a bundle
    may be tried twice. It is for files on their way: the folder in which they are published
    flushes them to the disk.
    """
    if is_url(path):
        with tempfile.TemporaryDirectory(prefix="twotower_tf-") as folder:
            temporary = os.path.join(folder, os.path.basename(path))
            yield temporary
            copy(temporary, path)
        return
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex}"
    yield temporary
    os.replace(temporary, path)


def link_file(source: str, target: str) -> None:
    """Makes a file of this machine appear a second time, or copies it where it can't be linked."""
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copy2(source, target)
