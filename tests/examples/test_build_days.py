"""Days: one by one or in one go, done already, half-done, empty, missing, too bad to publish."""

import datetime
import json
import os
import pathlib
import random
import subprocess
import sys
import textwrap
import zoneinfo

import pytest

from tests.examples.conftest import MIDNIGHT
from tests.power_cuts import Disk
from twotower_tf.errors import InputError
from twotower_tf.examples.building.build import build_examples
from twotower_tf.examples.users.histories import find_history
from twotower_tf.storage import checksum, read_json

SECONDS_PER_DAY = 86_400


def mixed_log(make_event, days: int, seed: int) -> list:
    """Returns good events, bad ones, copies, and lines that are no events at all."""
    rng = random.Random(seed)
    log: list = []
    for _ in range(60 * days):
        record = make_event(
            rng.randrange(9), rng.randrange(7), rng.randrange(days * SECONDS_PER_DAY)
        )
        log += [record] * (2 if rng.random() < 0.1 else 1)
    for day in range(days):
        bad = make_event(1, 1, day * SECONDS_PER_DAY + 7, watched="a lot")
        log += [bad, {**bad, "watched": 1, "user_id": None}]
    rng.shuffle(log)
    return [*log, b"{", b"\xff\xfe"]


def read_rejected(workdir, day: datetime.date, name: str = "events") -> list[dict]:
    partition = workdir.partition("rejected", day)
    assert partition.exists()
    path = partition.file(f"{name}.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def reasons(workdir, day: datetime.date) -> list[str]:
    return [record["reason"] for record in read_rejected(workdir, day)]


# --- the same bytes ---------------------------------------------------------------------------


def test_days_in_one_go_and_one_by_one_make_the_same_bytes(deployment, make_event, make_item, days):
    deployment.in_one_file()
    deployment.write("events.jsonl", mixed_log(make_event, len(days), seed=1))
    deployment.write("items.jsonl", [make_item(n) for n in range(6)] + [make_item(1), b"?"])
    deployment.values["source"]["users"]["path"] = "users/{date}.jsonl"
    for n in (0, 2):
        users = [{"user_id": f"u{user}", "country": f"c{n}"} for user in range(4 + n)]
        deployment.write(f"users/{days[n]}.jsonl", [*users, b"?"])
    days = days[:3]
    settings = {"max_rejected_share": 0.5, "max_per_user_and_day": 6, "min_reward": 0.2}
    together = deployment.build(days, "together", **settings)
    one_by_one = {}
    for day in days:
        one_by_one |= deployment.build([day], "one_by_one", **settings)
    assert together == one_by_one
    assert all(count > 0 for counts in together.values() for count in counts.values())
    written = deployment.files("together")
    again = deployment.files("one_by_one")
    assert written.keys() == again.keys()
    assert [name for name in written if written[name] != again[name]] == []


def test_dated_files_in_one_go_and_one_by_one_make_the_same_bytes(
    deployment, make_event, make_item, days
):
    deployment.values["source"]["items"]["path"] = "items/{date}.jsonl"
    for number, day in enumerate(days):
        if number != 1:
            items = [make_item(n, length=90 + number) for n in range(5 + number)]
            deployment.write(f"items/{day}.jsonl", [*items, b"?"])
        deployment.write_day(day, mixed_log(make_event, len(days), seed=number))
    deployment.build(days, "together", max_rejected_share=1.0)
    for day in days:
        deployment.build([day], "one_by_one", max_rejected_share=1.0)
    assert deployment.files("together") == deployment.files("one_by_one")


def test_the_manifest_tells_the_files_as_they_are(deployment, make_event, days):
    deployment.write_day(days[0], mixed_log(make_event, 1, seed=2))
    counts = deployment.build(days[:1], max_rejected_share=0.5)[days[0]]
    workdir = deployment.workdir()
    for kind in deployment.published():
        partition = workdir.partition(kind, days[0])
        shards = partition.manifest()["shards"]
        there = set(os.listdir(partition.path)) - {"manifest.json"}
        assert {shard["file"] for shard in shards} == there
        for shard in shards:
            assert checksum(partition.file(shard["file"])) == shard["sha256"]
    manifest = workdir.partition("examples", days[0]).manifest()
    assert manifest["counts"] == counts
    assert sum(shard["records"] for shard in manifest["shards"]) == (
        counts["examples"] + counts["held_out"]
    )
    parts = ("examples", "held_out", "history_only", "duplicates", "rejected")
    assert counts["events"] == sum(counts[part] for part in parts)
    log = deployment.source / "events" / f"dt={days[0]}" / "log.jsonl"
    assert manifest["inputs"] == [
        {"file": f"events/dt={days[0]}/log.jsonl", "bytes": log.stat().st_size}
    ]
    metrics = read_json(workdir.metrics_path("build_examples", days[0]))
    assert metrics.pop("seconds") > 0
    rows = sum(
        shard["records"] for shard in workdir.partition("histories", days[0]).manifest()["shards"]
    )
    assert list(metrics.pop("matches")) == ["profiles"]
    assert metrics == {**counts, "history_rows_read": 0, "history_rows_written": rows}


def test_a_catalogue_that_did_not_change_is_not_written_again(
    deployment, make_event, make_item, days
):
    deployment.in_one_file()
    log = [make_event(1, 1, n * SECONDS_PER_DAY) for n in range(4)]
    deployment.write("events.jsonl", log)
    deployment.build(days[:1])
    deployment.build(days[1:2])
    assert deployment.workdir().days("catalogue") == days[:1]
    deployment.write("items.jsonl", [make_item(1), make_item(2), make_item(1, length=500)])
    deployment.build(days[2:])
    assert deployment.workdir().days("catalogue") == [days[0], days[2]]
    counts = deployment.workdir().partition("catalogue", days[2]).manifest()["counts"]
    assert counts == {"read": 3, "items": 2, "duplicates": 1, "rejected": 0}


# --- which days -------------------------------------------------------------------------------


def test_days_that_are_built_are_left_alone(deployment, make_event, days):
    for number, day in enumerate(days):
        deployment.write_day(day, [make_event(1, 1, number * SECONDS_PER_DAY)])
    first = deployment.build(days[:2])
    before = deployment.files()
    deployment.write_day(days[0], [])
    counts = build_examples(
        deployment.config(), deployment.workdir(), str(deployment.source), days[:3]
    )
    assert counts[days[2]]["events"] == 1
    assert list(counts) == days[:3]
    assert {day: counts[day] for day in days[:2]} == first
    after = deployment.files()
    assert {name: after[name] for name in before} == before


def test_a_log_cut_at_local_midnight_is_whole_and_the_same_in_one_file(deployment, make_event):
    zone = zoneinfo.ZoneInfo("America/New_York")
    dates = [datetime.date(2024, 3, 9), datetime.date(2024, 3, 10), datetime.date(2024, 3, 11)]
    start = datetime.datetime(2024, 3, 9, tzinfo=zone).timestamp() - MIDNIGHT
    # Of 24, 23 (the clocks go forward on the 10th) and 24 hours, an event every half an hour.
    log = [make_event(n % 5, n % 6, int(start) + n * 1800) for n in range(2 * 71)]
    deployment.write_usual()
    deployment.values["source"]["day_starts"] = "00:00 America/New_York"
    by_date: dict = {date: [] for date in dates}
    for one in log:
        by_date[datetime.datetime.fromtimestamp(one["timestamp"], zone).date()].append(one)
    for date, events in by_date.items():
        deployment.write_day(date, events)
    counts = deployment.build(dates)
    assert [(one["events"], one["rejected"]) for one in counts.values()] == [
        (48, 0),
        (46, 0),
        (48, 0),
    ]
    deployment.in_one_file()
    deployment.write("events.jsonl", log)
    assert deployment.build(dates, name="undivided") == counts
    one = deployment.workdir("undivided").partition("histories", dates[1])
    ids, times = find_history(deployment.workdir("undivided"), one, "u1")
    own = [event for event in log if event["user_id"] == "u1"]
    until = [event for event in own if event["timestamp"] < by_date[dates[2]][0]["timestamp"]]
    assert times == [event["timestamp"] for event in until][-4:]
    assert ids == [event["item_id"] for event in until][-4:]


def test_a_day_without_events_is_an_empty_partition(deployment, make_event, days):
    deployment.write_day(days[0], [make_event(1, 1, 0)])
    deployment.write_day(days[1], [])
    counts = deployment.build(days[:2])[days[1]]
    assert set(counts.values()) == {0}
    manifest = deployment.workdir().partition("examples", days[1]).manifest()
    assert [shard["records"] for shard in manifest["shards"]] == [0] * 4
    workdir = deployment.workdir()
    assert find_history(workdir, workdir.partition("histories", days[1]), "u1")[0] == ["i1"]


def test_a_day_without_any_file_is_an_error_that_names_it(deployment, make_event, days):
    deployment.write_day(days[0], [make_event(1, 1, 0)])
    with pytest.raises(InputError, match=rf"no events of {days[1]}: no file matches .*{days[1]}"):
        deployment.build(days[:2])
    assert not any(deployment.published().values())


def test_a_day_in_the_future_is_an_error(deployment):
    tomorrow = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    with pytest.raises(InputError, match=f"{tomorrow} is in the future"):
        deployment.build([tomorrow])


def test_a_day_before_the_last_built_one_is_an_error(deployment, make_event, days):
    deployment.in_one_file()
    deployment.write("events.jsonl", [make_event(1, 1, 0)])
    deployment.build(days[2:3])
    with pytest.raises(InputError, match=rf"{days[0]} is a day before the last built.*{days[2]}"):
        deployment.build(days)


def test_histories_go_on_over_a_gap(deployment, make_event, days):
    deployment.in_one_file()
    log = [make_event(1, n, n * SECONDS_PER_DAY) for n in range(4)]
    deployment.write("events.jsonl", log)
    deployment.build(days[:1])
    deployment.build(days[2:])
    workdir = deployment.workdir()
    assert workdir.days("histories") == [days[0], days[2], days[3]]
    found, _ = find_history(workdir, workdir.partition("histories", days[3]), "u1")
    assert found == ["i0", "i2", "i3"]


def test_a_day_built_by_another_configuration_is_an_error(deployment, make_event, days):
    deployment.write_day(days[0], [make_event(1, 1, 0)])
    deployment.build(days[:1])
    with pytest.raises(InputError, match=f"examples of {days[0]} .* another configuration"):
        deployment.build(days[:1], history_length=9)


def test_the_catalogue_must_be_there_by_the_first_day(deployment, make_event, make_item, days):
    deployment.values["source"]["items"]["path"] = "items/{date}.jsonl"
    deployment.write(f"items/{days[1]}.jsonl", [make_item(1)])
    deployment.write_day(days[0], [make_event(1, 1, 0)])
    with pytest.raises(InputError, match=f"no snapshot of {days[0]} or a day before it"):
        deployment.build(days[:1])


# --- what is rejected -------------------------------------------------------------------------


def test_records_that_cannot_be_used_are_kept_with_reason_and_place(deployment, make_event, days):
    good = [make_event(1, 1, n) for n in range(3)]
    bad = [
        b'{"user_id": "u1", ',
        b"\xff\xff",
        make_event(1, 1, 5, watched=float("nan")),
        make_event(1, 1, 5, user_id="x" * 2**20),
        make_event(1, 99, 5),
        {"user_id": "u1", "timestamp": good[0]["timestamp"]},
        make_event(1, 1, 5, timestamp="noon"),
        make_event(1, 1, -1),
        make_event(1, 1, SECONDS_PER_DAY),
        make_event(1, 1, 5, seed="\ud800"),
    ]
    deployment.write_day(days[0], [*good, *bad])
    counts = deployment.build(days[:1], max_rejected_share=1.0)[days[0]]
    assert counts["events"] == len(good) + len(bad)
    assert counts["rejected"] == len(bad)
    rejected = read_rejected(deployment.workdir(), days[0])
    assert {r["file"] for r in rejected} == {f"events/dt={days[0]}/log.jsonl"}
    assert [r["line"] for r in rejected] == list(range(4, 4 + len(bad)))
    assert rejected[4]["record"] == bad[4]
    expected = [
        "not JSON",
        "not UTF-8",
        "'watched' is nan",
        "an id of at most 512 bytes",
        f"item_id 'i99' is not in the catalogue as of {days[0]}",
        "missing",
        "'timestamp' is 'noon'",
        f"late: an event of {days[0] - datetime.timedelta(days=1)} in a file of {days[0]}",
        f"ahead of its time: an event of {days[1]}",
        "surrogate",
    ]
    for record, part in zip(rejected, expected, strict=True):
        assert part in record["reason"]


def test_rejected_items_and_profiles_are_kept_too(deployment, make_event, make_item, days):
    deployment.in_one_file()
    deployment.write("events.jsonl", [make_event(1, 1, 0), make_event(1, 1, SECONDS_PER_DAY)])
    deployment.write("items.jsonl", [make_item(1), make_item(2, length="long")])
    deployment.write("users.jsonl", [{"user_id": "u1"}, {"user_id": "u2", "years": "many"}])
    deployment.build(days[:2], max_rejected_share=0.5)
    workdir = deployment.workdir()
    for day, records in ((days[0], 1), (days[1], 0)):
        assert len(read_rejected(workdir, day, "items")) == records
        assert len(read_rejected(workdir, day, "users")) == records
        assert workdir.partition("rejected", day).manifest()["counts"] == {
            "events": 0,
            "items": records,
            "users": records,
        }


@pytest.mark.parametrize("what", ["items", "users"])
def test_a_catalogue_or_profiles_mostly_broken_are_an_error(deployment, make_event, days, what):
    deployment.write_day(days[0], [make_event(1, 1, 0)])
    deployment.write(f"{what}.jsonl", [b"?", b"?"])
    with pytest.raises(InputError, match=rf"{what}\.jsonl can't be read: .* line 1: not JSON"):
        deployment.build(days[:1])
    assert not any(deployment.published().values())


def test_too_many_rejected_publish_nothing_of_that_day_and_later_but_the_rejected(
    deployment, make_event, days
):
    for number, day in enumerate(days[:3]):
        start = number * SECONDS_PER_DAY
        bad = [make_event(1, 70 + n, start) for n in range(3)] if number == 1 else []
        deployment.write_day(day, [*(make_event(1, 1, start + n) for n in range(9)), *bad])
    with pytest.raises(
        InputError,
        match=rf"3 of 12 events of {days[1]} were rejected \(25.0%\), more than "
        r"examples.max_rejected_share=0.2 allows; 3 of them like .*/log.jsonl:10: item_id 'i70'",
    ):
        deployment.build(days[:3], max_rejected_share=0.2)
    workdir = deployment.workdir()
    assert deployment.published() == {
        "catalogue": days[:1],
        "profiles": days[:1],
        "rejected": days[:2],
        "histories": days[:1],
        "counts": days[:1],
        "statistics": days[:1],
        "examples": days[:1],
    }
    assert len(read_rejected(workdir, days[1])) == 3
    deployment.write_day(days[1], [make_event(1, 1, SECONDS_PER_DAY)])
    deployment.build(days[:3], max_rejected_share=0.2)
    assert workdir.days("examples") == days[:3]
    assert read_rejected(workdir, days[1]) == []


def test_a_missing_column_is_an_error_before_anything_runs(deployment, days):
    deployment.values["source"]["events"]["path"] = "log.csv"
    deployment.write("log.csv", [b"user_id,item_id,when,seed,watched,device", b"u1,i1,2,,1,tv"])
    with pytest.raises(InputError, match=r"log\.csv: there is no column 'timestamp'"):
        deployment.build(days[:1])


def test_times_in_milliseconds_are_read_where_the_configuration_says_so(
    deployment, make_event, days
):
    milliseconds = make_event(1, 1, 0)["timestamp"] * 1000
    deployment.write_day(days[0], [make_event(1, 1, 0, timestamp=milliseconds)])
    with pytest.raises(InputError, match=r"1 of 1 .*'timestamp' is \d{13}"):
        deployment.build(days[:1])
    deployment.values["source"]["events"]["timestamp_unit"] = "milliseconds"
    assert deployment.build(days[:1], "other")[days[0]]["rejected"] == 0


def test_a_log_in_which_no_time_can_be_read_is_an_error(deployment, make_event, days):
    deployment.in_one_file()
    deployment.write("events.jsonl", [make_event(1, 1, 0, timestamp="noon"), b"?"])
    with pytest.raises(InputError, match=r"events\.jsonl has not one record with a readable time"):
        deployment.build(days[:1], max_rejected_share=1.0)


def test_events_of_other_days_in_a_log_are_passed_over(deployment, make_event, days):
    deployment.in_one_file()
    log = [make_event(1, 1, n * SECONDS_PER_DAY) for n in range(4)]
    deployment.write("events.jsonl", [*log, b"?", make_event(1, 99, 2 * SECONDS_PER_DAY)])
    assert deployment.build(days[1:2])[days[1]]["events"] == 1
    deployment.build(days[:1], "first", max_rejected_share=0.5)
    assert reasons(deployment.workdir("first"), days[0]) == [
        "not JSON: Expecting value at character 1"
    ]


# --- killed half-way --------------------------------------------------------------------------


def test_a_killed_build_leaves_nothing_behind_and_the_next_one_goes_on(
    deployment, make_event, days
):
    for number, day in enumerate(days[:2]):
        deployment.write_day(day, [make_event(1, 1, number * SECONDS_PER_DAY)])
    deployment.build(days[:2], "expected")
    expected = deployment.files("expected")
    arguments = {
        "config": deployment.config().model_dump_json(),
        "workdir": str(deployment.root / "killed"),
        "source": str(deployment.source),
        "days": [str(day) for day in days[:2]],
    }
    script = textwrap.dedent(
        """
        import datetime, json, os, sys
        from twotower_tf import storage
        from twotower_tf.config import Config
        from twotower_tf.examples.building.build import build_examples
        values, left = json.loads(sys.argv[1]), int(sys.argv[2])
        rename = os.rename
        def rename_or_die(old, new):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)
            rename(old, new)
        os.rename = rename_or_die
        days = [datetime.date.fromisoformat(day) for day in values["days"]]
        config = Config.model_validate_json(values["config"])
        build_examples(config, storage.Workdir(values["workdir"]), values["source"], days)
        """
    )
    # Dies when histories are next; then with the rejected records moved away to be replaced.
    for renames in (2, 1):
        died = subprocess.run(
            [sys.executable, "-c", script, json.dumps(arguments), str(renames)],
            capture_output=True,
            check=False,
        )
        assert died.returncode == -9, died.stderr.decode()
        left = deployment.files("killed")
        whole = {name: data for name, data in left.items() if ".staging" not in name}
        assert whole == {name: expected[name] for name in whole}
        for name in whole:
            assert os.path.join(os.path.dirname(name), "manifest.json") in whole
    deployment.build(days[:2], "killed")
    assert deployment.files("killed") == expected
    assert not (deployment.root / "killed" / ".staging").exists()


def test_all_that_a_build_publishes_is_flushed_before_it_has_its_name(
    deployment, without_beam, monkeypatch, make_event, days
):
    deployment.write_usual()
    for number, day in enumerate(days[:2]):
        start = number * SECONDS_PER_DAY
        log = [make_event(n % 5, n % 6, start + n * 60) for n in range(20)]
        deployment.write_day(day, log)
    disk = Disk(monkeypatch)
    with without_beam():
        deployment.build(days[:2])
    kinds = {pathlib.Path(path).parent.name for path in disk.named}
    assert kinds == {kind for kind, published in deployment.published().items() if published}
    assert disk.lost == []
