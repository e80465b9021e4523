"""Jobs that are killed: in processes of their own, at moments that can be chosen.

Importing what a job needs costs more than a small job. So jobs are forked from one process that
has imported it all, and has run nothing: threads, such as TensorFlow starts with its first
operation, do not survive a fork.
"""

import contextlib
import os
import pathlib
import select
import signal
import sys
import time
from collections.abc import Callable

_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
_HANGS_SECONDS = 600


class ForkedJob:
    """A job in a process of its own. What it prints goes to stderr.

    Args:
        main: Of the job's module: takes its arguments and returns its exit status.
        argv: The arguments, the job's name first.
        folder: Operations on files below it are counted: those of Python, not those of C++.
        operation: It says so, by a byte, before this one of them.

    Attributes:
        seconds: Of processor time that it used; there after ``end``.
    """

    def __init__(
        self,
        main: Callable[[list[str]], int],
        argv: list[str],
        folder: pathlib.Path,
        operation: int | None = None,
    ):
        self._said, says = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._said)
            with contextlib.suppress(BaseException):
                _run(main, argv, str(folder), operation, says)
            os._exit(9)
        os.close(says)

    def said(self) -> str:
        """Waits until the process says something, and returns that: at last, its operations."""
        return os.read(self._said, 100).decode()

    def wait(self, seconds: float) -> None:
        """Waits until the process has used so much processor time, or says something."""
        # Linux's number of the clock of a process, see clock_getcpuclockid(3).
        clock = (~self._pid << 3) | 2
        while not select.select([self._said], [], [], 0.003)[0]:
            if time.clock_gettime(clock) >= seconds:
                return

    def kill(self) -> None:
        """Kills the process."""
        os.kill(self._pid, signal.SIGKILL)

    def end(self) -> int:
        """Waits for the end; returns the exit status, or minus the signal."""
        _, status, usage = os.wait4(self._pid, 0)
        self.seconds = usage.ru_utime + usage.ru_stime
        os.close(self._said)
        return os.waitstatus_to_exitcode(status)


def _run(
    main: Callable[[list[str]], int],
    argv: list[str],
    folder: str,
    operation: int | None,
    says: int,
) -> None:
    """Runs a job, and ends the process; says at last how many operations there were."""
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in _OPERATIONS and str(arguments[0]).startswith(folder):
            if count == operation:
                os.write(says, b"!")
            count += 1

    os.dup2(2, 1)
    # One that waits for a thread that did not survive the fork would wait for ever.
    signal.alarm(_HANGS_SECONDS)
    sys.addaudithook(hook)
    status = main(argv)
    os.write(says, str(count).encode())
    os._exit(status)


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Words how files and folders, by name, differ from the expected ones."""
    return [
        *(f"{name} is missing" for name in sorted(expected.keys() - found.keys())),
        *(f"{name} stayed behind" for name in sorted(found.keys() - expected.keys())),
        *(
            f"{name} differs"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ),
    ]
