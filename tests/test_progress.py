"""Progress in a log: plain lines with a rate and the time left."""

import re

import pytest
from absl import logging

from twotower_tf import progress


@pytest.mark.parametrize(
    ("done", "total", "seconds", "expected"),
    [
        (5000, 20000, 10.0, "work: 5,000 of 20,000 (25%), 500/s, 30 s left"),
        (100, 20000, 10.0, "work: 100 of 20,000 (0%), 10/s, time left not known yet"),
        (0, 10, 0.0, "work: 0 of 10 (0%), 0/s, time left not known yet"),
        (5000, None, 10.0, "work: 5,000, 500/s"),
    ],
)
def test_a_line_says_how_much_how_fast_and_how_long(done, total, seconds, expected):
    assert progress.describe("work", done, total, seconds) == expected


def test_a_log_gets_lines_without_control_codes_and_short_work_gets_none(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "info", lambda text, *values: lines.append(text % values))
    clock = iter([0.0, 1.0, 7.0, 8.0, 9.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("work", 100, "events") as shown:
        shown.advance(10)
        shown.advance(60)
        shown.advance(30)
    assert lines == ["work: 70 of 100 (70%), 10/s, 3 s left", "work: 100 events in 9 s"]
    assert not any(re.search(r"[^ -~]", line) for line in lines)
    clock = iter([0.0, 1.0])
    with progress.progress("work", 100, "events") as shown:
        shown.advance(100)
    assert len(lines) == 2
