"""A contender in a process of its own, so that its memory and threads are its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping


class Worker:
    """The side of the benchmark: sends commands and waits for the answers, a line of JSON each.

    Args:
        name: Of the contender.
        module: What to run with ``--worker=<name>``; there ``answer_all`` is the other side.
        flags: More of its command line.
        environment: What it has besides this process's environment variables.
    """

    def __init__(
        self, name: str, module: str, *flags: str, environment: Mapping[str, str] | None = None
    ):
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, f"--worker={name}", *flags],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, *arguments):
        """Sends a command and waits for the answer."""
        self._process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with status {self._process.wait()}")
        return json.loads(answer)

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def answer_all(answer: Callable) -> None:
    """The contender's side: answers each command until there are no more.

    Args:
        answer: Given what is asked and its arguments; returns what JSON can say.
    """
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)
