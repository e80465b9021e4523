"""What `make demo` runs, whole."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_the_demo_ends_with_a_table_recommendations_and_a_report(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "pipelines.demo", f"--workdir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r"^2026-01-0\d +2\d,\d{3} ", run.stdout, re.MULTILINE)) == 7
    users = re.findall(r"^for (u\d+), who last watched \w+ .*:$", run.stdout, re.MULTILINE)
    assert len(set(users)) == 3
    assert (
        len(
            re.findall(
                r"^ +\d+\.\d s +-?\d\.\d{4}  v\d{6} +\w+.* from \w+", run.stdout, re.MULTILINE
            )
        )
        == 15
    )
    report = re.search(r"^report: +(.+)$", run.stdout, re.MULTILINE)[1]
    assert pathlib.Path(report).is_file()
