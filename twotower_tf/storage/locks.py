"""Locks: of several processes that write the same place, one goes on and the others say so."""

import contextlib
import fcntl
import itertools
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from twotower_tf.errors import InputError, JobError
from twotower_tf.storage import connection
from twotower_tf.storage.objects import ObjectStore

# The holder of a lock object writes it anew so often. One that did not change for so long is
# taken over: its process has ended, or lost the store.
HEARTBEAT_SECONDS = 5.0
EXPIRY_SECONDS = 30.0


@contextlib.contextmanager
def locked(path: str, name: str) -> Iterator["FileLock | ObjectLock"]:
    """Holds a lock while the block runs.

    Args:
        path: Of the lock file.
        name: What is locked, for the message.

    Raises:
        JobError: If another process has it.
    """
    lock = (ObjectLock if connection.is_url(path) else FileLock)(path, name)
    try:
        yield lock
    finally:
        lock.release()


class FileLock:
    """A lock that ends with its process, however that ends."""

    def __init__(self, path: str, name: str):
        self._path = path
        while True:
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._lock = os.open(path, os.O_RDWR | os.O_CREAT)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._lock)
                raise _taken(name) from error
            # Whoever had the lock may have removed the file between the two calls above.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(self._lock).st_ino == os.stat(path).st_ino:
                    return
            os.close(self._lock)

    def own(self, folder: str) -> str:
        """Returns where the holder works in a folder: all of it is its own."""
        return folder

    def check(self) -> None:
        """Does nothing: nobody can take the lock from a living process."""

    def release(self) -> None:
        """Gives the lock up, and removes its folder if nothing else is in it."""
        os.unlink(self._path)
        os.close(self._lock)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self._path))


class ObjectLock:
    """A lock object that its holder writes anew every few seconds.

    In the folder of the lock each holder has an object of its own, numbered; the largest number
    holds the lock. The store sees to it that only one process can make an object, by
    ``If-None-Match``, the condition on writes that most stores know. Whoever finds a holder watches
    it by its own clock: if its object changes, it lives; if it does not for ``EXPIRY_SECONDS``, the
    next number takes over. A holder that was stopped for so long finds out by ``check``.
    """

    def __init__(self, folder: str, name: str):
        self._store = ObjectStore()
        self._folder, self._name = folder, name
        self._owner = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
        self._beats = itertools.count()
        self._path, self._tag = self._acquire()
        self._last_beat = time.monotonic()
        self._beating = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lock of {name}", daemon=True)
        self._thread.start()

    def own(self, folder: str) -> str:
        """Returns where the holder works in a folder; no other holder works there, ever.

        One that lost the lock may go on for a while before it finds out.
        """
        return f"{folder}/{self._owner['id']}"

    def check(self) -> None:
        """Raises JobError if the lock was lost; called before anything is published under it."""
        with self._beating:
            if not self._is_held():
                raise JobError(
                    f"{self._name}: this process lost its lock {self._path}: it did not renew it "
                    f"for {EXPIRY_SECONDS:g} s, or another process wrote over it; run it again"
                )

    def release(self) -> None:
        """Gives the lock up."""
        self._end.set()
        self._thread.join()
        try:
            if self._is_held():
                # The own object is the last, so that nobody begins anew before all are gone.
                for number in self._store.names(self._folder):
                    self._store.remove(f"{self._folder}/{number}")
        except (OSError, InputError) as error:
            # The work is done, and the lock runs out by itself.
            logging.warning("the lock %s could not be removed: %s", self._path, error)

    def _acquire(self) -> tuple[str, str]:
        seen, since = None, 0.0
        while True:
            numbers = self._store.names(self._folder)
            last = numbers[-1] if numbers else None
            found = (last, self._store.tag(f"{self._folder}/{last}")) if last else None
            if seen is None and found is not None:
                logging.info("waiting to see whether the holder of %s lives", self._folder)
                seen, since = found, time.monotonic()
            if found is None or (found == seen and time.monotonic() - since > EXPIRY_SECONDS):
                path = f"{self._folder}/{int(last or 0) + 1:06}"
                tag = self._store.create(path, self._content())
                if tag is None:
                    raise _taken(self._name)
                return path, tag
            if found != seen:
                raise _taken(self._name)
            time.sleep(HEARTBEAT_SECONDS / 5)

    def _content(self) -> bytes:
        return json.dumps({**self._owner, "beat": next(self._beats)}).encode()

    def _is_held(self) -> bool:
        if time.monotonic() - self._last_beat > EXPIRY_SECONDS:
            return False
        last = self._store.names(self._folder)[-1:]
        return last == [os.path.basename(self._path)] and self._store.tag(self._path) == self._tag

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT_SECONDS):
            try:
                with self._beating:
                    if not self._is_held():
                        return
                    self._tag = self._store.write(self._path, self._content())
                    self._last_beat = time.monotonic()
            except Exception as error:
                # The store may be back before the lock runs out; check() decides.
                logging.warning("the lock %s could not be renewed: %s", self._path, error)


def _taken(name: str) -> JobError:
    return JobError(f"{name} is being written by another process: wait for it, or end it first")
