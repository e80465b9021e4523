"""Every example of random logs is what a brute-force definition in plain Python says.

The definition goes through the log an event at a time and shares nothing with the build but the
hashes. Builds run on the transforms' own steps, without Beam around them: that costs a tenth.
"""

import datetime
import functools
import itertools
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.example_definition import SECONDS_PER_DAY, naive_example
from twotower_tf.examples import hashes, statistics
from twotower_tf.examples.schema import HISTORY_DWELL, HISTORY_TYPES
from twotower_tf.examples.users.histories import find_history, find_own_items, find_traits

DAYS = 4
TRAITS = (HISTORY_TYPES, HISTORY_DWELL)

# (user, item, day of the file, days that it is late, time in steps of six hours, watched, seed).
# Much of one user, on whom days then have to be merged.
events = st.tuples(
    st.sampled_from([0, 0, 0, 1, 2]),
    st.integers(0, 3),
    st.integers(0, DAYS - 1),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.integers(0, 3),
    st.integers(-20, 160),
    st.none() | st.integers(0, 5),
)
# By day, the length of each item of that day's catalogue; None: the item is not in it.
catalogues = st.dictionaries(
    st.integers(1, DAYS - 1),
    st.lists(st.none() | st.integers(50, 150), min_size=4, max_size=4),
    max_size=2,
)
sections = st.fixed_dictionaries(
    {
        "history_length": st.integers(1, 4),
        "own_length": st.integers(0, 2),
        "late_events": st.sampled_from(["reject", "keep"]),
        "min_reward": st.sampled_from([None, 0.3]),
        "max_per_user_and_day": st.sampled_from([None, 1, 2]),
        "shards": st.integers(1, 3),
        "full_histories_every_days": st.integers(1, 3),
    }
)


class Definition:
    """What examples are, an event at a time."""

    def __init__(self, section, catalogues: list[dict], users: dict, first: datetime.date):
        self.section = section
        self.catalogues = catalogues
        self.users = users
        self.first = int(
            datetime.datetime.combine(first, datetime.time(), datetime.timezone.utc).timestamp()
        )
        # By user: all that was found so far, and the last of it as of the day before.
        self.found: dict[str, list] = {}
        self.known: dict[str, list] = {}
        # What was delivered first of each, by user and place.
        self.records: dict[str, dict] = {}
        # By user and item, how often it was acted on and when last, as of the day before.
        self.own: dict[str, dict[str, tuple[int, int]]] = {}

    def day(self, number: int, log: list[dict]) -> tuple[list[dict], dict]:
        """Returns a day's examples and counts."""
        counts = dict.fromkeys(("duplicates", "rejected"), 0)
        today: dict[str, list] = {}
        for record in log:
            item = self.catalogues[number].get(record["item_id"])
            date = (record["timestamp"] - self.first) // SECONDS_PER_DAY
            late = date < number and self.section.late_events == "reject"
            if date > number or late or item is None:
                counts["rejected"] += 1
                continue
            mine = today.setdefault(record["user_id"], [])
            place = (record["timestamp"], order_of(record), record["item_id"])
            if place in self.known.get(record["user_id"], ()) or place in [p for p, _ in mine]:
                counts["duplicates"] += 1
            else:
                mine.append((place, record))
                self.records.setdefault(record["user_id"], {})[place] = record
        examples = []
        for user, mine in today.items():
            before = self.known.get(user, [])
            self.found.setdefault(user, []).extend(place for place, _ in mine)
            self.known[user] = sorted([*before, *(place for place, _ in mine)])[
                -self.section.history_length :
            ]
            made = [
                self.example(number, record, [*before, *(place for place, _ in mine)])
                | (self.own_before(record, mine) if is_held_out(record) else {})
                for _, record in mine
            ]
            examples += self.chosen(made)
            self.own[user] = dict(self.with_own(user, mine))
        counts["users"] = sum(1 for mine in today.values() if mine)
        counts["history_only"] = sum(map(len, today.values())) - len(examples)
        counts["events"] = len(log)
        return examples, counts

    def chosen(self, made: list[dict]) -> list[dict]:
        least = np.float32(self.section.min_reward or 0.0)
        enough = [one for one in made if np.float32(one["reward"][0]) >= least]
        enough.sort(key=lambda one: share_of(one, hashes.Purpose.CAP))
        return enough[: self.section.max_per_user_and_day]

    def example(self, number: int, record: dict, actions: list) -> dict:
        before = sorted(action for action in actions if action[0] < record["timestamp"])
        records = self.records[record["user_id"]]
        past = [records[place] for place in before][-self.section.history_length :]
        own = (record["timestamp"], order_of(record), record["item_id"])
        of_its_second = sorted(one for one in actions if one[0] == own[0] and one < own)
        basket = [item_id for _, _, item_id in of_its_second][-self.section.history_length :]
        return naive_example(record, past, basket, self.catalogues[number], self.users)

    def with_own(self, user: str, mine: list) -> list[tuple]:
        """Returns a user's own items with some of a day's events, those acted on most first."""
        own = dict(self.own.get(user, {}))
        for (time, _, item_id), _ in mine:
            count, last = own.get(item_id, (0, 0))
            own[item_id] = count + 1, max(last, time)
        in_order = sorted(own.items(), key=lambda one: (-one[1][0], -one[1][1], one[0]))
        return in_order[: self.section.own_length]

    def own_before(self, record: dict, mine: list) -> dict[str, list]:
        """Returns the keys of an event's own items: by the state before and its day's events."""
        user, timestamp = record["user_id"], record["timestamp"]
        if not self.section.own_length:
            return {}
        # What was acted on since has a count of which no one can say how much of it was before.
        state = self.own.get(user, {})
        self.own[user] = {one: own for one, own in state.items() if own[1] < timestamp}
        seen = self.with_own(user, [one for one in mine if one[0][0] < timestamp])
        self.own[user] = state
        return {
            "own_item_ids": [item_id for item_id, _ in seen],
            "own_counts": [count for _, (count, _) in seen],
            "own_days": [(timestamp - last) / SECONDS_PER_DAY for _, (_, last) in seen],
        }


def hash_of(record: dict) -> np.ndarray:
    user, item, time = (record[name] for name in ("user_id", "item_id", "timestamp"))
    texts = (np.array([hashes.text_hash(text)], np.uint64) for text in (user, item))
    return hashes.event_hashes(*texts, np.array([time]))


def order_of(record: dict) -> int:
    return int(hash_of(record)[0])


def is_held_out(record: dict) -> bool:
    return hashes.shares(hash_of(record), hashes.Purpose.HOLD_OUT)[0] < 0.3


def share_of(example: dict, purpose: hashes.Purpose) -> float:
    record = {name: example[name][0] for name in ("user_id", "item_id", "timestamp")}
    return float(hashes.shares(hash_of(record), purpose)[0])


def identity(example: dict) -> tuple:
    return example["user_id"][0], example["timestamp"][0], example["item_id"][0]


def assert_same(actual: list[dict], expected: list[dict]) -> None:
    actual, expected = sorted(actual, key=identity), sorted(expected, key=identity)
    assert [identity(one) for one in actual] == [identity(one) for one in expected]
    for one, other in zip(actual, expected, strict=True):
        assert one.keys() == other.keys()
        for key, values in other.items():
            if key == "timestamp" or (values and isinstance(values[0], str)):
                assert one[key] == values, key
            else:
                np.testing.assert_allclose(one[key], values, rtol=1e-6, err_msg=key)


@pytest.fixture(scope="session")
def write_source(make_event, make_item):
    """The function that writes a source and returns log and catalogue of each day, and users."""

    def write(deployment, days, log, changed) -> tuple[list, list, dict]:
        deployment.values["source"]["items"]["path"] = "items/{date}.jsonl"
        lengths = {0: [100, 101, 102, 103], **changed}
        snapshots: list[dict] = []
        for number, day in enumerate(days):
            items = snapshots[-1] if snapshots else {}
            if number in lengths:
                rows = [
                    make_item(n, length=length, tags=[f"t{number}", "b", f"u{n}"])
                    for n, length in enumerate(lengths[number])
                    if length is not None
                ]
                deployment.write(f"items/{day}.jsonl", rows)
                items = {row["item_id"]: row for row in rows}
            snapshots.append(items)
        records: list[list] = [[] for _ in days]
        for user, item, number, late, step, watched, seed in log:
            second = max(0, number - late) * SECONDS_PER_DAY + step * 6 * 3600
            more = {} if seed is None else {"seed": f"i{seed}"}
            # Every third without.
            if watched % 3:
                more["device"] = ("phone", "tv")[watched % 2]
            records[number].append(make_event(user, item, second, watched=watched, **more))
        for day, of_day in zip(days, records, strict=True):
            half = len(of_day) // 2
            deployment.write_day(day, of_day[:half], "a")
            deployment.write_day(day, of_day[half:], "b")
        with open(deployment.source / "users.jsonl", encoding="utf-8") as file:
            users = {row["user_id"]: row for row in map(json.loads, file)}
        return records, snapshots, users

    return write


def shrunk_for(tries: int):
    """Bounds the search for a smaller example of a failure: to so many runs of the test.

    Hypothesis has no such setting, and would build for minutes before it says a word.
    """

    def bounded(test):
        failed: list[dict] = []
        left = itertools.count(tries, -1)

        @functools.wraps(test)
        def run(**drawn):
            if failed and drawn not in failed and next(left) <= 0:
                return
            try:
                test(**drawn)
            except BaseException:
                failed.append(drawn)
                raise

        return run

    return bounded


@pytest.fixture(scope="session")
def check_log(new_deployment, without_beam, write_source, read_shards, days):
    """The function that builds a log and holds all that comes of it against the definition."""

    def check(log, changed, section, calls) -> None:
        with tempfile.TemporaryDirectory() as folder, without_beam():
            deployment = new_deployment(pathlib.Path(folder))
            records, snapshots, users = write_source(deployment, days, log, changed)
            section = {**section, "max_rejected_share": 1.0}
            rest = iter(days)
            counts: dict = {}
            for size in calls:
                counts |= deployment.build(list(itertools.islice(rest, size)), **section)
            workdir = deployment.workdir()
            examples = deployment.config(**section).examples
            definition = Definition(examples, snapshots, users, days[0])
            for number, day in enumerate(days):
                expected, counted = definition.day(number, records[number])
                files = read_shards(workdir, day)
                found = [one for shard in files.values() for one in shard]
                assert_same(found, expected)
                assert_splits(files)
                assert counted.items() <= counts[day].items()
                assert_histories(workdir, day, definition)
                assert_statistics(workdir, day, files)
                assert_no_peeking(definition, found)

    return check


def of_random_logs(logs: int):
    """Runs a test on so many random logs, and ways to build them."""
    random_logs = given(
        log=st.lists(events, min_size=1, max_size=40),
        copies=st.lists(st.integers(0, 29), max_size=6),
        changed=catalogues,
        section=sections,
        calls=st.sampled_from([(4,), (4,), (1, 1, 1, 1), (2, 2), (1, 3), (3, 1)]),
    )
    phases = [Phase.explicit, Phase.generate, Phase.shrink]

    def decorated(test):
        return settings(max_examples=logs, phases=phases)(random_logs(shrunk_for(tries=20)(test)))

    return decorated


@of_random_logs(10)
def test_every_example_is_that_of_the_definition_however_the_days_are_built(
    check_log, log, copies, changed, section, calls
):
    check_log([*log, *(log[n] for n in copies if n < len(log))], changed, section, calls)


@pytest.mark.long
@of_random_logs(60)
def test_every_example_of_many_logs_is_that_of_the_definition(
    check_log, log, copies, changed, section, calls
):
    check_log([*log, *(log[n] for n in copies if n < len(log))], changed, section, calls)


@pytest.mark.parametrize("seed", range(6))
def test_users_who_do_much_see_what_the_definition_says(check_log, seed):
    rng = np.random.default_rng(seed)
    keeps = "keep" if seed % 2 else "reject"
    # A quarter of the events late by up to three days; several of a user in a second.
    log = [
        (
            int(rng.choice([0, 0, 1, 2])),
            int(rng.integers(4)),
            int(rng.integers(DAYS)),
            int(rng.choice([0, 0, 0, rng.integers(4)])),
            int(rng.integers(4)),
            100,
            None,
        )
        for _ in range(120)
    ]
    section = {
        "history_length": 40,
        "own_length": int(rng.integers(1, 4)),
        "late_events": keeps,
        "shards": 2,
    }
    check_log(log, {}, section, [(4,), (1, 1, 1, 1), (2, 2)][seed % 3])


def assert_splits(files: dict[str, list[dict]]) -> None:
    for name, examples in files.items():
        for example in examples:
            held_out = share_of(example, hashes.Purpose.HOLD_OUT) < 0.3
            assert name.startswith("eval" if held_out else "train")


def assert_histories(workdir, day: datetime.date, definition: Definition) -> None:
    for user in ("u0", "u1", "u2"):
        found, _ = find_history(workdir, workdir.partition("histories", day), user)
        known = definition.known.get(user, [])
        assert found == [item_id for _, _, item_id in known]
        records = [definition.records[user][place] for place in known]
        traits = find_traits(workdir, workdir.partition("histories", day), user, TRAITS)
        assert traits == {
            HISTORY_TYPES: [record.get("device", "") for record in records],
            HISTORY_DWELL: [record["watched"] for record in records],
        }
        if definition.section.own_length:
            found = find_own_items(workdir, workdir.partition("histories", day), user)
            expected = definition.with_own(user, [])
            assert found == [(item_id, *own) for item_id, own in expected]


def assert_statistics(workdir, day: datetime.date, files: dict[str, list[dict]]) -> None:
    measured = statistics.read(workdir.partition("statistics", day).file(statistics.FILE))
    train = [one for name, some in files.items() if name.startswith("train") for one in some]
    assert measured.examples == len(train)
    for name in ("query/years", "candidate/length"):
        assert sorted(measured.dense[name]) == sorted(one[name][0] for one in train)


def assert_no_peeking(definition: Definition, examples: list[dict]) -> None:
    """Without the definition's own idea of state: found by this day, strictly earlier, the last."""
    for example in examples:
        user, timestamp, _ = identity(example)
        before = sorted(action for action in definition.found[user] if action[0] < timestamp)
        items = [item_id for _, _, item_id in before]
        history = example["query/history"]
        if definition.section.late_events == "reject":
            assert history == items[-definition.section.history_length :]
        else:
            assert not set(history) - set(items)
