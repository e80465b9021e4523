"""Every ranking example of random logs is what a definition in plain Python says."""

import datetime
import itertools
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.ranking_definition import IMPRESSIONS, OUTCOME, RankingDefinition
from tests.user_rows import find_shown

SECONDS_PER_DAY = 86_400
DAYS = 3

# Of the file's day how many days late, and a time in steps of 20 minutes from 9:40 UTC.
times = st.tuples(st.sampled_from([0, 0, 0, 1, 2]), st.integers(0, 8))
users = st.sampled_from([0, 0, 0, 1, 2])
# (user, item, day of the file, time, watched)
events = st.tuples(users, st.integers(0, 2), st.integers(0, DAYS - 1), times, st.integers(-9, 130))
# And of impressions: (user, item, day of the file, time, watched, clicked, page)
impressions = st.tuples(
    users,
    st.integers(0, 2),
    st.integers(0, DAYS - 1),
    times,
    st.integers(0, 130),
    st.booleans(),
    st.sampled_from([None, "", "p", "q"]),
)
sections = st.fixed_dictionaries(
    {
        "shown_length": st.integers(1, 4),
        "negatives_per_positive": st.sampled_from([None, 0.4, 1.0]),
        "max_per_user_and_day": st.sampled_from([None, 1, 3]),
        "overlong": st.sampled_from(["cap", "keep"]),
        "time_zone": st.sampled_from(["Asia/Kathmandu", "America/New_York"]),
    }
)
example_sections = st.fixed_dictionaries(
    {
        "history_length": st.integers(1, 4),
        "shards": st.integers(1, 3),
        "full_histories_every_days": st.integers(1, 3),
    }
)


def seconds_of(day: int, late: int, step: int) -> int:
    return max(0, day - late) * SECONDS_PER_DAY + 34_800 + step * 1200


def write_logs(deployment, days, make_event, acted: list, shown: list) -> tuple[list, list]:
    """Writes both logs; returns their records of each day, in the order of delivery."""
    event_log: list[list] = [[] for _ in days]
    for user, item, day, (late, step), watched in acted:
        made = make_event(user, item, seconds_of(day, late, step) + watched % 2, watched=watched)
        event_log[day].append({**made, "device": f"d{watched % 3}"})
    impression_log: list[list] = [[] for _ in days]
    for user, item, day, (late, step), watched, clicked, page in shown:
        made = make_event(user, item, seconds_of(day, late, step))
        del made["watched"]
        made.update(clicked=clicked, seconds=watched, place=item, by="index", points=0.25)
        made.update({"page": page} if page is not None else {})
        # What the log lacks has its default.
        made.update({"device": "tv", "seed": "i1", "where": "home"} if watched % 2 else {})
        impression_log[day].append(made)
    for day, of_events, of_impressions in zip(days, event_log, impression_log, strict=True):
        deployment.write_day(day, of_events)
        half = len(of_impressions) // 2
        for name, part in (("a", of_impressions[:half]), ("b", of_impressions[half:])):
            deployment.write(f"shown/dt={day}/{name}.jsonl", part)
    return event_log, impression_log


def rows(path: pathlib.Path, key: str) -> dict[str, dict]:
    return {row[key]: row for row in map(json.loads, path.read_text().splitlines())}


def in_order(examples: list[dict]) -> list[dict]:
    return sorted(examples, key=lambda one: [one[k] for k in ("user_id", "timestamp", "item_id")])


def assert_same(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(in_order(found), in_order(expected), strict=True):
        assert one.keys() == other.keys()
        for key, values in other.items():
            if key in ("timestamp", "page") or (values and isinstance(values[0], str)):
                assert one[key] == values, key
            else:
                np.testing.assert_allclose(one[key], values, rtol=1e-6, err_msg=key)


def assert_shown(workdir, day: datetime.date, definition: RankingDefinition) -> None:
    partition = workdir.partition("histories", day)
    for user in ("u0", "u1", "u2"):
        expected = definition.shown.at_end(user)
        names = ("item_id", "timestamp", "answered")
        assert find_shown(workdir, partition, user) == tuple(
            [one[name] for one in expected] for name in names
        )


@pytest.fixture(scope="session")
def check(new_deployment, without_beam, make_event, read_shards, days):
    """The function that builds logs and holds all that comes of them against the definition."""

    def run(acted, shown, section, examples, tells_outcome, minutes, calls) -> None:
        with tempfile.TemporaryDirectory() as folder, without_beam():
            deployment = new_deployment(pathlib.Path(folder))
            columns = {**IMPRESSIONS["columns"], **(OUTCOME if tells_outcome else {})}
            log = {**IMPRESSIONS, "columns": columns, "join_minutes": minutes}
            deployment.values["source"]["impressions"] = log
            deployment.values["ranking"] = section
            examples = {**examples, "late_events": "keep"}
            records = write_logs(deployment, days[:DAYS], make_event, acted, shown)
            rest, counts = iter(days[:DAYS]), {}
            for size in calls:
                counts |= deployment.build(list(itertools.islice(rest, size)), **examples)
            definition = RankingDefinition(
                deployment.config(**examples),
                rows(deployment.source / "items.jsonl", "item_id"),
                rows(deployment.source / "users.jsonl", "user_id"),
            )
            workdir = deployment.workdir()
            for number, day in enumerate(days[:DAYS]):
                expected, counted = definition.day(*(log[number] for log in records))
                files = read_shards(workdir, day, "ranking")
                for split, some in expected.items():
                    of_split = [name for name in files if name.startswith(split)]
                    assert_same([one for name in of_split for one in files[name]], some)
                found = {**workdir.partition("ranking", day).manifest()["counts"], **counts[day]}
                assert {name: found[name] for name in counted if name not in _BOTH} == {
                    name: count for name, count in counted.items() if name not in _BOTH
                }
                assert_shown(workdir, day, definition)

    return run


# Counts of the events are called so, too.
_BOTH = ("examples", "held_out")


@settings(deadline=None, max_examples=25, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(
    acted=st.lists(events, max_size=25),
    shown=st.lists(impressions, min_size=1, max_size=30),
    section=sections,
    examples=example_sections,
    tells_outcome=st.booleans(),
    minutes=st.sampled_from([1, 20, 60, 6000]),
    calls=st.sampled_from([(3,), (1, 1, 1), (2, 1)]),
)
def test_every_example_is_that_of_the_definition_however_the_days_are_built(
    check, acted, shown, section, examples, tells_outcome, minutes, calls
):
    check(acted, shown, section, examples, tells_outcome, minutes, calls)


@pytest.mark.parametrize("seed", range(4))
def test_users_who_are_shown_much_have_the_examples_of_the_definition(check, seed):
    rng = np.random.default_rng(seed)

    def drawn(size: int) -> list[tuple]:
        numbers = rng.integers(0, [3, 3, DAYS, 3, 9, 130, 2, 4], (size, 8)).tolist()
        return [
            (user, item, day, (late % 2, step), watched, bool(clicked), (None, "", "p", "q")[page])
            for user, item, day, late, step, watched, clicked, page in numbers
        ]

    section = {"shown_length": 30, "negatives_per_positive": (None, 1.5)[seed % 2]}
    section["time_zone"] = "Europe/Zurich"
    acted = [one[:5] for one in drawn(80)]
    calls = [(3,), (1, 1, 1)][seed % 2]
    check(acted, drawn(150), section, {"history_length": 30}, seed == 3, 30, calls)
