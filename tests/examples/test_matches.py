"""How many ids of a day find what they name, counted one by one."""

import logging as python_logging

import pytest

from twotower_tf import storage
from twotower_tf.examples.building.build import JOB


@pytest.fixture
def told(caplog):
    """What was logged."""
    with caplog.at_level(python_logging.INFO, logger="absl"):
        yield caplog


def matches(deployment, day, name="work") -> dict:
    path = deployment.workdir(name).metrics_path(JOB, day)
    return storage.read_json(path)["matches"]


def counted(ids, known) -> dict:
    given = [one for one in ids if one]
    matched = sum(one in known for one in given)
    return {"given": len(given), "matched": matched, "share": matched / len(given)}


def test_seeds_and_profiles_that_match_nothing_are_told_with_an_example(
    deployment, make_event, days, told
):
    seeds = ["i1", " i2", None, "x", "i3", "x"]
    events = [make_event(n, n % 6, n, seed=seeds[n % 6]) for n in range(12)]
    deployment.write_day(days[0], events)
    deployment.build(days[:1])
    items = {f"i{n}" for n in range(6)}
    assert matches(deployment, days[0]) == {
        "seeds": counted([one["seed"] for one in events], items),
        "profiles": counted({one["user_id"] for one in events}, {f"u{n}" for n in range(5)}),
    }
    warned = [one.getMessage() for one in told.records if one.levelname == "WARNING"]
    assert any(
        text.startswith("2024-03-01: only 4 of 10 seed items are in the catalogue; '")
        for text in warned
    )
    assert any("only 5 of 12 users are among the profiles; 'u" in one for one in warned)
    assert any(
        one.getMessage() == "2024-03-01: 4 of 10 seed items are in the catalogue (40.0%), "
        "5 of 12 users are among the profiles (41.7%)"
        for one in told.records
    )


def test_whole_floats_match_the_whole_numbers_everywhere(deployment, make_event, days, told):
    deployment.write("items.jsonl", [{"item_id": n, "length": 5} for n in range(4)])
    deployment.write("users.jsonl", [{"user_id": f"{n}.0", "country": "c"} for n in range(3)])
    deployment.values["candidate"]["features"] = [
        {"name": "item", "column": "item_id", "kind": "id", "table": "items"}
    ]
    deployment.values["query"]["features"] = [
        {"name": "seed_item_id", "kind": "id", "table": "items"},
        {"name": "country", "kind": "category", "of": "user"},
    ]
    del deployment.values["source"]["items"]["columns"]
    events = [make_event(0, 0, n) for n in range(8)]
    for n, one in enumerate(events):
        one.update(user_id=n % 3, item_id=f"{n % 4}.0", seed=float((n + 1) % 4))
    deployment.write_day(days[0], events)
    counts = deployment.build(days[:1], holdout_share=0.0)[days[0]]
    assert (counts["rejected"], counts["examples"]) == (0, 8)
    assert matches(deployment, days[0]) == {
        "seeds": {"given": 8, "matched": 8, "share": 1.0},
        "profiles": {"given": 3, "matched": 3, "share": 1.0},
    }
    assert not [one for one in told.records if one.levelname == "WARNING"]


def test_histories_of_the_log_and_unknown_items_that_are_kept_are_counted(
    deployment, make_event, days
):
    deployment.with_histories_of_the_log()
    paths = [["i1", "gone"], [], ["i2", "i3", "i99"]]
    events = [make_event(n % 3, 3 * n, n, path=paths[n % 3]) for n in range(6)]
    deployment.write_day(days[0], events)
    deployment.build(days[:1], unknown_items="keep", reward=None)
    items = {f"i{n}" for n in range(6)}
    found = matches(deployment, days[0])
    assert found["histories"] == counted([one for path in paths * 2 for one in path], items)
    assert found["items"] == counted([one["item_id"] for one in events], items)
