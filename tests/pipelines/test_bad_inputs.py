"""Input that is missing, broken or delivered twice: what the daily job says, and what it leaves."""

import csv
import datetime
import io
import json
import math
import shutil

import pytest

# What may be there of a day that failed: which of its records were rejected, to look at.
REJECTED_ONLY = ["rejected"]


def _rejected(site, day) -> list[dict]:
    path = site.workdir / "rejected" / f"dt={day}" / "events.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _csv(records: list[dict], columns: list[str]) -> list[bytes]:
    """Returns records as the lines of a CSV file; missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode().splitlines()


# --- what is missing --------------------------------------------------------------------------


def test_a_missing_source_is_named_with_where_to_get_it(site, days):
    shutil.rmtree(site.source)
    run = site.run("run_daily", f"--date={days[0]}")
    assert run.status == 2
    assert f"--source={site.source}: there is no such folder" in run.error
    assert "get the data set from https://example.org/site" in run.error
    assert site.made(days[0]) == []


@pytest.mark.parametrize("missing", ["items", "users"])
def test_a_missing_file_of_the_source_is_named_with_its_key(site, days, missing):
    (site.source / f"{missing}.jsonl").unlink()
    run = site.run("run_daily", f"--date={days[0]}")
    assert run.status == 2
    assert f"there is no {missing}.jsonl (source.{missing}.path)" in run.error
    assert site.made(days[0]) == []


def test_a_day_without_a_file_is_named_and_none_of_its_range_is_built(site, days):
    (site.source / "events" / f"{days[1]}.jsonl").unlink()
    run = site.run("run_daily", f"--start={days[0]}", f"--end={days[2]}")
    assert run.status == 2
    assert f"there are no events of {days[1]}" in run.error
    assert f"{site.source}/events/{days[1]}.jsonl" in run.error
    assert [site.made(day) for day in days[:3]] == [[], [], []]


def test_a_column_missing_from_a_csv_header_is_named_with_the_nearest_that_is_there(
    site, days, day_events
):
    site.values["source"]["events"]["path"] = "log.csv"
    columns = ["user_id", "item_id", "timestamp", "seed", "watched", "device"]
    lines = _csv(day_events(days[0]), columns)
    site.write("log.csv", [lines[0].replace(b"timestamp", b"time_stamp"), *lines[1:]])
    run = site.run("run_daily", f"--date={days[0]}")
    assert run.status == 2
    assert f"{site.source}/log.csv: there is no column 'timestamp'" in run.error
    assert "(source.events.columns.timestamp); did you mean 'time_stamp'?" in run.error
    assert site.made(days[0]) == []


def test_a_future_day_is_refused(site, day_events):
    tomorrow = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    site.write_day(tomorrow, day_events(tomorrow))
    run = site.run("run_daily", f"--date={tomorrow}")
    assert run.status == 2
    assert f"{tomorrow} is in the future (today is 20" in run.error
    assert site.made(tomorrow) == []


# --- broken records ---------------------------------------------------------------------------


def _line(record: dict) -> bytes:
    return json.dumps(record).encode()


# How a good record is broken, what the reason says is wrong, and what would be right.
BROKEN = {
    "a broken line": (
        lambda record: _line(record)[:5],
        "not JSON: Unterminated string starting at character 2",
        "",
    ),
    "a missing column": (
        lambda record: {key: value for key, value in record.items() if key != "user_id"},
        "column 'user_id' is missing",
        "it must be an id",
    ),
    "a time in milliseconds": (
        lambda record: {**record, "timestamp": record["timestamp"] * 1000},
        "this looks like milliseconds",
        "set timestamp_unit: milliseconds",
    ),
    "an event of tomorrow": (
        lambda record: {**record, "timestamp": record["timestamp"] + 86_400},
        "ahead of its time: an event of 2024-03-02",
        "in a file of 2024-03-01",
    ),
    "an unknown item": (
        lambda record: {**record, "item_id": "i999"},
        "item_id 'i999' is not in the catalogue as of 2024-03-01",
        "examples.unknown_items",
    ),
    "a reward that is no number": (
        lambda record: {**record, "watched": math.nan},
        "column 'watched' is nan",
        "it must be a finite number",
    ),
    "an id of a megabyte": (
        lambda record: {**record, "user_id": "u" * 2**20},
        "(1048576 are given)",
        "it must be an id of at most 512 bytes",
    ),
    "bytes that are no text": (
        lambda record: _line(record).replace(b'"u', b'"\xff', 1),
        "not UTF-8: byte 0xff at position",
        "",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_day_with_too_many_broken_records_is_refused_with_an_example(
    site, days, day_events, kind
):
    break_record, wrong, right = BROKEN[kind]
    records = day_events(days[0])
    site.write_day(days[0], [*records[:139], *map(break_record, records[139:])])
    run = site.run("run_daily", f"--date={days[0]}")
    assert run.status == 2
    assert f"11 of 150 events of {days[0]} were rejected (7.3%)" in run.error
    assert "examples.max_rejected_share=0.05 allows; 11 of them like" in run.error
    assert f"like events/{days[0]}.jsonl:140: " in run.error
    assert wrong in run.error
    assert right in run.error
    assert len(run.error) < 600
    assert site.made(days[0]) == REJECTED_ONLY
    assert [one["line"] for one in _rejected(site, days[0])] == list(range(140, 151))


def test_a_day_with_a_few_broken_records_of_every_kind_is_done_and_they_are_kept(
    site, days, day_events
):
    day = days[0]
    good = day_events(day)
    # The next second is no other event's: a broken record must not pass for a copy.
    spare = {**good[0], "timestamp": good[0]["timestamp"] + 1}
    broken = [break_record(spare) for break_record, _, _ in BROKEN.values()]
    site.write_day(day, [*good, *broken])
    run = site.run("run_daily", f"--date={day}", "--set=examples.max_rejected_share=0.06")
    assert (run.status, site.releases()) == (0, ["2024030100"])

    rejected = _rejected(site, day)
    assert len(rejected) == len(BROKEN)
    for number, (one, (_, wrong, right)) in enumerate(zip(rejected, BROKEN.values(), strict=True)):
        assert (one["file"], one["line"]) == (f"events/{day}.jsonl", 151 + number)
        assert wrong in one["reason"]
        assert right in one["reason"]
    kept = dict(zip(BROKEN, (one["record"] for one in rejected), strict=True))
    assert kept["a broken line"] == broken[0].decode()
    assert kept["an unknown item"] == broken[4]
    assert kept["a reward that is no number"]["watched"] == "nan"
    assert kept["an id of a megabyte"] == broken[6]
    assert r"\xff" in kept["bytes that are no text"]

    counts = site.manifest("examples", day)["counts"]
    assert counts["events"] == 150 + len(BROKEN)
    assert counts["rejected"] == len(BROKEN) == site.manifest("rejected", day)["counts"]["events"]
    assert counts["examples"] + counts["held_out"] == 150
    assert counts["duplicates"] == 0
    measured = site.metrics("build_examples", day)
    assert {name: measured[name] for name in counts} == counts
    row = run.out.splitlines()[3].split()
    assert row[:4] == [str(day), "158", str(counts["examples"]), str(len(BROKEN))]


def test_a_log_all_of_whose_times_are_in_milliseconds_is_refused_with_the_key_to_set(
    site, days, day_events
):
    site.values["source"]["events"]["path"] = "log.jsonl"
    log = [{**one, "timestamp": one["timestamp"] * 1000} for one in day_events(days[0])]
    site.write("log.jsonl", log)
    run = site.run("run_daily", f"--date={days[0]}")
    assert run.status == 2
    assert "log.jsonl has not one record with a readable time" in run.error
    assert "this looks like milliseconds; set timestamp_unit: milliseconds" in run.error
    assert "(source.events.columns.timestamp, source.events.timestamp_unit)" in run.error
    assert site.made(days[0]) == []


def test_broken_records_do_not_change_the_examples(site, days, day_events, tmp_path):
    good = day_events(days[0])
    site.run("build_examples", f"--date={days[0]}")
    expected = site.files("examples", "histories")
    broken = [break_record(good[0]) for break_record, _, _ in BROKEN.values()]
    site.write_day(days[0], [*broken, *good])
    site.workdir = tmp_path / "again"
    run = site.run("build_examples", f"--date={days[0]}", "--set=examples.max_rejected_share=1")
    assert run.status == 0
    manifest = f"examples/dt={days[0]}/manifest.json"
    found = site.files("examples", "histories")
    del expected[manifest], found[manifest]
    assert found == expected


@pytest.mark.parametrize(
    ("broken", "wrong"),
    [
        (b"u1,i1,1709251200,,1,tv,more", "7 fields, but the header has 6"),
        (b'u1,"i1,1709251200,,1,tv', "a quote is never closed"),
        (b"u1,i1,1709251200,,1,\xff", "not UTF-8: byte 0xff"),
    ],
)
def test_a_line_of_a_csv_file_that_cannot_be_read_costs_itself_alone(
    site, days, day_events, broken, wrong
):
    site.values["source"]["events"]["path"] = "events/{date}.csv"
    columns = ["user_id", "item_id", "timestamp", "seed", "watched", "device"]
    lines = _csv(day_events(days[0]), columns)
    site.write(f"events/{days[0]}.csv", [*lines[:50], broken, *lines[50:]])
    run = site.run("build_examples", f"--date={days[0]}")
    assert run.status == 0
    (rejected,) = _rejected(site, days[0])
    assert (rejected["file"], rejected["line"]) == (f"events/{days[0]}.csv", 51)
    assert wrong in rejected["reason"]
    counts = site.manifest("examples", days[0])["counts"]
    assert (counts["events"], counts["rejected"]) == (151, 1)


def test_an_event_of_tomorrow_in_todays_file_is_rejected(site, day_events):
    today = datetime.datetime.now(datetime.timezone.utc).date()
    ahead = [{**day_events(today)[0], "timestamp": day_events(today)[0]["timestamp"] + 86_400}]
    site.write_day(today, day_events(today) + ahead)
    run = site.run("build_examples", f"--date={today}")
    assert run.status == 0
    (rejected,) = _rejected(site, today)
    assert rejected["reason"].startswith("ahead of its time: an event of ")
    assert rejected["record"] == ahead[0]


# --- events delivered twice, days without any -------------------------------------------------


def test_events_delivered_twice_are_dropped_and_counted_and_the_examples_are_the_same(
    site, days, tmp_path
):
    site.values["source"]["events"]["path"] = "events/{date}*.jsonl"
    assert site.run("build_examples", f"--date={days[0]}").status == 0
    once = site.files("examples", "histories")
    counts_once = site.manifest("examples", days[0])["counts"]
    first = site.source / "events" / f"{days[0]}.jsonl"
    shutil.copy(first, first.with_name(f"{days[0]}-again.jsonl"))
    site.workdir = tmp_path / "twice"
    assert site.run("build_examples", f"--date={days[0]}").status == 0
    twice = site.files("examples", "histories")
    counts = site.manifest("examples", days[0])["counts"]
    assert counts == {**counts_once, "events": 300, "duplicates": 150}
    manifest = f"examples/dt={days[0]}/manifest.json"
    del once[manifest], twice[manifest]
    assert len(once) > 4
    assert twice == once


@pytest.mark.long
def test_an_empty_day_is_held_back_by_its_gate_and_the_next_day_goes_on(finished, days):
    released = finished.releases()
    finished.write_day(days[3], [])
    run = finished.run("run_daily", f"--date={days[3]}")
    assert run.status == 1
    assert (
        f"the release of {days[3]} was held back by a gate: examples: 0 is less than" in run.error
    )
    assert "gates.min_examples" in run.error
    assert finished.releases() == released
    assert finished.metrics("run_daily", days[3])["status"] == "held"
    assert finished.metrics("train", days[3])["examples"] == 0
    assert (
        finished.manifest("checkpoints", days[3])["step"]
        == (finished.manifest("checkpoints", days[2])["step"])
    )

    run = finished.run("run_daily", f"--date={days[4]}")
    assert run.status == 0
    assert finished.releases() == [*released, "2024030500"]


@pytest.mark.long
def test_an_empty_day_is_released_where_the_configuration_lets_it(finished, days):
    finished.write_day(days[3], [])
    run = finished.run("run_daily", f"--date={days[3]}", "--set=gates.min_examples=0")
    assert run.status == 0
    assert finished.releases()[-1] == "2024030400"
    assert "held_out" in finished.metrics("evaluate", days[3])["after"]


@pytest.mark.long
def test_a_deployment_may_begin_with_an_empty_day(site, days):
    site.write_day(days[0], [])
    run = site.run("run_daily", f"--start={days[0]}", f"--end={days[1]}")
    assert run.status == 0
    assert site.releases() == ["2024030200"]
    assert site.metrics("train", days[0])["examples"] == 0
    assert site.metrics("train", days[1])["examples"] > 0
