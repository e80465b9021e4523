"""A site with a search log: past searches from the log to what the release recommends."""

import json

import pytest

from twotower_tf.serving.self_test import self_test

SEARCHER = "only-searches"
QUERIES = ["Title 3", "title 5, tags!"]


@pytest.fixture(scope="module")
def searched(make_site, tmp_path_factory, days, day_events):
    """A site whose users search for a title before each of their events; two days are done."""
    site = make_site(tmp_path_factory.mktemp("searched")).write_usual()
    site.values["source"]["searches"] = {"path": "searches/{date}.jsonl"}
    site.values["examples"]["search_length"] = 4
    site.values["tables"]["words"] = {"buckets": 64, "dim": 8}
    words = {"kind": "text", "table": "words"}
    site.values["query"]["features"].append({"name": "searches", **words})
    site.values["candidate"]["features"].append({"name": "title", "column": "name", **words})
    for day in days:
        searches = [
            {
                "user_id": event["user_id"],
                "query": f"Title {event['item_id'][1:]}",
                "timestamp": event["timestamp"] - 1,
            }
            # Before midnight it was another day.
            for event in day_events(day)[1:]
        ]
        own = [
            {"user_id": SEARCHER, "query": text, "timestamp": searches[0]["timestamp"] + number}
            for number, text in enumerate(QUERIES)
        ]
        site.write(f"searches/{day}.jsonl", [*searches, *(own if day == days[0] else []), b"?"])
    run = site.run("run_daily", f"--start={days[0]}", f"--end={days[1]}")
    assert run.status == 0, run.err
    return site


def test_searches_are_counted_beside_the_events(searched, days, day_events):
    for number, day in enumerate(days[:2]):
        read = len(day_events(day)) + (2 if number == 0 else 0)
        metrics = searched.metrics("build_examples", day)
        assert metrics["searches"] == read
        assert (metrics["searches_used"], metrics["searches_rejected"]) == (read - 1, 1)
        assert metrics["searches_duplicates"] == 0
        parts = ("examples", "held_out", "history_only", "duplicates", "rejected")
        assert metrics["events"] == sum(metrics[part] for part in parts) == len(day_events(day))


@pytest.mark.long
def test_a_user_who_only_searched_is_recommended_what_their_queries_are(searched):
    known = searched.run("recommend", f"--user_id={SEARCHER}", "--k=24")
    assert known.status == 0, known.err
    raw = searched.run("recommend", f"--query={json.dumps({'searches': QUERIES})}", "--k=24")
    assert known.out == raw.out
    assert len(raw.out.splitlines()) == 24
    nobody = searched.run("recommend", "--query={}", "--k=24")
    assert searched.run("recommend", '--query={"searches": []}', "--k=24").out == nobody.out
    assert nobody.out != raw.out


@pytest.mark.long
def test_only_the_last_searches_count_at_serving_as_in_training(searched):
    last = ["a", "b", "Title 7", "c"]
    some, more = (
        searched.run("recommend", f"--query={json.dumps({'searches': searches})}")
        for searches in (last, ["Title 1", "Title 2", *last])
    )
    assert some.status == more.status == 0
    assert some.out == more.out


def test_a_query_of_searches_that_are_no_list_of_texts_is_an_error(searched):
    run = searched.run("recommend", '--query={"searches": "Title 3"}')
    assert run.status == 2
    assert "'searches' must be a list of texts" in run.error


def test_the_self_test_asks_with_searches_and_passes_again(searched):
    (path,) = searched.workdir.glob("releases/site/*/assets.extra/self_test.json")
    cases = json.loads(path.read_text())["cases"]
    assert any(case["query"].get("searches") for case in cases)
    assert self_test(str(path.parents[1])) == []


def test_days_one_by_one_make_what_one_call_makes(searched, days, tmp_path):
    again = searched.copy(tmp_path / "again")
    again.workdir = again.root / "one_by_one"
    for day in days[:2]:
        assert again.run("build_examples", f"--date={day}").status == 0
    kinds = ("examples", "histories", "rejected")
    assert again.files(*kinds) == searched.files(*kinds)
