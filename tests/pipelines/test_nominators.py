"""A site whose users come back to their items: own items from the log to what is recommended."""

import collections
import json
import random

import pytest

from twotower_tf.config_loader import load_config
from twotower_tf.evaluation.held_out import HeldOutReader
from twotower_tf.releases import releases
from twotower_tf.releases.recommendation import Recommender
from twotower_tf.serving.asking import padded
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

AT = [1, 5, 10]


def _loyal(events: list[dict]) -> list[dict]:
    """Lets most events be of one of a user's three favourites, and worth something."""
    rng = random.Random(len(events))
    for event in events:
        if rng.random() < 0.8:
            number = 5 * int(event["user_id"][1:]) + rng.choice([0, 0, 0, 1, 2])
            event["item_id"] = f"i{number % 24}"
        event["watched"] = 100
    return events


@pytest.fixture(scope="module")
def loyal(make_site, tmp_path_factory, days, day_events):
    """Three days are done in one call."""
    site = make_site(tmp_path_factory.mktemp("loyal")).write_usual()
    site.values["nominators"] = [
        "index",
        {"kind": "own_items", "popularity_days": [1, 3]},
        {"kind": "popular", "days": [2], "items": 15},
        {"kind": "co_visitation", "days": 3, "items": 6},
    ]
    site.values["blend"] = {"days": 2}
    site.values["index"] = {"recall_at": 5, "default_k": 10}
    for day in days:
        site.write_day(day, _loyal(day_events(day)))
    run = site.run("run_daily", f"--start={days[0]}", f"--end={days[2]}")
    assert run.status == 0, run.err
    return site


def test_the_evaluation_measures_what_the_release_gives(loyal, days):
    config, workdir = load_config(str(loyal.config)), Workdir(str(loyal.workdir))
    held_out = HeldOutReader(config, workdir).read(days[2])
    loaded = releases.current(workdir, "site").load_saved_model()
    found = collections.Counter()
    rows = iter(held_out.item_ids)
    for batch, own in zip(held_out.batches, held_out.own, strict=True):
        inputs = {
            name: value.to_tensor() if isinstance(value, tf.RaggedTensor) else value
            for name, value in {**batch, **own}.items()
        }
        for ids in loaded.serving_default(k=AT[-1], **inputs)["item_ids"].numpy().tolist():
            wanted = next(rows).encode()
            found.update({k: wanted in ids[:k] for k in AT})
    methods = loyal.metrics("evaluate", days[2])["after"]["methods"]
    assert {int(k): share for k, share in methods["model"]["recall"].items()} == {
        k: pytest.approx(found[k] / len(held_out)) for k in AT
    }
    assert set(methods) == {"model", "index_only", "own_items", "most_popular", "after_seed"}
    for k in ("1", "5"):
        assert methods["model"]["recall"][k] > methods["index_only"]["recall"][k]


def test_a_day_is_blended_by_the_days_before_it(loyal, days):
    fitted = [loyal.metrics("blend", day)["fitted_to"] for day in days[:3]]
    assert fitted == [[], [str(days[0])], [str(days[1]), str(days[0])]]
    blend = loyal.metrics("blend", days[2])
    assert blend["examples"] > 20
    published = releases.current(Workdir(str(loyal.workdir)), "site").metadata["metrics"]["index"]
    assert published["blend"] == {name: blend[name] for name in published["blend"]}


@pytest.mark.long
def test_days_one_by_one_are_blended_as_all_at_once(loyal, days, make_site, tmp_path):
    apart = make_site(tmp_path / "apart").write_usual()
    apart.values = loyal.values
    for day in days:
        (apart.source / f"events/{day}.jsonl").write_bytes(
            (loyal.source / f"events/{day}.jsonl").read_bytes()
        )
    for day in days[:3]:
        assert apart.run("run_daily", f"--date={day}").status == 0
    for day in days[:3]:
        assert apart.metrics("blend", day) == loyal.metrics("blend", day)
        assert apart.metrics("evaluate", day) == loyal.metrics("evaluate", day)


def test_a_known_user_is_asked_for_with_their_own_items(loyal, days):
    counts, last = collections.Counter(), {}
    for day in days[:3]:
        for line in (loyal.source / f"events/{day}.jsonl").read_text().splitlines():
            event = json.loads(line)
            if event["user_id"] == "u3":
                counts[event["item_id"]] += 1
                last[event["item_id"]] = event["timestamp"]
    end = (days[2].toordinal() - 719_163 + 1) * 86_400
    ids = sorted(counts, key=lambda item_id: (-counts[item_id], -last[item_id], item_id))
    workdir = Workdir(str(loyal.workdir))
    query = Recommender(load_config(str(loyal.config)), workdir).query_for_user("u3")
    assert query["own_item_ids"] == ids
    assert query["own_counts"] == [counts[item_id] for item_id in ids]
    assert query["own_days"] == pytest.approx([(end - last[one]) / 86_400 for one in ids])
    known = loyal.run("recommend", "--user_id=u3", "--k=10")
    raw = loyal.run("recommend", f"--query={json.dumps(query)}", "--k=10")
    assert known.status == 0, known.err
    assert known.out == raw.out
    # Whom nothing is known of gets the index alone.
    blank = {**query, "own_item_ids": [], "own_counts": [], "own_days": []}
    assert loyal.run("recommend", f"--query={json.dumps(blank)}", "--k=10").out != raw.out
    wrong = loyal.run("recommend", f"--query={json.dumps({'own_item_ids': ['i1']})}")
    assert wrong.status == 2
    assert "'own_counts' must have as many values as 'own_item_ids', got 0 and 1" in wrong.error


def test_own_items_that_a_request_brings_padded_are_those_it_brings(loyal):
    loaded = releases.current(Workdir(str(loyal.workdir)), "site").load_saved_model()
    own = {"own_item_ids": [["i1", "i2"]], "own_counts": [[4.0, 2.0]], "own_days": [[1.0, 3.0]]}
    longer = {
        "own_item_ids": padded([["i1", "i2"], ["a"] * 5], object, "")[:1],
        "own_counts": [[4.0, 2.0, 0.0, 0.0, 0.0]],
        "own_days": [[1.0, 3.0, 0.0, 0.0, 0.0]],
    }
    answers = [loaded.serving_default(device=["tv"], k=5, **one) for one in (own, longer)]
    assert answers[0]["item_ids"].numpy().tolist() == answers[1]["item_ids"].numpy().tolist()


def test_the_index_alone_is_asked_for_nothing_more(finished_site, days):
    assert finished_site.metrics("blend", days[2]) is None
    methods = finished_site.metrics("evaluate", days[2])["after"]["methods"]
    assert set(methods) == {"model", "own_items", "most_popular", "after_seed"}
    serving = releases.current(Workdir(str(finished_site.workdir)), "site").read_serving()
    assert serving["more_features"] == []
