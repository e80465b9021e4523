"""To which day an event belongs, and when it was: late ones, undivided files, clocks and zones."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.event_definition import (
    NUMBER,
    T,
    assert_same,
    make_config,
    make_plan,
    read,
    usual,
    write,
)
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.event_reading import EventReader

YESTERDAY, TOMORROW = T - 86_400, T + 86_400


@pytest.mark.parametrize("late", ["reject", "keep"])
def test_late_events_are_rejected_or_become_events_of_the_day_they_are_found_in(tmp_path, late):
    plan = make_plan(tmp_path, make_config(examples={"late_events": late}))
    records = [usual(timestamp=time) for time in (T, YESTERDAY, TOMORROW)]
    rows, lines, counts, _ = read(plan, [SourceSplit(write(tmp_path / "x.jsonl", records))])
    kept = [T, YESTERDAY] if late == "keep" else [T]
    assert [(row["timestamp"], row["day"]) for row in rows] == [(time, NUMBER) for time in kept]
    reasons = [json.loads(one.line)["reason"] for one in lines]
    too_early = "ahead of its time: an event of 2024-03-02 in a file of 2024-03-01"
    too_late = "late: an event of 2024-02-29 in a file of 2024-03-01"
    assert reasons == ([too_early] if late == "keep" else [too_late, too_early])
    assert {one.day for one in lines} == {NUMBER}
    assert counts == {NUMBER: 3}


UNDIVIDED = [
    usual(),
    usual(timestamp=YESTERDAY, item_id="unknown"),
    {"user_id": "u1"},
    usual(timestamp="never"),
    usual(timestamp=str(TOMORROW)),
    usual(timestamp=TOMORROW, user_id=None),
    usual(timestamp=YESTERDAY, watched=[]),
    usual(timestamp=T + 7 * 86_400),
]


@pytest.mark.parametrize("days", [(-1, 0, 1), (-1,), (0,), (0, 1)])
def test_an_undivided_file_gives_each_day_its_own_and_the_first_what_has_no_time(tmp_path, days):
    plan = make_plan(tmp_path, make_config(), days=tuple(NUMBER + day for day in days))
    file = write(tmp_path / "x.jsonl", UNDIVIDED)
    file = SourceFile(file.path, "jsonl")
    rows, lines, counts, _ = read_unsorted(plan, SourceSplit(file))
    valid = {0: [T], 1: [TOMORROW], -1: []}
    numbers = {0: [], 1: [6], -1: [2, 7, 3, 4]}
    assert rows == [(NUMBER + day, time) for day in days for time in valid[day]]
    assert sorted((day, json.loads(line)["line"]) for day, line in lines) == sorted(
        (NUMBER + day, number) for day in days for number in numbers[day]
    )
    assert counts == {NUMBER + day: len(valid[day]) + len(numbers[day]) for day in days}


def read_unsorted(plan: Plan, split: SourceSplit):
    batches = list(EventReader(plan).read(0, split))
    rows = [(row["day"], row["timestamp"]) for b in batches for row in b.valid.to_pylist()]
    lines = [(one.day, one.line) for batch in batches for one in batch.rejected]
    counts: dict[int, int] = {}
    for batch in batches:
        for day, count in batch.read.items():
            counts[day] = counts.get(day, 0) + count
    return sorted(rows), lines, counts, None


def test_an_undivided_file_without_a_readable_time_is_refused(tmp_path):
    plan = make_plan(tmp_path, make_config())
    file = write(tmp_path / "x.jsonl", [usual(timestamp="soon"), {}])
    with pytest.raises(InputError) as caught:
        list(EventReader(plan).read(0, SourceSplit(SourceFile(file.path, "jsonl"))))
    assert str(caught.value).startswith(
        "x.jsonl has not one record with a readable time; the first, x.jsonl:1: column 'timestamp'"
    )
    write(tmp_path / "x.jsonl", [])
    empty = EventReader(plan).read(0, SourceSplit(SourceFile(file.path, "jsonl")))
    assert not any(len(batch.valid) or batch.rejected or batch.read for batch in empty)


def test_times_at_the_change_of_clocks_are_read_as_one_by_one(tmp_path):
    day = datetime.date(2026, 10, 25)
    config = make_config({"timestamp_unit": "iso8601", "time_zone": "Europe/Zurich"})
    start = datetime.datetime(2026, 10, 24, 23)
    clocks = [start + datetime.timedelta(seconds=977 * n) for n in range(100)]
    records = [usual(timestamp=clock.isoformat()) for clock in clocks]
    plan = make_plan(tmp_path, config, days=(day.toordinal(),))
    jsonl = SourceFile(write(tmp_path / "x.jsonl", records).path, "jsonl", day)
    assert_same(plan, jsonl, [SourceSplit(jsonl)])
    pq.write_table(
        pa.Table.from_pylist([usual(timestamp=clock) for clock in clocks]), tmp_path / "x.parquet"
    )
    parquet = SourceFile(str(tmp_path / "x.parquet"), "parquet", day)
    assert_same(plan, parquet, [SourceSplit(parquet)])
    assert len(read(plan, [SourceSplit(jsonl)])[0]) > 70


def test_offsets_of_times_count_in_both_directions(tmp_path):
    plan = make_plan(tmp_path, make_config({"timestamp_unit": "iso8601"}))
    zones = ["Z", "z", "+02:00", "-02:00", "+05:45", "-00:30", ""]
    records = [usual(timestamp=f"2024-03-01T12:00:00{zone}") for zone in zones]
    file = write(tmp_path / "x.jsonl", records)
    assert_same(plan, file, [SourceSplit(file)])
    hours = [(row["timestamp"] - T) / 3600 for row in read(plan, [SourceSplit(file)])[0]]
    assert hours == [0, 0, -2, 2, -5.75, 0.5, 0]
