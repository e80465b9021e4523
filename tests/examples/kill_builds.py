"""Kills builds at random moments, each followed by a plain one, while a reader looks on.

    python -m tests.examples.kill_builds CONFIG SOURCE FOLDER FIRST_DAY LAST_DAY KILLS

A program of its own, so that builds can be forked before this process has threads. A moment is a
random one of the undisturbed build's operations on files of its work directory, and a little later,
so it does not matter how busy the machine is. Prints as JSON how many builds it killed, how often
the reader looked, and all that was wrong.
"""

import glob
import hashlib
import json
import os
import pathlib
import random
import select
import signal
import sys
import time

from pipelines import build_examples
from tests.killed_jobs import ForkedJob, differences
from twotower_tf.examples.building import transforms  # noqa: F401
from twotower_tf.examples.building.publish import COUNTS


class Reader:
    """A process that looks at the partitions of the newest work directory, over and over."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self._seen: dict[str, tuple[int, bytes]] = {}
        self._wrong: set[str] = set()
        over, self._over = os.pipe()
        self._found, found = os.pipe()
        if os.fork() == 0:
            os.close(self._over)
            looks = 0
            # The pipe has something to say once its other end is closed.
            while not select.select([over], [], [], 0.002)[0]:
                self._look_at_all()
                looks += 1
            os.write(found, json.dumps([looks, sorted(self._wrong)[:100]]).encode())
            os._exit(0)
        os.close(over)
        os.close(found)

    def found(self) -> tuple[int, list[str]]:
        """Ends the process; returns how often it looked, and what was wrong."""
        os.close(self._over)
        with open(self._found, encoding="utf-8") as file:
            looks, wrong = json.load(file)
        os.wait()
        return looks, wrong

    def _look_at_all(self) -> None:
        newest = max(self._root.glob("killed-*"), default=self._root / "none")
        # Unlike pathlib's, this glob takes no offence at folders that go away meanwhile.
        for path in sorted(glob.glob(str(newest / "*" / "dt=*" / "manifest.json"))):
            manifest = pathlib.Path(path)
            name = str(manifest.relative_to(self._root))
            try:
                self._look(name, manifest)
            except FileNotFoundError as error:
                self._wrong.add(f"a reader of {name} found no {error.filename}")

    def _look(self, name: str, manifest: pathlib.Path) -> None:
        with manifest.open("rb") as file:
            # A file that was put in the place of another one has another number.
            identity = os.fstat(file.fileno()).st_ino, file.read()
        if self._seen.setdefault(name, identity) != identity:
            self._wrong.add(f"a reader of {name} saw it change")
        if manifest.parts[-3] == "examples":
            for kind in ("rejected", "histories", "ranking"):
                os.stat(manifest_of(manifest, kind))
        for shard in json.loads(identity[1])["shards"]:
            data = (manifest.parent / shard["file"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != shard["sha256"]:
                self._wrong.add(f"a reader of {name} saw another {shard['file']}")


def manifest_of(examples: pathlib.Path, kind: str) -> pathlib.Path:
    """Returns the manifest of another kind of the day of a manifest of examples."""
    return examples.parents[2] / kind / examples.parent.name / examples.name


def tree(root: pathlib.Path) -> dict[str, bytes]:
    """Returns all files and folders of a work directory; of metrics the counts of events."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = path.read_bytes() if path.is_file() else b""
        if name.startswith("metrics") and path.suffix == ".json":
            # What a build that went on had to do differs.
            values = json.loads(found[name])
            found[name] = json.dumps([values[count] for count in COUNTS]).encode()
    return found


def main(config: str, source: str, folder: str, first: str, last: str, kills: str) -> None:
    """Kills so many builds."""
    flags = ["build_examples", "--verbosity=-1", f"--config={config}", f"--source={source}"]
    flags += [f"--start={first}", f"--end={last}"]
    rng = random.Random(3)
    root = pathlib.Path(folder).absolute()

    def build(workdir: pathlib.Path, operation: int | None = None) -> ForkedJob:
        return ForkedJob(build_examples.main, [*flags, f"--workdir={workdir}"], workdir, operation)

    undisturbed = build(root / "undisturbed")
    operations = int(undisturbed.said())
    undisturbed.end()
    expected = tree(root / "undisturbed")
    wrong, killed = [], 0
    reader = Reader(root)
    for number in range(int(kills)):
        workdir = root / f"killed-{number:02d}"
        moment = rng.randrange(operations)
        job = build(workdir, moment)
        job.said()
        time.sleep(rng.random() * 0.003)
        job.kill()
        killed += job.end() == -signal.SIGKILL
        status = build(workdir).end()
        named = f"killed before operation {moment} of {operations}: "
        if status:
            wrong.append(f"{named}the next build ended with status {status}")
        wrong += [named + words for words in differences(expected, tree(workdir))]
    looks, seen = reader.found()
    print(json.dumps({"killed": killed, "looks": looks, "wrong": [*wrong, *seen]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
