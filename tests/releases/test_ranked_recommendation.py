"""Asking a release with ranking for a known user: both scores, the source, and why."""

import datetime
import json

import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from tests.ranking_batches import VALUES
from tests.serving.ranked_release import RankedWorld, item_records
from tests.shop import DAY
from twotower_tf.errors import InputError
from twotower_tf.examples.building.build import build_examples
from twotower_tf.releases.reasons import reasons
from twotower_tf.releases.recommendation import Recommender
from twotower_tf.storage import Workdir

MIDNIGHT = int(datetime.datetime.combine(DAY, datetime.time(), datetime.timezone.utc).timestamp())


def test_why_counts_what_was_watched_and_what_was_shown_in_vain():
    query = {
        "seen": ["a", "b", "a", "c"],
        "shown_item_ids": ["a", "c", "c", "d"],
        "shown_days": [4.0, 3.0, 2.0, 1.0],
        "shown_clicked": [1.0, 0.0, 0.0, 0.0],
    }
    likes = {"channel": {"a": "red", "c": "red", "d": "blue", "e": "red"}}
    assert reasons("a", "index", query, "seen", likes) == [
        "from index",
        "it was watched 2 times",
        "channel red watched 3 times",
        "channel red shown in vain 2 times",
    ]
    assert reasons("d", "fresh", query, "seen", likes) == [
        "from fresh",
        "it was shown in vain once",
        "channel blue shown in vain once",
    ]
    assert reasons("b", "index", query, "seen", likes) == ["from index", "it was watched once"]
    assert reasons("x", "index", {}, "seen", likes) == ["from index"]


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    """Of a release of a day that was built from logs of two users."""
    folder = tmp_path_factory.mktemp("ranked")
    source = {
        "events": {
            "path": "events.jsonl",
            "columns": {"dwell": "watched", "seed_item_id": "seed"},
        },
        "items": {"path": "items.jsonl", "columns": {"item_id": "item_id"}},
        "impressions": {"path": "shown.jsonl", "columns": {}},
    }
    events = [_record("u1", "item-1", 40_000, watched=60), _record("u1", "item-4", 50_000)]
    shown = [
        _record("u1", "item-4", 49_990),
        _record("u1", "item-2", 64_800),
        _record("u2", "item-2", 64_800),
    ]
    for name, records in (("items", item_records()), ("events", events), ("shown", shown)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines)
    world = RankedWorld(folder, source=source, ranking={**VALUES["ranking"], "time_zone": None})
    # The build makes the catalogue and the histories itself.
    world.workdir = Workdir(str(folder / "built"))
    build_examples(world.config, world.workdir, str(folder), [DAY])
    world.release()
    return Recommender(world.config, world.workdir)


def _record(user: str, item: str, second: int, **values) -> dict:
    return {"user_id": user, "item_id": item, "timestamp": MIDNIGHT + second, **values}


def test_a_known_users_past_is_looked_up(recommender):
    assert recommender.query_for_user("u1") == {
        "history": ["item-1", "item-4"],
        "history_days": pytest.approx([46_400 / 86_400, 36_400 / 86_400]),
        "history_dwell": [60.0, 0.0],
        "shown_item_ids": ["item-4", "item-2"],
        "shown_days": pytest.approx([36_410 / 86_400, 0.25]),
        "shown_clicked": [1.0, 0.0],
    }
    # Who was shown something is known, watched or not.
    assert recommender.query_for_user("u2")["shown_item_ids"] == ["item-2"]
    with pytest.raises(InputError, match="has no history"):
        recommender.query_for_user("u3")
    one_by_one = [None, recommender.query_for_user("u2"), recommender.query_for_user("u1")]
    assert recommender.queries_for_users(["u3", "u2", "u1"]) == one_by_one


def test_what_is_recommended_says_both_scores_the_source_and_why(recommender):
    query = recommender.query_for_user("u1")
    answer = recommender.recommend_ranked(query, 12)
    assert {one.recommended.item_id for one in answer} == {f"item-{n}" for n in range(12)}
    seconds = [one.recommended.expected_watch_seconds for one in answer]
    assert seconds == sorted(seconds, reverse=True)
    retrieved = {
        item_id: score
        for item_id, score, _ in recommender.recommend({"history": query["history"]}, 12)
    }
    why = {one.recommended.item_id: one.why for one in answer}
    for one in answer:
        assert one.recommended.score == pytest.approx(retrieved[one.recommended.item_id], abs=1e-5)
        assert one.recommended.source == "index"
    assert why["item-4"] == ["from index", "it was watched once", "channel green watched 2 times"]
    assert why["item-2"] == [
        "from index",
        "it was shown in vain once",
        "channel blue shown in vain once",
    ]
    assert why["item-3"] == ["from index"]


def test_queries_that_do_not_fit_are_refused(recommender):
    with pytest.raises(InputError, match="'shown_days' must have as many values"):
        recommender.recommend_ranked({"shown_item_ids": ["item-1"]}, 3)
    with pytest.raises(InputError, match="unknown feature 'hours'"):
        recommender.recommend_ranked({"hours": "3"}, 3)
