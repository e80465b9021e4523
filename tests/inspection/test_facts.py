"""What a check says it found, against the records counted one by one in plain Python."""

import collections
import datetime
import random

import pytest

from twotower_tf.inspection.features import share_colliding
from twotower_tf.inspection.printing import json_of, lines_of


@pytest.fixture
def odd_events(deployment, make_event, days) -> list[dict]:
    """Events of two days, some of them wrong, of which the deployment has the files."""
    rng = random.Random(7)
    events = []
    for number, day in enumerate(days[:2]):
        of_day = []
        for n in range(60):
            one = make_event(rng.randrange(9), rng.randrange(8), 86_400 * number + n * 7)
            one["seed"] = rng.choice(["i1", "i2", " i3", "", "\\N"])
            one["device"] = rng.choice(["tv", "phone", ""])
            if n % 20 == 3:
                one["timestamp"] -= 86_400 * 2
            if n % 30 == 4:
                one["watched"] = "long"
            of_day.append(one)
        # Delivered twice.
        of_day.append(dict(of_day[0]))
        deployment.write_day(day, of_day)
        events += of_day
    return events


@pytest.fixture
def found(odd_events, check):
    """What the check found of them."""
    return check(max_rejected=1000)


def test_columns_and_times_are_those_of_the_records(odd_events, found):
    events = found.part("events")
    assert (events.files, events.formats, events.is_whole) == (2, {"jsonl": 2}, True)
    assert events.records == events.sampled == len(odd_events)
    assert events.days == ("2024-03-01", "2024-03-02")
    given = {one.name: one.given for one in events.columns.named}
    seeds = sum(one["seed"] not in ("", "\\N") for one in odd_events)
    assert given["seed"] == pytest.approx(seeds / len(odd_events))
    # Text has no usual words for nothing, but this column is of text alone.
    devices = sum(one["device"] != "" for one in odd_events)
    assert given["device"] == pytest.approx(devices / len(odd_events))
    # What rewards are divided by is the item's.
    assert "length" not in given
    assert all(one.found for one in events.columns.named)
    times = [one["timestamp"] for one in odd_events]
    assert (events.times.first, events.times.last) == (min(times), max(times))
    assert (events.times.late, events.times.ahead) == (6, 0)
    assert len(events.times.days) == len({time // 86_400 for time in times})


def test_rejected_records_come_with_their_reasons_and_three_of_each(odd_events, found):
    events = found.part("events")
    kinds = {one.examples[0]["reason"].split(" ")[0]: one for one in events.rejected}
    assert set(kinds) == {"late:", "column", "item_id"}
    assert all(len(one.examples) == min(3, one.count) for one in events.rejected)
    assert kinds["late:"].count == 6
    assert events.rejected_records + found.examples.events == events.read == len(odd_events)
    assert events.rejected == sorted(events.rejected, key=lambda one: -one.count)


def test_matches_are_those_of_valid_events(odd_events, found, days):
    valid = _valid(odd_events, days)
    seeds = [one["seed"] for one in valid if one["seed"] not in ("", "\\N")]
    assert found.matches["seeds"].given == len(seeds)
    assert found.matches["seeds"].matched == sum(seed in ("i1", "i2") for seed in seeds)
    unknown = next(
        one for one in found.part("events").rejected if "catalogue" in one.examples[0]["reason"]
    )
    items = found.matches["items"]
    assert (items.given, items.matched) == (len(valid) + unknown.count, len(valid))
    assert items.example in ("i6", "i7")
    users = {one["user_id"] for one in valid}
    assert found.matches["profiles"].given == len(users)
    assert found.matches["profiles"].matched == len(users & {f"u{n}" for n in range(5)})


def _valid(events: list[dict], days) -> list[dict]:
    """Returns the events that are of their file's day, on known items and watched."""
    per_day = len(events) // 2
    valid = []
    for number, event in enumerate(events):
        day = days[number // per_day]
        date = datetime.datetime.fromtimestamp(event["timestamp"], datetime.timezone.utc).date()
        known = event["item_id"] in {f"i{n}" for n in range(6)}
        if date == day and known and event["watched"] == 50:
            valid.append(event)
    return valid


def test_histories_copies_and_values_are_counted(odd_events, found, days):
    valid = _valid(odd_events, days)
    distinct = {(one["user_id"], one["item_id"], one["timestamp"]) for one in valid}
    made = found.examples
    assert (made.events, made.copies) == (len(valid), len(valid) - len(distinct))
    assert made.users == len({one["user_id"] for one in valid})
    before = collections.defaultdict(list)
    for user, _, time in distinct:
        before[user].append(time)
    lengths = sorted(
        min(4, sum(other < time for other in before[user])) for user, _, time in distinct
    )
    assert made.history_lengths[2] == lengths[-1]
    assert made.without_history == lengths.count(0)
    assert made.history_lengths[0] == lengths[len(lengths) // 2]
    values = {(one.tower, one.name): one for one in found.features}
    assert values["query", "device"].distinct == len({one["device"] for one in valid} - {""})
    assert values["candidate", "item"].distinct == 6
    assert values["query", "history"].distinct is None
    assert values["query", "country"].distinct == 5


def test_tables_say_how_many_ids_share_a_row(found):
    tables = {one.name: one for one in found.tables}
    # Six items, and of the seeds one that is none of them.
    assert (tables["items"].distinct, tables["items"].buckets) == (7, 10)
    # Of the three tags of each the last two are kept.
    assert tables["tags"].distinct == len({"all", "last"})


def test_ids_share_rows_as_often_as_hashing_at_random_makes_them():
    rng = random.Random(1)
    ids, buckets, times = 30, 40, 2000
    shared = 0
    for _ in range(times):
        rows = collections.Counter(rng.randrange(buckets) for _ in range(ids))
        shared += sum(count for count in rows.values() if count > 1)
    assert share_colliding(ids, buckets) == pytest.approx(shared / ids / times, abs=0.01)
    assert share_colliding(1, 5) == share_colliding(9, 0) == 0


def test_what_examples_take_is_what_a_build_writes(deployment, make_event, days, check):
    events = [make_event(n % 40, n % 6, n * 20, device="tv") for n in range(2000)]
    deployment.write_day(days[0], events)
    found = check(days[0], shards=1, holdout_share=0.0)
    deployment.build(days[:1], shards=1, holdout_share=0.0)
    folder = deployment.root / "work" / "examples" / f"dt={days[0]}"
    written = sum(path.stat().st_size for path in folder.glob("train-*"))
    expected = {one.what: one.bytes for one in found.expected}
    # The order in a file, and who has own items, are others.
    assert expected["disk: examples"] == pytest.approx(written, rel=0.25)
    catalogue = deployment.root / "work" / "catalogue" / f"dt={days[0]}" / "items.parquet"
    assert expected["disk: a catalogue"] == catalogue.stat().st_size
    rows = sum(table.listed + table.buckets for table in found.tables)
    # Adagrad keeps a number a weight.
    assert expected["memory: tables in training"] == rows * 4 * 4 * 2


def test_what_is_hardly_meant_is_warned_of(deployment, make_event, make_item, days, check):
    events = [make_event(n % 5, n % 6, 0, seed=f" i{n % 6}", device="tv") for n in range(150)]
    for number, event in enumerate(events):
        event["timestamp"] += 0 if number % 2 else 1
        if number:
            del event["device"]
    deployment.write_day(days[0], events)
    deployment.write_day(days[3], [])
    deployment.write("users.jsonl", [{"user_id": "0.5", "country": "c", "years": 1, "joined": 9e8}])
    warned = "\n".join(check().warnings)
    assert "there are no files of 2024-03-02, 2024-03-03; a build from 2024-03-01" in warned
    assert "only 0 of 150 seed items are in the catalogue; ' i" in warned
    assert "only 0 of 5 users are among the profiles; 'u" in warned
    assert "the column 'device' (source.events.columns.event_type) has a value in only 0." in warned
    assert "count as duplicates" in warned


def test_dates_in_place_of_times_and_a_missing_optional_column_are_warned_of(
    deployment, make_event, days, check
):
    events = [make_event(n % 5, n % 6, 0, device="tv") for n in range(6)]
    deployment.write_day(days[0], events)
    deployment.values["source"]["events"]["optional"] = ["sead"]
    deployment.values["source"]["events"]["columns"]["seed_item_id"] = "sead"
    warned = "\n".join(check(days[0]).warnings)
    assert "events: the times are dates (100% are at midnight UTC)" in warned
    assert "there is no column 'sead' (source.events.columns.seed_item_id); is it 'seed'?" in warned


def test_all_of_it_is_printed_and_is_json(found):
    text = "\n".join(lines_of(found))
    for words in ("events: 2 files of jsonl", "matches", "histories: half have", "tables: rows"):
        assert words in text
    assert text.count("is not in the catalogue as of") == 3
    assert '"refusal": null' in json_of(found)
