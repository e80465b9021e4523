"""Kills index builds of one work directory at random moments, and looks at its releases each time.

    python -m tests.pipelines.kill_index_builds CONFIG WORKDIR FOLDER MODEL DAY KILLS

A program of its own, so that builds can be forked before this process has threads. Half of the
moments are shares of the processor time of an undisturbed build, most of which TensorFlow uses; the
others are operations of Python on files of the work directory, and a little later. So it does not
matter how busy the machine is.

Each build starts from all that the killed ones before it left, and may not end with an error before
its own moment comes; the last one is not killed. Prints as JSON how many builds were killed, the
versions there were at the end, and all that was wrong.
"""

import hashlib
import json
import pathlib
import random
import shutil
import signal
import sys
import time

from matplotlib import dates, figure  # noqa: F401

from pipelines import build_index
from pipelines import releases as releases_job
from tests.killed_jobs import ForkedJob, differences
from twotower_tf.evaluation import report  # noqa: F401
from twotower_tf.evaluation.protocol import Evaluator  # noqa: F401
from twotower_tf.indexing.kinds import scann_index  # noqa: F401
from twotower_tf.releases import release_day, releases  # noqa: F401
from twotower_tf.releases.build import StitchedModel  # noqa: F401
from twotower_tf.storage import Workdir

# These say when a build was, how long it took, and which version it made.
OF_A_BUILD = ("metrics/build_index/", "metrics/run_daily/", "reports/")


class Releases:
    """The releases of a work directory, as a reader finds them each time it looks.

    Args:
        config: The configuration's file.
        workdir: The work directory.
        model: The model's name.
        files: The names of the files of a whole release.
    """

    def __init__(self, config: str, workdir: pathlib.Path, model: str, files: set[str]):
        self._config, self._workdir, self._model, self._files = config, workdir, model, files
        self._seen: dict[str, dict[str, str]] = {}
        self.current = ""

    def look(self) -> list[str]:
        """Looks at all that have a version, as TensorFlow Serving does; words what is wrong."""
        folders = (self._workdir / "releases" / self._model).glob("[0-9]*")
        found = {folder.name: checksums(folder) for folder in sorted(folders)}
        wrong = [
            f"release {version} is not what it was"
            for version, files in self._seen.items()
            if found.get(version) != files
        ]
        for version in found.keys() - self._seen.keys():
            if lacking := self._files - found[version].keys():
                wrong.append(f"release {version} has no {', '.join(sorted(lacking))}")
        self._seen = found
        current = releases.require_current(Workdir(str(self._workdir)), self._model).version
        if current != max(found):
            wrong.append(f"release {current} is current, and there is {max(found)}")
        # What is the same file by file answers as it did.
        if current != self.current and not self._answers(current):
            wrong.append(f"release {current} fails its self-test")
        self.current = current
        return wrong

    def versions(self) -> list[str]:
        """Returns the versions there were at the last look."""
        return list(self._seen)

    def _answers(self, version: str) -> bool:
        argv = ["releases", f"--config={self._config}", f"--workdir={self._workdir}"]
        argv += ["--action=check", f"--version={version}"]
        return ForkedJob(releases_job.main, argv, self._workdir).end() == 0


def checksums(folder: pathlib.Path) -> dict[str, str]:
    """Returns the checksums of all files below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def tree(workdir: pathlib.Path) -> dict[str, bytes]:
    """Returns all files and folders of a work directory but the releases themselves."""
    found = {}
    for path in workdir.rglob("*"):
        relative = path.relative_to(workdir)
        if relative.parts[0] == "releases" and any(part.isdigit() for part in relative.parts):
            continue
        told = path.is_file() and not str(relative).startswith(OF_A_BUILD)
        found[str(relative)] = path.read_bytes() if told else b""
    return found


def moments(
    rng: random.Random, kills: int, operations: int, seconds: float
) -> list[tuple[int | None, float]]:
    """Returns random moments from all parts of a build, in no order.

    Each is an operation and the seconds after it; or None and the seconds of processor time.
    """
    by_time, by_operation = kills // 2, kills - kills // 2
    drawn: list[tuple[int | None, float]] = [
        *((None, seconds * (n + rng.random()) / by_time) for n in range(by_time)),
        *(
            (int(operations * (n + rng.random()) / by_operation), rng.random() * 0.003)
            for n in range(by_operation)
        ),
    ]
    rng.shuffle(drawn)
    return drawn


def main(config: str, workdir: str, folder: str, model: str, day: str, kills: str) -> None:
    """Kills so many builds."""
    root, undisturbed = pathlib.Path(workdir), pathlib.Path(folder)
    shutil.copytree(root, undisturbed)

    def build(at: pathlib.Path, operation: int | None = None) -> ForkedJob:
        argv = ["build_index", "--verbosity=-1", f"--config={config}", f"--workdir={at}"]
        argv += [f"--date={day}", "--set=index.kind=scann"]
        return ForkedJob(build_index.main, argv, at, operation)

    whole = build(undisturbed)
    operations = int(whole.said())
    whole.end()
    newest = max((undisturbed / "releases" / model).glob("[0-9]*"))
    found = Releases(config, root, model, set(checksums(newest)))
    wrong, killed = found.look(), 0
    for operation, seconds in moments(random.Random(7), int(kills), operations, whole.seconds):
        job = build(root, operation)
        if operation is None:
            named = f"killed after {seconds:.3f} of {whole.seconds:.3f} s: "
            job.wait(seconds)
        else:
            named = f"killed {seconds:.4f} s after operation {operation} of {operations}: "
            job.said()
            time.sleep(seconds)
        job.kill()
        status = job.end()
        killed += status == -signal.SIGKILL
        if status not in (0, -signal.SIGKILL):
            wrong.append(f"{named}it had ended with status {status}")
        wrong += [named + words for words in found.look()]
    before = found.current
    if status := build(root).end():
        wrong.append(f"the last build ended with status {status}")
    wrong += found.look()
    if found.current == before:
        wrong.append("the last build published nothing")
    wrong += differences(tree(undisturbed), tree(root))
    print(json.dumps({"killed": killed, "versions": found.versions(), "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
