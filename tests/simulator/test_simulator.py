"""The simulator's files, events and settings; its truth is tested in test_day."""

import csv
import dataclasses
import datetime
import json
import os
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.simulator.small import SMALL, drawn
from twotower_tf.simulator.simulator import Simulator

DAY = SMALL.start


def files_under(folder):
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def json_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def partition(date):
    return f"dt={date.isoformat()}"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("platform")
    Simulator(SMALL).write(str(out))
    return out


@pytest.mark.parametrize("event_format", ["jsonl", "csv", "parquet"])
def test_same_settings_give_the_same_bytes(tmp_path, event_format):
    for name in ("one", "two"):
        Simulator(SMALL).write(str(tmp_path / name), event_format)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")


def test_another_seed_gives_other_events(written, tmp_path):
    Simulator(dataclasses.replace(SMALL, seed=18)).write(str(tmp_path))
    other = files_under(tmp_path)
    assert not [name for name, data in files_under(written).items() if other[name] == data]


def test_more_days_leave_the_earlier_days_as_they_were(written, tmp_path):
    Simulator(dataclasses.replace(SMALL, days=5)).write(str(tmp_path))
    longer = files_under(tmp_path)
    shorter = files_under(written)
    assert len(longer) == len(shorter) + 4
    assert {name: longer[name] for name in shorter} == shorter


def test_a_day_does_not_depend_on_what_was_asked_before():
    fresh, used = Simulator(SMALL), Simulator(SMALL)
    for date in reversed(used.dates):
        used.item_probabilities("u00003", date)
    expected = drawn(fresh, fresh.dates[1])
    drawn(used, used.dates[2])
    np.testing.assert_array_equal(drawn(used, used.dates[1]), expected)


def test_events_come_after_publication_from_the_catalogue_of_their_day(written):
    settings = SMALL
    for day in range(settings.days):
        date = settings.start + datetime.timedelta(days=day)
        items = json_lines(written / "items" / partition(date) / "items.jsonl")
        assert len(items) == 300 + 10 * (day + 1)
        published = {item["item_id"]: item["published_at"] for item in items}
        events = json_lines(written / "events" / partition(date) / "events-00000.jsonl")
        midnight = int(
            datetime.datetime(2026, 1, 1 + day, tzinfo=datetime.timezone.utc).timestamp()
        )
        times = [event["timestamp"] for event in events]
        assert times == sorted(times)
        assert midnight <= times[0] <= times[-1] < midnight + 86_400
        for event in events:
            assert event["timestamp"] >= published[event["item_id"]]
            assert event["seed_item_id"] is None or event["seed_item_id"] in published


def test_the_seed_is_what_the_user_watched_shortly_before(written):
    last_watch, seeded = {}, 0
    events = json_lines(written / "events" / partition(DAY) / "events-00000.jsonl")
    for event in events:
        user, seed = event["user_id"], event["seed_item_id"]
        if seed is not None:
            seeded += 1
            assert event["timestamp"] - last_watch[user, seed] <= 1800 + 60
        last_watch[user, event["item_id"]] = event["timestamp"]
    assert seeded / len(events) == pytest.approx(0.4, abs=0.04)


def test_items_and_users_have_the_promised_fields(written):
    items = json_lines(written / "items" / partition(DAY) / "items.jsonl")
    users = json_lines(written / "users.jsonl")
    assert [user["user_id"] for user in users[:2]] == ["u00000", "u00001"]
    assert all(13 <= user["age"] < 80 and len(user["country"]) == 2 for user in users)
    assert [item["item_id"] for item in items] == Simulator(SMALL).item_ids[:310]
    topic_of_channel = {}
    for item in items:
        assert len(item["title"].split()) == 4
        assert 1 <= len(set(item["topics"])) == len(item["topics"]) <= 2
        assert 20 <= item["duration_seconds"] <= 1800
        channel = item["channel_id"]
        assert topic_of_channel.setdefault(channel, item["topics"][0]) == item["topics"][0]
    assert len(topic_of_channel) == 20
    times = [item["published_at"] for item in items]
    assert times == sorted(times)


def test_titles_tell_what_a_seed_leads_to(written):
    items = json_lines(written / "items" / partition(DAY) / "items.jsonl")
    words = [set(item["title"].split()[:3]) for item in items]
    simulator = Simulator(dataclasses.replace(SMALL, seed_strength=1.0))
    near, far = [], []
    for seed in range(100):
        p = simulator.item_probabilities("u00000", DAY, f"v{seed:06d}")
        for other in range(310):
            if other != seed and items[other]["topics"][0] == items[seed]["topics"][0]:
                (near if p[other] > 0 else far).append(bool(words[seed] & words[other]))
    assert np.mean(near) > 3 * np.mean(far)


def test_all_formats_hold_the_same_events(written, tmp_path):
    for event_format in ("csv", "parquet"):
        Simulator(SMALL).write(str(tmp_path), event_format)
    folder = tmp_path / "events" / partition(DAY)
    lines = json_lines(written / "events" / partition(DAY) / "events-00000.jsonl")
    assert pq.read_table(folder / "events-00000.parquet").to_pylist() == lines
    with open(folder / "events-00000.csv", newline="") as file:
        rows = [
            row
            | {
                "timestamp": int(row["timestamp"]),
                "seed_item_id": row["seed_item_id"] or None,
                "watched_seconds": float(row["watched_seconds"]),
            }
            for row in csv.DictReader(file)
        ]
    assert rows == lines


def test_chunks_join_in_the_order_of_time_without_repeats():
    # So few users and videos that, without care, many watches would fall on the same second.
    settings = dataclasses.replace(
        SMALL, users=11, topics=1, channels=1, videos=3, uploads_per_day=0, events_per_day=101_000
    )
    events = drawn(Simulator(settings), DAY)
    assert len(events) == 101_000
    assert np.all(np.diff(events["timestamp"]) >= 0)
    assert len(np.unique(events[["timestamp", "user", "item"]])) == len(events)
    midnight = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    assert midnight + 3600 <= events["timestamp"][0]
    assert events["timestamp"][-1] < midnight + 86_400


def test_memory_does_not_grow_with_the_events(tmp_path):
    peaks = []
    for events_per_day in (60_000, 180_000):
        simulator = Simulator(dataclasses.replace(SMALL, events_per_day=events_per_day, days=1))
        tracemalloc.start()
        simulator.write(str(tmp_path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Three times the events; what grows is the sessions that are open at one time.
    assert peaks[1] < 1.5 * peaks[0]


def test_progress_counts_every_event(tmp_path):
    counts = []
    Simulator(SMALL).write(str(tmp_path), progress=counts.append)
    assert sum(counts) == 3 * 3000


def test_a_write_that_fails_leaves_no_half_written_file(tmp_path):
    def fail(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Simulator(SMALL).write(str(tmp_path), progress=fail)
    assert set(files_under(tmp_path)) == {
        "users.jsonl",
        os.path.join("items", partition(DAY), "items.jsonl"),
    }


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("users", 0, "an integer from 1 to"),
        ("users", 2.5, "an integer"),
        ("users", True, "an integer"),
        ("seed", -1, "from 0"),
        ("topics", 1001, "from 1 to 1000"),
        ("days", 0, "from 1"),
        ("seed_share", 0.9, "a number from 0 to 0.8"),
        ("seed_strength", "high", "a number from 0 to 1"),
        ("popularity_exponent", float("nan"), "a number from 0 to 3"),
        ("freshness_half_life_days", 0.0, "a number from 0.01"),
        ("start", "2026-01-01", "a datetime.date"),
        ("start", datetime.datetime(2026, 1, 1), "a datetime.date"),
        ("channels", 4, "at least topics (5)"),
        ("events_per_day", 400_001, "at most 10000 * users (400000)"),
        ("videos", 59, "at least 3 * channels (60)"),
        ("pages_per_day", 401, "at most 10 * users (400)"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError, match=f"simulator setting {field}: ") as caught:
        dataclasses.replace(SMALL, **{field: value})
    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)
