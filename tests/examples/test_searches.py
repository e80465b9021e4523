"""Past searches in the examples, against a naive definition in plain Python."""

import datetime
import json
import pathlib
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from tensorflow import train

import twotower_tf  # noqa: F401
from tests.user_rows import find_history, find_searches
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.examples.building import planning
from twotower_tf.examples.encoding.tfrecord import read_records
from twotower_tf.examples.hashes import event_hashes, text_hash

SECONDS_PER_DAY = 86_400
LENGTH = 3
WORDS = ("red", "Shoes", "für", "blue jeans", "42", "!!", "a b c")


@pytest.fixture
def searching(deployment):
    """A deployment whose examples have past searches."""
    deployment.values["source"]["searches"] = {
        "path": "searches/dt={date}/*.jsonl",
        "columns": {"query": "typed"},
    }
    deployment.values["examples"].update(search_length=LENGTH, late_events="keep")
    deployment.values["tables"]["words"] = {"buckets": 10, "dim": 4}
    deployment.values["query"]["features"].append(
        {"name": "searched", "column": "searches", "kind": "text", "table": "words"}
    )
    return deployment


def search(user: int, text: object, second: int, **values) -> dict:
    """Returns a search record, so many seconds after midnight of 2024-03-01."""
    return {"user_id": f"u{user}", "typed": text, "timestamp": 1_709_251_200 + second, **values}


def write_searches(deployment, days, searches: list, day_of) -> None:
    for number, day in enumerate(days):
        of_day = [one for one in searches if day_of(one) == number]
        deployment.write(f"searches/dt={day}/log.jsonl", of_day)


def day_of(record: dict) -> int:
    return (record["timestamp"] - 1_709_251_200) // SECONDS_PER_DAY


def order_of(record: dict) -> tuple:
    """Returns what decides the order of a user's searches: the time, then a hash."""
    user, text = (np.array([text_hash(record[name])], np.uint64) for name in ("user_id", "typed"))
    time = record["timestamp"]
    return time, int(event_hashes(user, text, np.array([time]))[0])


def key_of(record: dict) -> tuple:
    return record["user_id"], record["typed"], record["timestamp"]


class NaiveSearches:
    """What is known of every user's searches, day after day."""

    def __init__(self):
        self.known: dict[str, list[dict]] = {}
        self.used = self.duplicates = 0

    def bring(self, searches: list[dict]) -> None:
        """Adds what a day brings to the last ones known before."""
        self.known = {user: past[-LENGTH:] for user, past in self.known.items()}
        for one in searches:
            past = self.known.setdefault(one["user_id"], [])
            if any(key_of(one) == key_of(other) for other in past):
                self.duplicates += 1
            else:
                past.append(one)
                past.sort(key=order_of)
                self.used += 1

    def before(self, user_id: str, timestamp: int) -> list[str]:
        past = self.known.get(user_id, [])
        return [one["typed"] for one in past if one["timestamp"] < timestamp][-LENGTH:]

    def last(self, user_id: str) -> list[str]:
        return [one["typed"] for one in self.known.get(user_id, [])][-LENGTH:]


def read_day(workdir, day: datetime.date) -> list[dict]:
    """Returns user, item, time and past searches of a day's examples."""
    partition = workdir.partition("examples", day)
    examples = []
    for shard in partition.manifest()["shards"]:
        for record in read_records(partition.file(shard["file"])):
            feature = train.Example.FromString(record).features.feature
            texts = feature["query/searched"].bytes_list.value
            user, item = (feature[key].bytes_list.value[0] for key in ("user_id", "item_id"))
            examples.append(
                {
                    "user_id": user.decode(),
                    "item_id": item.decode(),
                    "timestamp": feature["timestamp"].int64_list.value[0],
                    "searched": [text.decode() for text in texts],
                }
            )
    return examples


def tree(root: str) -> dict[str, bytes]:
    kinds = ("rejected", "histories", "examples")
    paths = [path for kind in kinds for path in pathlib.Path(root, kind).rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}


def random_logs(make_event, rng: random.Random, days: int) -> tuple[list[dict], list[dict]]:
    """Returns events of users 0 to 6 and searches of users 3 to 9, many at the same seconds."""

    def second() -> int:
        return rng.randrange(days) * SECONDS_PER_DAY + rng.randrange(20) * 1800

    events = [make_event(rng.randrange(7), rng.randrange(6), second()) for _ in range(150)]
    searches = []
    for _ in range(120):
        one = search(rng.randrange(3, 10), rng.choice(WORDS), second())
        searches += [one] * (2 if rng.random() < 0.1 else 1)
    return events, searches


@pytest.mark.parametrize(("seed", "late"), [(1, False), (2, False), (3, True), (4, True)])
def test_examples_have_the_searches_that_the_naive_definition_gives(
    searching, make_event, days, seed, late
):
    rng = random.Random(seed)
    events, searches = random_logs(make_event, rng, len(days))
    # Late ones are found in the files of a later day.
    found_in = {
        id(one): rng.randrange(day_of(one), len(days)) if late else day_of(one)
        for one in (*events, *searches)
    }
    for number, day in enumerate(days):
        searching.write_day(day, [one for one in events if found_in[id(one)] == number])
    write_searches(searching, days, searches, lambda one: found_in[id(one)])
    together = searching.build(days, "together")
    one_by_one = {day: searching.build([day], "one_by_one")[day] for day in days}
    assert together == one_by_one
    written = tree(searching.workdir("together").root)
    again = tree(searching.workdir("one_by_one").root)
    assert written.keys() == again.keys()
    assert [name for name in written if written[name] != again[name]] == []
    naive = NaiveSearches()
    workdir = searching.workdir("together")
    seen = 0
    for number, day in enumerate(days):
        used, duplicates = naive.used, naive.duplicates
        naive.bring([one for one in searches if found_in[id(one)] == number])
        for example in read_day(workdir, day):
            expected = naive.before(example["user_id"], example["timestamp"])
            assert example["searched"] == expected, example
            seen += bool(expected)
        counts = together[day]
        assert counts["searches_used"] == naive.used - used
        assert counts["searches_duplicates"] == naive.duplicates - duplicates
        assert counts["searches_rejected"] == 0
        partition = workdir.partition("histories", day)
        for user in range(11):
            assert find_searches(workdir, partition, f"u{user}") == naive.last(f"u{user}")
    assert seen > 40
    assert naive.duplicates > 0


def test_only_searches_strictly_before_the_event_count_and_at_most_so_many(
    searching, make_event, days
):
    searching.write_day(days[0], [make_event(1, 1, 100), make_event(1, 2, 101)])
    texts = ["zero", "one", "two", "three", "at the time", "after"]
    seconds = [0, 1, 2, 3, 100, 500]
    searches = [search(1, text, second) for text, second in zip(texts, seconds, strict=True)]
    write_searches(searching, days[:1], searches, day_of)
    searching.build(days[:1])
    found = {one["item_id"]: one["searched"] for one in read_day(searching.workdir(), days[0])}
    assert found == {"i1": ["one", "two", "three"], "i2": ["two", "three", "at the time"]}


def test_users_who_only_search_are_carried_with_the_items_they_had(searching, make_event, days):
    searching.write_day(days[0], [make_event(1, 1, 0)])
    for day in days[1:3]:
        searching.write_day(day, [])
    searching.write_day(days[3], [make_event(2, 1, 3 * SECONDS_PER_DAY + 9)])
    write_searches(
        searching,
        days,
        [search(1, "boots", SECONDS_PER_DAY), search(2, "hats", 2 * SECONDS_PER_DAY)],
        day_of,
    )
    counts = searching.build(days, full_histories_every_days=1000)
    assert [counts[day]["users"] for day in days] == [1, 0, 0, 1]
    workdir = searching.workdir()
    newest = workdir.partition("histories", days[3])
    for user_id, items, searches in (("u1", ["i1"], ["boots"]), ("u2", ["i1"], ["hats"])):
        assert find_history(workdir, newest, user_id)[0] == items
        assert find_searches(workdir, newest, user_id) == searches
    (example,) = read_day(workdir, days[3])
    assert example["searched"] == ["hats"]
    written = [
        sum(shard["records"] for shard in workdir.partition("histories", day).manifest()["shards"])
        for day in days
    ]
    assert written == [1, 1, 1, 1]


def test_what_is_no_search_is_rejected_with_the_reason_and_counted_apart(
    searching, make_event, days
):
    searching.write_day(days[0], [make_event(1, 1, 50)])
    bad = [
        search(1, "", 1),
        search(1, None, 1),
        search(1, ["a"], 1),
        search(None, "x", 1, user_id=None),
        search(1, "x", 1, timestamp="noon"),
        b"{",
        b'{"user_id": "u1", "typed": "\\ud800", "timestamp": 1709251201}',
        search(1, "x", SECONDS_PER_DAY),
    ]
    good = [search(1, 42, 1), search(1, True, 2), search(1, "late but kept", -5)]
    searching.write(f"searches/dt={days[0]}/log.jsonl", [*bad, *good])
    counts = searching.build(days[:1], max_rejected_share=0.9)[days[0]]
    assert (counts["searches"], counts["searches_used"]) == (len(bad) + len(good), len(good))
    assert (counts["searches_rejected"], counts["searches_duplicates"]) == (len(bad), 0)
    assert (counts["events"], counts["rejected"]) == (1, 0)
    (example,) = read_day(searching.workdir(), days[0])
    assert example["searched"] == ["late but kept", "42", "true"]
    rejected = searching.workdir().partition("rejected", days[0])
    records = pathlib.Path(rejected.file("searches.jsonl")).read_text().splitlines()
    reasons = [json.loads(record)["reason"] for record in records]
    expected = [
        "'typed' is ''; it must be text that is not empty",
        "'typed' is missing; it must be text that is not empty",
        "'typed' is ['a']; it must be text or a whole number",
        "'user_id' is missing",
        "'timestamp' is 'noon'",
        "not JSON",
        "surrogate",
        f"ahead of its time: a search of {days[1]} in a file of {days[0]}",
    ]
    for reason, part in zip(reasons, expected, strict=True):
        assert part in reason
    counted = rejected.manifest()["counts"]
    assert counted == {"events": 0, "searches": len(bad), "items": 0, "users": 0}
    manifest = searching.workdir().partition("examples", days[0]).manifest()
    assert [one["file"] for one in manifest["inputs"]] == [
        f"events/dt={days[0]}/log.jsonl",
        f"searches/dt={days[0]}/log.jsonl",
    ]


def test_too_many_rejected_searches_end_the_day(searching, make_event, days):
    searching.write_day(days[0], [make_event(1, 1, n) for n in range(50)])
    searching.write(f"searches/dt={days[0]}/log.jsonl", [search(1, "x", 1), search(1, "", 1)])
    with pytest.raises(InputError, match=rf"1 of 2 searches of {days[0]} were rejected \(50"):
        searching.build(days[:1])
    assert searching.workdir().days("examples") == []
    assert searching.workdir().days("rejected") == days[:1]


def test_a_day_without_a_search_file_is_an_error_that_names_it(searching, make_event, days):
    searching.write_day(days[0], [make_event(1, 1, 0)])
    searching.write(f"searches/dt={days[1]}/log.jsonl", [])
    with pytest.raises(InputError, match=rf"no searches of {days[0]}: no file matches .*searches"):
        searching.build(days[:1])


def test_a_later_day_without_a_search_file_is_known_before_the_first_is_built(
    searching, make_event, days, monkeypatch
):
    monkeypatch.setattr(planning, "_EVENT_BYTES_A_SHARD", 1)
    for number, day in enumerate(days[:2]):
        searching.write_day(day, [make_event(1, 1, number * SECONDS_PER_DAY)])
    searching.write(f"searches/dt={days[0]}/log.jsonl", [search(1, "x", 1)])
    with pytest.raises(InputError, match=rf"no searches of {days[1]}"):
        searching.build(days[:2])
    assert searching.workdir().days("examples") == []


def test_searches_may_be_one_parquet_file_in_a_time_zone_of_its_own(searching, make_event, days):
    searching.values["source"]["searches"].update(path="searches.parquet", time_zone="Asia/Tokyo")
    path = searching.source / "searches.parquet"
    times = [datetime.datetime(2024, 3, 1, 9, 0, 1), datetime.datetime(2024, 3, 2, 9, 0, 1)]
    table = {"user_id": ["u1", "u1"], "typed": ["one", "two"], "timestamp": times}
    pyarrow.parquet.write_table(pa.table(table), path)
    for number, day in enumerate(days[:2]):
        start = number * SECONDS_PER_DAY
        searching.write_day(day, [make_event(1, 1, start + 1), make_event(1, 2, start + 2)])
    for day in days[:2]:
        counts = searching.build([day])[day]
        assert counts["searches"] == counts["searches_used"] == 1
    found = [
        {one["item_id"]: one["searched"] for one in read_day(searching.workdir(), day)}
        for day in days[:2]
    ]
    assert found == [{"i1": [], "i2": ["one"]}, {"i1": ["one"], "i2": ["one", "two"]}]


def test_a_log_of_searches_without_a_readable_time_is_an_error(searching, make_event, days):
    searching.values["source"]["searches"]["path"] = "searches.jsonl"
    searching.write("searches.jsonl", [search(1, "x", 1, timestamp="noon")])
    searching.write_day(days[0], [make_event(1, 1, 0)])
    with pytest.raises(InputError, match=r"searches\.jsonl has not one .*source\.searches\.col"):
        searching.build(days[:1])


def test_a_search_file_that_lacks_a_column_is_an_error(searching, make_event, days):
    searching.values["source"]["searches"]["path"] = "searches.csv"
    searching.write("searches.csv", [b"user_id,query,timestamp", b"u1,x,1"])
    searching.write_day(days[0], [make_event(1, 1, 0)])
    with pytest.raises(InputError, match=r"no column 'typed' \(source\.searches\.columns\.query"):
        searching.build(days[:1])


# --- configurations that don't fit -------------------------------------------------------------


def refused(deployment) -> str:
    with pytest.raises(ValueError, match="searches") as error:
        Config.model_validate(deployment.values)
    return str(error.value)


def test_the_column_searches_needs_a_log_of_them(searching):
    del searching.values["source"]["searches"]
    assert "(searched): the column 'searches' is the user's past searches" in refused(searching)
    assert "it needs source.searches" in refused(searching)


def test_the_column_searches_of_a_profile_or_an_age_is_any_column(searching):
    del searching.values["source"]["searches"]
    searching.values["query"]["features"][-1]["of"] = "user"
    searching.values["query"]["features"].append(
        {"name": "searches", "kind": "age", "since": "joined", "of": "event"}
    )
    Config.model_validate(searching.values)


def test_a_log_of_searches_needs_a_feature(searching):
    del searching.values["query"]["features"][-1]
    assert "no feature of the query reads the searches" in refused(searching)


def test_past_searches_are_text(searching):
    searching.values["query"]["features"][-1]["kind"] = "id_bag"
    assert "past searches need kind: text, got id_bag" in refused(searching)


def test_searches_need_histories_that_the_build_makes(searching):
    searching.with_histories_of_the_log()
    assert "source.events.columns.history" in refused(searching)


def test_the_example_in_the_documentation_builds_examples_with_searches(
    deployment, make_event, days
):
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "data.md"
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "searches:" in block]
    shown, record = yaml.safe_load(block), json.loads(re.search(r"# (\{.*\})", block)[1])
    deployment.values["source"].update(shown["source"])
    deployment.values["tables"].update(shown["tables"])
    deployment.values["query"]["features"] += shown["query"]["features"]
    deployment.write_day(days[0], [make_event(1, 1, 9)])
    record["timestamp"] = make_event(1, 1, 8)["timestamp"]
    deployment.write(f"searches/dt={days[0]}/a.jsonl", [record])
    counts = deployment.build(days[:1])[days[0]]
    assert (counts["searches"], counts["searches_used"]) == (1, 1)
    workdir = deployment.workdir()
    newest = workdir.partition("histories", days[0])
    assert find_searches(workdir, newest, record["user_id"]) == [record["query"]]
