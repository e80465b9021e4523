"""Logs with a folder an hour: all of a day's are read, and what lacks is told."""

import datetime

import pytest

from twotower_tf.config import Config
from twotower_tf.config_loader import examples_fingerprint
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples.building.hours import check_hours, missing_hours
from twotower_tf.storage import read_json


@pytest.fixture
def by_hours(deployment, make_event, days):
    """Two events of each of the first day's hours but the third and the last, a folder an hour."""
    deployment.write_usual()
    deployment.values["source"]["events"]["path"] = "e/dt={date}/{hour}/*.jsonl"
    for hour in range(23):
        if hour != 3:
            two = [make_event(hour % 5, one, hour * 3600 + one) for one in range(2)]
            deployment.write(f"e/dt={days[0]}/{hour:02}/x.jsonl", two)
    return deployment


def test_all_hours_of_a_day_are_read_and_those_that_lack_are_named(by_hours, days, caplog):
    counts = by_hours.build(days[:1])[days[0]]
    assert (counts["events"], counts["rejected"]) == (44, 0)
    (said,) = [one for one in caplog.messages if "hours" in one]
    assert said == (
        f"the events of {days[0]} lack 2 hours, 03, 23: "
        f"no file of them matches e/dt={days[0]}/*/*.jsonl"
    )
    metrics = read_json(by_hours.workdir().metrics_path("build_examples", days[0]))
    assert metrics["missing_hours"] == {"events": [3, 23]}


def test_a_missing_hour_may_be_an_error_and_binds_nothing(by_hours, days):
    with pytest.raises(InputError, match=r"lack 2 hours, 03, 23: .*an empty file makes an empty"):
        by_hours.build(days[:1], missing_hours="error")
    assert not any(by_hours.published().values())
    by_hours.write(f"e/dt={days[0]}/3/x.jsonl", [])
    by_hours.write(f"e/dt={days[0]}/23/x.jsonl", [])
    assert by_hours.build(days[:1], missing_hours="error")[days[0]]["events"] == 44
    strict, lenient = by_hours.config(missing_hours="error"), by_hours.config()
    assert examples_fingerprint(strict) == examples_fingerprint(lenient)


def test_a_day_without_any_hour_is_an_error(by_hours, days):
    with pytest.raises(InputError, match=rf"no events of {days[1]}: no file matches .*/\*/\*"):
        by_hours.build(days[:2])


@pytest.mark.parametrize("day", ["2026-03-08", "2026-03-09", "2026-11-01"])
def test_an_hour_that_the_clocks_skip_does_not_lack(deployment, day):
    deployment.values["source"]["events"]["path"] = "e/{date}/{hour}.jsonl"
    day = datetime.date.fromisoformat(day)
    files = [SourceFile("", "jsonl", day, hour=hour) for hour in range(24) if hour != 2]
    files.append(SourceFile("", "jsonl", day + datetime.timedelta(days=1), hour=2))
    whole = [*files, SourceFile("", "jsonl", day, hour=2)]
    for day_starts in ("00:00 UTC", "00:00 America/New_York"):
        deployment.values["source"]["day_starts"] = day_starts
        config: Config = deployment.config(missing_hours="error")
        assert missing_hours(config, "events", whole, day) == []
        skipped = day_starts != "00:00 UTC" and str(day) == "2026-03-08"
        assert missing_hours(config, "events", files, day) == ([] if skipped else [2])
    check_hours(config, "events", whole, [day])


def test_without_hours_in_the_path_none_lack(deployment, days):
    assert missing_hours(deployment.config(), "events", [], days[0]) is None
    assert missing_hours(deployment.config(), "searches", [], days[0]) is None
