"""Each user's last events as days of their own: against naive Python."""

import csv

import numpy as np
import pytest

from benchmarks.quality_data import leave_one_out

USERS, EVENTS = 9, 60


@pytest.fixture
def log(tmp_path):
    random = np.random.default_rng(4)
    rows = [
        {"user": f"u{random.geometric(0.2) % USERS}", "movie": str(number), "timestamp": time}
        for number, time in enumerate(random.integers(86_400, 3 * 86_400, EVENTS).tolist())
    ]
    with open(tmp_path / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "log.csv", rows


def test_the_last_event_of_a_user_is_the_test_and_the_one_before_it_the_validation(log, tmp_path):
    path, rows = log
    leave_one_out.convert(path, tmp_path / "out", user_id="user", item_id="movie")
    expected = [set(), set(), set()]
    for user in {row["user"] for row in rows}:
        mine = sorted((row["timestamp"], int(row["movie"])) for row in rows if row["user"] == user)
        left_out = len(mine) >= 3
        for place, (_, movie) in enumerate(reversed(mine)):
            expected[2 - place if left_out and place < 2 else 0].add(str(movie))
    assert any(len(part) > 2 for part in expected[1:])
    for part, day in enumerate(("1970-01-03", "1970-01-04", "1970-01-05")):
        with open(tmp_path / f"out/events/dt={day}/events.csv") as file:
            found = list(csv.DictReader(file))
        assert {row["movie"] for row in found} == expected[part]
        assert {row["held_out"] for row in found} == {str(int(part > 0))}


def test_of_equal_times_the_later_row_is_the_later_event():
    assert leave_one_out.split(np.array(["a"] * 4), np.array([5, 5, 5, 1])).tolist() == [0, 1, 2, 0]
    assert leave_one_out.split(np.array(["a", "b", "a"]), np.arange(3)).tolist() == [0, 0, 0]


def test_a_column_that_is_not_there_is_named(log, tmp_path):
    with pytest.raises(ValueError, match="has no column film"):
        leave_one_out.convert(log[0], tmp_path / "out", user_id="user", item_id="film")
