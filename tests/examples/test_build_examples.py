"""What is in the examples, against a naive definition, read by TensorFlow itself."""

import datetime
import itertools
import random

import numpy as np
import pytest

from tests.example_definition import SECONDS_PER_DAY, naive_example
from tests.user_rows import find_history
from twotower_tf.examples.hashes import event_hashes, text_hash
from twotower_tf.examples.schema import OWN


def random_log(make_event, days: int, seed: int, count: int = 150) -> list[dict]:
    """Returns events with equal times, copies, and users and items of all sorts."""
    rng = random.Random(seed)
    log = []
    for _ in range(count):
        second = rng.randrange(days) * SECONDS_PER_DAY + rng.randrange(20) * 1800
        record = make_event(
            rng.randrange(7), rng.randrange(6), second, watched=rng.randrange(-10, 150)
        )
        if rng.random() < 0.5:
            record["seed"] = f"i{rng.randrange(9)}"
        if rng.random() < 0.5:
            record["device"] = rng.choice(["tv", "phone", ""])
        log.append(record)
        if rng.random() < 0.3:
            log.append({**record, "watched": 1})
    return log


def event_key(user_id: str, item_id: str, timestamp: int) -> int:
    """Returns what decides the order of events of the same second."""
    users, items = (np.array([text_hash(text)], np.uint64) for text in (user_id, item_id))
    return int(event_hashes(users, items, np.array([timestamp]))[0])


def naive_histories(log: list[dict], length: int):
    """Yields every event that is no copy, those before it, and its second's items before it."""
    first = {}
    for record in log:
        first.setdefault((record["user_id"], record["item_id"], record["timestamp"]), record)
    unique = sorted(first.items(), key=lambda entry: (entry[0][2], event_key(*entry[0])))
    for number, ((user_id, _, timestamp), record) in enumerate(unique):
        before = [
            other
            for (other_user, _, other_time), other in unique
            if other_user == user_id and other_time < timestamp
        ]
        of_its_second = [
            other["item_id"]
            for (other_user, _, other_time), other in unique[:number]
            if (other_user, other_time) == (user_id, timestamp)
        ]
        yield record, before[-length:], of_its_second[-length:]


def identity(example: dict) -> tuple:
    return example["user_id"][0], example["item_id"][0], example["timestamp"][0]


def assert_same_examples(actual: list[dict], expected: list[dict]) -> None:
    actual, expected = sorted(actual, key=identity), sorted(expected, key=identity)
    assert [identity(example) for example in actual] == [identity(e) for e in expected]
    for one, other in zip(actual, expected, strict=True):
        # The user's own items have a definition of their own: tests/examples/test_no_peeking.py.
        assert one.keys() - {*OWN} == other.keys()
        for key, values in other.items():
            if values and isinstance(values[0], str):
                assert one[key] == values, key
            else:
                np.testing.assert_allclose(one[key], values, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("seed", [1, 2])
def test_examples_and_histories_are_those_of_the_naive_definition(
    deployment, make_event, make_item, days, seed, read_day
):
    log = random_log(make_event, len(days), seed)
    users = {
        f"u{n}": {"country": f"c{n}", "years": 20 + n, "joined": day_start(days[0]) - n * 3600}
        for n in range(5)
    }
    items = {f"i{n}": make_item(n) for n in range(6)}
    for day in days:
        deployment.write_day(day, [record for record in log if day_of(record) == day])
    counts = deployment.build(days)
    reference = list(naive_histories(log, length=4))
    for day in days:
        expected = [
            naive_example(record, past, basket, items, users)
            for record, past, basket in reference
            if day_of(record) == day
        ]
        assert_same_examples(read_day(deployment.workdir(), day), expected)
        events = sum(day_of(record) == day for record in log)
        assert counts[day]["events"] == events
        assert counts[day]["duplicates"] == events - len(expected) > 0
        assert counts[day]["users"] == len({e["user_id"][0] for e in expected})
        assert_histories(deployment.workdir(), log, day)


def assert_histories(workdir, log: list[dict], day: datetime.date) -> None:
    end = day_start(day) + SECONDS_PER_DAY
    for user_id in sorted({record["user_id"] for record in log}):
        mine = [r for r in log if r["user_id"] == user_id and r["timestamp"] < end]
        item_ids, times = find_history(workdir, workdir.partition("histories", day), user_id)
        if not mine:
            assert item_ids == times == []
            continue
        probe = {**mine[0], "timestamp": end, "item_id": "probe"}
        *_, (_, expected, _) = naive_histories([*mine, probe], length=4)
        found = list(zip(times, item_ids, strict=True))
        assert found == [(record["timestamp"], record["item_id"]) for record in expected]


def day_start(day: datetime.date) -> int:
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)
    return int(midnight.timestamp())


def day_of(record: dict) -> datetime.date:
    return datetime.datetime.fromtimestamp(record["timestamp"], datetime.timezone.utc).date()


def test_a_history_in_the_log_is_taken_as_it_is(deployment, make_event, days, read_day):
    deployment.with_histories_of_the_log()
    deployment.write_day(
        days[0],
        [
            make_event(1, 1, 5, path=["a", "b", "c", "d", "e"]),
            make_event(1, 2, 9, path=[]),
        ],
    )
    deployment.build(days[:1])
    found = {e["item_id"][0]: e for e in read_day(deployment.workdir(), days[0])}
    assert found["i1"]["query/history"] == ["b", "c", "d", "e"]
    assert found["i1"]["query/recent"] == ["d", "e"]
    assert found["i2"]["query/history"] == []
    partition = deployment.workdir().partition("histories", days[0])
    assert partition.manifest()["shards"] == []
    assert find_history(deployment.workdir(), partition, "u1") == ([], [])


def test_events_have_the_item_features_of_their_day(
    deployment, make_event, make_item, days, read_day
):
    deployment.values["source"]["items"]["path"] = "items/{date}.jsonl"
    before = days[0] - datetime.timedelta(days=2)
    for day, length in ((before, 50), (days[2], 200)):
        deployment.write(f"items/{day}.jsonl", [make_item(1, length=length)])
    for number, day in enumerate(days):
        deployment.write_day(day, [make_event(1, 1, number * SECONDS_PER_DAY)])
    deployment.build(days)
    workdir = deployment.workdir()
    lengths = [read_day(workdir, day)[0]["candidate/length"] for day in days]
    assert lengths == [[50.0], [50.0], [200.0], [200.0]]
    assert workdir.days("catalogue") == [before, days[2]]
    manifest = workdir.partition("examples", days[1]).manifest()
    assert manifest["catalogue"] == str(before)


def test_users_have_the_profile_of_the_day(deployment, make_event, days, read_day):
    deployment.values["source"]["users"]["path"] = "users/{date}.jsonl"
    for day, country in ((days[0], "old"), (days[2], "new")):
        deployment.write(f"users/{day}.jsonl", [{"user_id": "u1", "country": country}])
    for number, day in enumerate(days[:3]):
        deployment.write_day(day, [make_event(1, 1, number * SECONDS_PER_DAY)])
    deployment.write_day(days[3], [])
    deployment.build(days)
    workdir = deployment.workdir()
    countries = [read_day(workdir, day)[0]["query/country"] for day in days[:3]]
    assert countries == [["old"], ["old"], ["new"]]
    assert workdir.days("profiles") == [days[0], days[2]]


def test_an_unknown_item_that_is_kept_has_its_id_and_the_defaults(
    deployment, make_event, days, read_day
):
    deployment.write_day(days[0], [make_event(1, 77, 5, length=100)])
    counts = deployment.build(days[:1], unknown_items="keep")
    assert counts[days[0]]["rejected"] == 0
    (example,) = read_day(deployment.workdir(), days[0])
    assert example["candidate/item"] == ["i77"]
    assert example["candidate/tags"] == example["candidate/tags_weights"] == []
    assert example["candidate/age"] == [5.0]
    assert example["candidate/length"] == [7.0]


def test_the_first_delivered_of_several_copies_is_kept(deployment, make_event, days, read_day):
    copies = [make_event(1, 1, 5, watched=watched) for watched in (60, 20, 90)]
    deployment.write_day(days[0], copies[:2], name="b")
    deployment.write_day(days[0], copies[2:], name="c")
    counts = deployment.build(days[:1])
    assert counts[days[0]]["duplicates"] == 2
    (example,) = read_day(deployment.workdir(), days[0])
    assert example["reward"] == pytest.approx([(60 / 101 - 0.1) / 0.9])


def test_events_delivered_twice_change_nothing_but_the_counts(
    deployment, make_event, days, read_shards
):
    log = random_log(make_event, 1, seed=5, count=40)
    deployment.write_day(days[0], log)
    once = deployment.build(days[:1], "once")[days[0]]
    deployment.write_day(days[0], log, name="log_again")
    twice = deployment.build(days[:1], "twice")[days[0]]
    assert twice["events"] == 2 * once["events"]
    assert twice["duplicates"] == once["duplicates"] + once["events"]
    assert read_shards(deployment.workdir("once"), days[0]) == read_shards(
        deployment.workdir("twice"), days[0]
    )


def test_neighbours_in_a_shard_are_of_different_users_and_each_user_stays_in_time_order(
    deployment, make_event, days, read_shards
):
    # Each of six users acts on thirty things in a row, one user after the other.
    log = [
        make_event(user, number % 6, user * 500 + number * 10)
        for user in range(6)
        for number in range(30)
    ]
    deployment.write_day(days[0], log)
    deployment.build(days[:1], shards=1, holdout_share=0.0, interleave_window_seconds=3600)
    shard = read_shards(deployment.workdir(), days[0])["train-00000-of-00001.tfrecord.gz"]
    users = [example["user_id"][0] for example in shard]
    same = sum(one == other for one, other in itertools.pairwise(users))
    assert same <= 0.1 * len(users)
    for user in set(users):
        times = [e["timestamp"][0] for e in shard if e["user_id"][0] == user]
        assert times == sorted(times)


def test_windows_follow_each_other_in_time(deployment, make_event, days, read_shards):
    log = [
        make_event(user, user % 6, second) for user in range(7) for second in range(0, 86400, 997)
    ]
    deployment.write_day(days[0], log)
    deployment.build(days[:1], shards=1, interleave_window_seconds=1800)
    for shard in read_shards(deployment.workdir(), days[0]).values():
        windows = [example["timestamp"][0] // 1800 for example in shard]
        assert windows == sorted(windows)


def test_about_the_asked_share_is_held_out_and_always_the_same_events(
    deployment, make_event, days, read_shards
):
    log = [make_event(user, number % 6, number) for user in range(20) for number in range(100)]
    deployment.write_day(days[0], log)
    held_out = {}
    for name, shards, share in (("a", 2, 0.2), ("b", 3, 0.2), ("c", 1, 0.4)):
        counts = deployment.build(days[:1], name, shards=shards, holdout_share=share)[days[0]]
        assert counts["held_out"] == pytest.approx(share * len(log), rel=0.1)
        held_out[name] = {
            identity(example)
            for file, examples in read_shards(deployment.workdir(name), days[0]).items()
            for example in examples
            if file.startswith("eval")
        }
    assert held_out["a"] == held_out["b"]
    assert held_out["a"] < held_out["c"]


def test_what_the_log_holds_out_is_held_out_and_nothing_else(
    deployment, make_event, days, read_day
):
    deployment.values["source"]["events"]["columns"]["held_out"] = "test"
    log = [
        make_event(n % 3, n % 5, n, test=[0, 1, False, True, "0", "1", 0.5][n % 7])
        for n in range(40)
    ]
    log.append(make_event(1, 1, 41, test="yes"))
    log.append(make_event(1, 1, 42))
    deployment.write_day(days[0], log)
    deployment.build(days[:1], max_rejected_share=0.5)
    held_out = {(e["user_id"], e["timestamp"]) for e in log[:40] if float(e["test"])}
    trained, evaluated = set(), set()
    for one in read_day(deployment.workdir(), days[0]):
        is_held_out = OWN[0] in one
        (evaluated if is_held_out else trained).add((one["user_id"][0], one["timestamp"][0]))
    assert evaluated == held_out
    assert trained == {(e["user_id"], e["timestamp"]) for e in log[:40]} - held_out
