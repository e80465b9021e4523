"""Index builds that are killed."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLS = 25


def test_killed_index_builds_leave_a_current_release_that_answers_and_the_next_one_finishes(
    finished, days
):
    command = [sys.executable, "-m", "tests.pipelines.kill_index_builds", str(finished.config)]
    command += [str(finished.workdir), str(finished.root / "undisturbed")]
    command += [finished.values["name"], str(days[2]), str(KILLS)]
    # Killed processes leave their temporary files too.
    temporary = finished.root / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["wrong"] == [], run.stderr
    # Some end in the moment between the decision and the kill.
    assert found["killed"] > KILLS // 2
    # Besides the first and the last, some that were published before the kill.
    assert len(found["versions"]) > 2
