"""Builds that are killed, and builds that meet each other."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml

from twotower_tf.storage import checksum

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS_PER_DAY = 86_400
KILLS = 25


@pytest.fixture
def configuration(deployment, make_event, make_item, days) -> pathlib.Path:
    """The file of a configuration whose source has three days of all sorts of records."""
    rng = random.Random(8)
    deployment.values["source"]["items"]["path"] = "items/{date}.jsonl"
    deployment.values["examples"] |= {"max_rejected_share": 0.5, "full_histories_every_days": 2}
    deployment.values["source"]["impressions"] = {"path": "shown/{date}.jsonl"}
    deployment.values["ranking"] = {"shown_length": 9}
    for number, day in enumerate(days[:3]):
        start = number * SECONDS_PER_DAY
        log = [make_event(rng.randrange(9), rng.randrange(7), start + n * 60) for n in range(90)]
        deployment.write_day(day, [*log, log[0], b"{"])
        deployment.write(f"shown/{day}.jsonl", [*log[:50], b"["])
        if number != 1:
            items = [make_item(n, length=90 + number) for n in range(6)]
            deployment.write(f"items/{day}.jsonl", [*items, b"?"])
    path = deployment.root / "tiny.yaml"
    path.write_text(yaml.safe_dump(deployment.values))
    return path


def test_killed_builds_are_made_good_by_the_next_one_and_readers_see_nothing_of_it(
    deployment, configuration, days
):
    folder = deployment.root / "builds"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.examples.kill_builds", str(configuration)]
    command += [str(deployment.source), str(folder), str(days[0]), str(days[2]), str(KILLS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["wrong"] == []
    # Some end in the moment between the decision and the kill.
    assert found["killed"] > KILLS // 2
    assert found["looks"] > KILLS


def test_of_two_builds_of_a_day_at_once_one_wins_and_the_other_says_so(
    deployment, configuration, days
):
    command = [
        *(sys.executable, "-m", "pipelines.build_examples", "--verbosity=-1"),
        f"--config={configuration}",
        f"--source={deployment.source}",
        f"--workdir={deployment.root / 'work'}",
        f"--date={days[0]}",
    ]
    work = pathlib.Path(deployment.root, "work")
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as first:
        while not (work / ".staging" / "build_examples.lock").exists():
            assert first.poll() is None
            time.sleep(0.01)
        # Or, on a busy machine, it might be over before the second one begins.
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        first.send_signal(signal.SIGCONT)
        assert first.wait() == 0
    assert second.returncode == 1
    (error,) = second.stderr.splitlines()
    assert error.startswith("error: build_examples is being written by another process")
    deployment.values = yaml.safe_load(configuration.read_text())
    deployment.build(days[:1], "expected")
    workdir = deployment.workdir()
    for kind in ("rejected", "catalogue", "profiles", "histories", "ranking", "examples"):
        expected = deployment.workdir("expected").partition(kind, days[0])
        partition = workdir.partition(kind, days[0])
        assert partition.manifest() == expected.manifest()
        for shard in partition.manifest()["shards"]:
            assert checksum(partition.file(shard["file"])) == shard["sha256"]
    assert list(work.rglob(".staging")) == []
