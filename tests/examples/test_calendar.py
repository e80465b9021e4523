"""When days start: against clocks that are watched minute by minute, changes of clocks included."""

import datetime
import json
import zoneinfo

import numpy as np
import pytest

from tests.event_definition import make_config, make_plan, read, usual, write
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.reading.event_reading import EventReader

ZONES = ["UTC", "America/New_York", "Europe/Zurich", "Australia/Lord_Howe", "America/Sao_Paulo"]
# Where clocks go forward and back, the last two at midnight.
WEEKS = {
    "UTC": ["2026-01-30"],
    "America/New_York": ["2026-03-06", "2026-10-30"],
    "Europe/Zurich": ["2026-03-27", "2026-10-23"],
    "Australia/Lord_Howe": ["2026-04-03", "2026-10-02"],
    "America/Sao_Paulo": ["2018-02-16", "2018-11-02"],
}


def _watched(zone: str, clock: datetime.time, first: datetime.date) -> tuple[list[int], list[int]]:
    """Returns the minutes of some days, Unix seconds, and the day of each.

    A day goes on until the wall clock first shows the next day's start, or what is after it.
    """
    day = first
    seconds = int(datetime.datetime.combine(first, clock, zoneinfo.ZoneInfo(zone)).timestamp())
    minutes, days = [], []
    while day < first + datetime.timedelta(days=5):
        wall = datetime.datetime.fromtimestamp(seconds, zoneinfo.ZoneInfo(zone))
        following = day + datetime.timedelta(days=1)
        if wall.replace(tzinfo=None) >= datetime.datetime.combine(following, clock):
            day = following
        minutes.append(seconds)
        days.append(day.toordinal())
        seconds += 60
    return minutes, days


@pytest.mark.parametrize("clock", ["00:00", "04:00", "01:30", "23:30"])
@pytest.mark.parametrize("zone", ZONES)
def test_a_day_lasts_until_the_clock_shows_its_start_on_the_next_date(zone, clock):
    calendar = Calendar(f"{clock} {zone}")
    for week in WEEKS[zone]:
        first = datetime.date.fromisoformat(week)
        minutes, days = _watched(zone, datetime.time.fromisoformat(clock), first)
        assert calendar.numbers_of(np.array(minutes)).tolist() == days
        assert calendar.numbers_of(np.array(minutes) + 59).tolist() == days
        starts = [minutes[days.index(day)] for day in sorted(set(days))[1:]]
        found = [datetime.date.fromordinal(day) for day in sorted(set(days))]
        assert [calendar.start_of(day) for day in found[1:]] == starts
        assert [calendar.end_of(day) for day in found[:-1]] == starts


def test_a_day_has_23_or_25_hours_where_clocks_are_changed():
    calendar = Calendar("00:00 America/New_York")
    days = [datetime.date(2026, 3, 8), datetime.date(2026, 11, 1), datetime.date(2026, 7, 1)]
    assert [calendar.end_of(day) - calendar.start_of(day) for day in days] == [
        23 * 3600,
        25 * 3600,
        24 * 3600,
    ]
    assert calendar.hours_of(days[0]) == [0, 1, *range(3, 24)]
    assert calendar.hours_of(days[1]) == list(range(24))
    assert Calendar("04:00 America/New_York").hours_of(days[2]) == [*range(4, 24), 0, 1, 2, 3]


def test_a_start_that_never_comes_is_read_as_times_are():
    calendar = Calendar("02:30 America/New_York")
    changed = datetime.datetime(2026, 3, 8, 3, 30, tzinfo=zoneinfo.ZoneInfo("America/New_York"))
    assert calendar.start_of(changed.date()) == changed.timestamp()


def test_days_are_those_of_utc_unless_said_otherwise():
    times = np.random.default_rng(5).integers(631_152_000, 4_102_444_800, 1000)
    expected = [
        datetime.datetime.fromtimestamp(time, datetime.timezone.utc).toordinal()
        for time in times.tolist()
    ]
    assert Calendar().numbers_of(times).tolist() == expected
    assert Calendar("00:00 Etc/UTC").numbers_of(times).tolist() == expected


def _starting(day_starts: str, **events) -> Config:
    values = make_config(events).model_dump(by_alias=True)
    values["source"]["day_starts"] = day_starts
    return Config.model_validate(values)


@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01", "2026-07-01"])
def test_a_log_cut_at_local_midnight_loses_nothing_and_its_neighbours_hours_are_not_in_it(
    tmp_path, day
):
    day = datetime.date.fromisoformat(day)
    zone = zoneinfo.ZoneInfo("America/New_York")
    config = _starting("00:00 America/New_York")
    plan = make_plan(tmp_path, config, days=(day.toordinal(),))
    noon = int(datetime.datetime(day.year, day.month, day.day, 12, tzinfo=zone).timestamp())
    times = [noon + 1800 * step for step in range(-60, 60)]
    local = [datetime.datetime.fromtimestamp(time, zone).date() for time in times]
    written = write(tmp_path / "x.jsonl", [usual(timestamp=time) for time in times])
    rows, lines, counts, _ = read(plan, [SourceSplit(SourceFile(written.path, "jsonl", day))])
    own = [time for time, date in zip(times, local, strict=True) if date == day]
    assert [(row["timestamp"], row["day"]) for row in rows] == [
        (time, day.toordinal()) for time in own
    ]
    assert len(own) == {3: 46, 11: 50, 7: 48}[day.month]
    reasons = [json.loads(one.line)["reason"].split(":")[0] for one in lines]
    others = [date for date in local if date != day]
    assert reasons == ["late" if date < day else "ahead of its time" for date in others]
    assert counts == {day.toordinal(): len(times)}


def test_a_file_that_no_day_divides_is_divided_by_the_same_days(tmp_path):
    config = _starting("04:00 Europe/Zurich")
    day = datetime.date(2026, 3, 28)
    plan = make_plan(tmp_path, config, days=(day.toordinal(), day.toordinal() + 1))
    start = Calendar("04:00 Europe/Zurich").start_of(day)
    # The second of them is the day of 23 hours: it starts at 4 in winter, the next in summer.
    seconds = [-1, 0, 23 * 3600 - 1, 23 * 3600, 47 * 3600 - 1, 47 * 3600]
    written = write(tmp_path / "x.jsonl", [usual(timestamp=start + one) for one in seconds])
    split = SourceSplit(SourceFile(written.path, "jsonl"))
    found = [row for batch in EventReader(plan).read(0, split) for row in batch.valid.to_pylist()]
    assert [(row["timestamp"] - start, row["day"] - day.toordinal()) for row in found] == [
        (0, 0),
        (23 * 3600 - 1, 0),
        (23 * 3600, 1),
        (47 * 3600 - 1, 1),
    ]
