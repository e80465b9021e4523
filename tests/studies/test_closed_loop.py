"""The closed loop around the nights: who is in which arm, what each learns from, what counts."""

import dataclasses
import itertools
import json
import os

import numpy as np
import pytest

from twotower_tf.config_loader import load_config
from twotower_tf.errors import JobError
from twotower_tf.simulator.settings import PAGE_SIZE
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings
from twotower_tf.studies import closed_loop
from twotower_tf.studies.arm_figures import differences
from twotower_tf.studies.closed_loop import run_closed_loop
from twotower_tf.studies.closed_loop_plan import Arm
from twotower_tf.studies.closed_loop_report import as_dictionary, as_table, compare

SETTINGS = SimulatorSettings(
    users=60,
    videos=300,
    uploads_per_day=10,
    channels=20,
    topics=5,
    events_per_day=600,
    pages_per_day=120,
    days=3,
)
ARMS = [Arm(name, load_config("configs/demo.yaml")) for name in ("one", "two", "three")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the loop is."""
    return tmp_path_factory.mktemp("loop")


@pytest.fixture(scope="module")
def nights():
    """The nights that were called for, in the place of running them."""
    return []


@pytest.fixture(scope="module")
def loop(folder, nights):
    """A loop in which nothing was ever released."""

    def run_days(config, workdir, source, days):
        nights.append((os.path.relpath(source, workdir.path("..", "..")), *days))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed_loop, "run_days", run_days)
        return run_closed_loop(ARMS, SETTINGS, str(folder))


def lines(*path):
    with open(os.path.join(*map(str, path)), encoding="utf-8") as file:
        return file.readlines()


def test_each_arm_has_a_night_after_each_day_but_the_last(loop, nights):
    dates = loop.simulator.dates
    assert nights == [(os.path.join(arm.name, "logs"), day) for day in dates[:-1] for arm in ARMS]
    assert (list(loop.shown), loop.days) == (dates, dates[1:])


def test_arms_divide_the_users_and_the_logs_among_them(loop, folder, tmp_path):
    sizes = np.bincount(loop.arm_of)
    assert len(sizes) == 3
    assert sizes.min() > 10
    Simulator(SETTINGS).write(str(tmp_path / "all"))
    for kind in ("events", "impressions"):
        name = os.path.join(kind, "dt=2026-01-01", f"{kind}-00000.jsonl")
        of_arms = [lines(folder, arm.name, "logs", name) for arm in ARMS]
        for number, part in enumerate(of_arms):
            users = {int(json.loads(line)["user_id"][1:]) for line in part}
            assert set(loop.arm_of[list(users)]) == {number}
        assert sorted(itertools.chain(*of_arms)) == sorted(lines(tmp_path, "all", name))
    for name in ("users.jsonl", os.path.join("items", "dt=2026-01-01", "items.jsonl")):
        assert lines(folder, "two", "logs", name) == lines(tmp_path, "all", name)


def test_another_seed_divides_the_users_otherwise(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(closed_loop, "run_days", lambda *_: None)
    other = run_closed_loop(ARMS, dataclasses.replace(SETTINGS, seed=18), str(tmp_path / "other"))
    assert np.any(other.arm_of != loop.arm_of)


def test_sums_count_what_each_user_saw_and_did(loop):
    shown = np.concatenate([loop.shown[day] for day in loop.days])
    for number in range(3):
        by_day = loop.sums(number)
        sums = {**{key: one.sum(axis=1) for key, one in by_day.items()}, "days": by_day["days"]}
        for place, user in enumerate(np.flatnonzero(loop.arm_of == number)):
            mine = shown[shown["user"] == user]
            assert sums["days"][place].tolist() == [1.0, 1.0]
            assert sums["shown"][place] == len(mine)
            assert sums["pages"][place] == len(mine) / PAGE_SIZE
            assert sums["clicks"][place] == sum(row["clicked_at"] >= 0 for row in mine)
            assert sums["watched_seconds"][place] == pytest.approx(mine["watched_seconds"].sum())
            assert sums["distinct_items"][place] == len(set(mine["item"].tolist()))
            expected = fresh = 0.0
            for day in loop.days:
                rows = loop.shown[day]
                worth = loop.simulator.expected_watch_seconds(f"u{user:05d}", day)
                newest = 300 + 10 * ((day - SETTINGS.start).days - 1)
                for row in rows[rows["user"] == user]:
                    expected += worth[row["item"]] / np.sqrt(1.0 + row["position"])
                    fresh += row["item"] >= newest
            assert sums["expected_seconds"][place] == pytest.approx(expected)
            assert sums["fresh"][place] == fresh


def test_sums_of_a_day_are_of_that_day_alone(loop):
    day = loop.days[0]
    assert sum(loop.sums(number, [day])["pages"].sum() for number in range(3)) == 120
    assert set(loop.sums(0, [day])["days"][:, 0]) == {1.0}


def test_a_second_call_reads_what_was_shown_and_goes_on(loop, folder, monkeypatch):
    monkeypatch.setattr(Simulator, "show", None)
    monkeypatch.setattr(closed_loop, "run_days", lambda *_: None)
    again = run_closed_loop(ARMS, SETTINGS, str(folder))
    for day, shown in loop.shown.items():
        np.testing.assert_array_equal(again.shown[day], shown)


def test_a_release_that_a_gate_holds_does_not_end_the_loop_but_a_failure_does(
    tmp_path, monkeypatch
):
    def held(config, workdir, source, days):
        path = workdir.metrics_path("run_daily", days[-1])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"status": "held"}, file)
        raise JobError("a gate")

    def failed(config, workdir, source, days):
        raise JobError("no space left")

    monkeypatch.setattr(closed_loop, "run_days", held)
    assert len(run_closed_loop(ARMS, SETTINGS, str(tmp_path / "held")).days) == 2
    monkeypatch.setattr(closed_loop, "run_days", failed)
    with pytest.raises(JobError, match="no space left"):
        run_closed_loop(ARMS, SETTINGS, str(tmp_path / "failed"))


def test_the_report_says_what_is_no_difference(loop):
    found = compare(loop)
    written = as_dictionary(found)
    assert written["days"] == ["2026-01-02", "2026-01-03"]
    assert [arm["users"] for arm in written["arms"].values()] == np.bincount(loop.arm_of).tolist()
    assert list(written["differences"]) == ["two", "three"]
    table = as_table(found).splitlines()
    # All show the same, by chance alone.
    for key, one in written["differences"]["two"].items():
        assert one["is_none"] == (one["low"] <= 0.0 <= one["high"])
        assert one["difference"] == pytest.approx(
            written["arms"]["two"][key] - written["arms"]["one"][key]
        )
    (row,) = [line for line in table[2:3] if " two " in line]
    assert "no difference (" in row
    assert written["by_day"]["clicks"]["one"] == [
        pytest.approx(loop.sums(0, [day])["clicks"].mean()) for day in loop.days
    ]


def test_the_report_says_when_the_users_differed_before_anything_was_released(loop):
    found = compare(loop)
    day = loop.simulator.dates[0]
    ours = differences(loop.sums(0, [day]), loop.sums(1, [day]), SETTINGS.seed)
    assert found.at_first["two"] == ours
    apart = {key: dataclasses.replace(one, low=1.0, high=2.0) for key, one in ours.items()}
    alike = {key: dataclasses.replace(one, low=-1.0, high=1.0) for key, one in ours.items()}
    table = as_table(dataclasses.replace(found, at_first={"two": apart, "three": alike}))
    said = [line for line in table.splitlines() if "on the first day already" in line]
    assert len(said) == len(ours)
    assert said[1].startswith("the users of two differed on the first day already, by chance: cli")
