"""The signature ``recommend`` of a release against the models' training paths, item by item."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from benchmarks.contenders.session import Session
from tests.serving.ranked_release import RankedWorld, item_records, vectors_of
from twotower_tf.releases import releases
from twotower_tf.serving.self_test import self_test

# isort: split
import tensorflow as tf

from twotower_tf.releases.refresh import refresh_release

PAST = {
    "history": ["item-1", "item-5", "nobody's"],
    "history_days": [9.0, 2.0, 0.5],
    "history_dwell": [30.0, 90.0, 5.0],
    "shown_item_ids": ["item-2", "item-2", "item-4"],
    "shown_days": [3.0, 2.0, 1.0],
    "shown_clicked": [0.0, 0.0, 1.0],
}
PLAIN = {"device": "tv", "hour": "13", "weekday": "2", "surface": "home"}
QUERY = {**PAST, **PLAIN}
OWN = {"own_item_ids": ["item-8", "item-3"], "own_counts": [4.0, 1.0], "own_days": [1.0, 30.0]}
OF_QUERY = ("history", "device")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A deployment with own items beside the index."""
    shares = [{"kind": "own_items", "share": 1.0}, {"kind": "index", "share": 3.0}]
    return RankedWorld(tmp_path_factory.mktemp("ranked"), nominators=shares)


@pytest.fixture(scope="module")
def release(world):
    return world.release()


@pytest.fixture(scope="module")
def loaded(release):
    return release.load_saved_model()


def _rows(values: dict, batch: int = 1) -> dict:
    return {name: [value] * batch for name, value in values.items()}


def _ragged(values: dict) -> dict:
    """One row each, as examples are parsed."""
    return {
        name: tf.RaggedTensor.from_row_lengths(tf.constant(value), [len(value)])
        if isinstance(value, list)
        else tf.constant([value])
        for name, value in values.items()
    }


def _answer(answer, row: int = 0) -> list[tuple]:
    names = ("item_ids", "expected_watch_seconds", "scores", "sources")
    columns = [answer[name].numpy()[row].tolist() for name in names]
    return [
        (one[0].decode(), *one[1:3], one[3].decode())
        for one in zip(*columns, strict=True)
        if one[0]
    ]


def _wanted(world, items, own: dict) -> list[tuple]:
    """All of a catalogue's items, by training paths and dictionaries."""
    of_query = {name: value for name, value in QUERY.items() if name in OF_QUERY}
    impression = {name: value for name, value in QUERY.items() if name not in OF_QUERY}
    query = _ragged(of_query)
    (vector,) = world.model.query_tower(query).numpy()
    scores = {one: float(item @ vector) for one, item in vectors_of(world, items).items()}
    mine = zip(*(own.get(name, []) for name in OWN), strict=True)
    for item_id, count, days in mine:
        # The prior of a blend that nothing was fitted to: 4, 2 and -0.1 to a slope of 10.
        scores[item_id] += 0.4 + 0.2 * np.log(count) - 0.01 * np.log1p(days)
    sources = {
        one: "own_items" if one in own.get("own_item_ids", []) else "index" for one in scores
    }
    seconds = world.expected(query, _ragged(impression), items, scores, sources)
    made = [(one, seconds[one], scores[one], sources[one]) for one in scores]
    return sorted(made, key=lambda one: -one[1])


def _agree(got: list[tuple], want: list[tuple]) -> None:
    assert [(one[0], one[3]) for one in got] == [(one[0], one[3]) for one in want]
    np.testing.assert_allclose([one[1] for one in got], [one[1] for one in want], rtol=1e-4)
    np.testing.assert_allclose([one[2] for one in got], [one[2] for one in want], atol=1e-5)


def test_what_is_recommended_is_what_the_models_say_of_each_item(world, loaded):
    want = _wanted(world, world.items, OWN)
    for k in (1, 5, 100):
        answer = loaded.recommend(k=k, **_rows({**QUERY, **OWN}))
        _agree(_answer(answer), want[:k])
    assert {one[3] for one in want} == {"own_items", "index"}
    # No two items are alike, or the order would say little.
    assert len({round(one[1], 4) for one in want}) > 6


def test_excluded_items_do_not_come_and_rows_are_answered_each_by_itself(world, loaded):
    answer = loaded.recommend(
        k=20, exclude_ids=[["item-8", "item-0"], ["", ""]], **_rows({**QUERY, **OWN}, 2)
    )
    want = _wanted(world, world.items, OWN)
    _agree(_answer(answer), [one for one in want if one[0] not in ("item-8", "item-0")])
    _agree(_answer(answer, 1), want)
    last = [answer[name].numpy()[0][-1] for name in ("expected_watch_seconds", "scores")]
    assert last == [0.0, -2.0]


def test_a_session_of_the_old_loader_says_the_same(release, loaded):
    inputs = {name: np.array(value) for name, value in _rows(QUERY).items()}
    texts = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in inputs.items()}
    told = {n: v.astype(np.float32) if v.dtype.kind == "f" else v for n, v in texts.items()}
    got = Session(release.path).ask("recommend", {"k": np.int32(4), **told})
    want = loaded.recommend(k=4, **_rows(QUERY))
    assert (got["item_ids"] == want["item_ids"].numpy()).all()
    np.testing.assert_allclose(
        got["expected_watch_seconds"], want["expected_watch_seconds"], rtol=1e-5
    )


def test_inputs_may_be_left_out(loaded):
    nothing = loaded.recommend(k=3, device=["tv"])
    empty = {name: [[]] for name in (*PAST, *OWN)}
    texts = ("history", "shown_item_ids", "own_item_ids")
    empty |= {name: tf.zeros([1, 0], tf.string) for name in texts}
    whole = loaded.recommend(k=3, **_rows(dict.fromkeys(PLAIN, "")) | {"device": ["tv"]} | empty)
    assert _answer(nothing) == _answer(whole)
    assert loaded.recommend(device=["tv"])["item_ids"].shape == (1, 7)
    assert loaded.recommend(k=3)["item_ids"].shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hour": ["1", "2"]}, "every input must have as many rows as the others, or none"),
        ({"history_days": [[1.0]]}, "history_days must have as many values"),
        ({"history_dwell": [[]]}, "history_dwell must have as many values"),
        ({"shown_clicked": [[1.0]]}, "shown_clicked must have as many values"),
        ({"own_item_ids": [["item-1"]]}, "own_counts must have as many values"),
        ({"k": 0}, "k must be at least 1"),
    ],
)
def test_requests_that_do_not_fit_together_are_refused(loaded, change, message):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        loaded.recommend(**{**_rows(QUERY), **change})
    assert message in str(error.value)


_ANY = st.floats(width=32)
_IDS = st.sampled_from(["item-1", "item-2", "", "nobody's"])


@st.composite
def _requests(draw) -> dict:
    asked = {"device": [draw(st.sampled_from(["tv", "", "x"]))]}
    beside = {
        "history": ("history_days", "history_dwell"),
        "shown_item_ids": ("shown_days", "shown_clicked"),
        "own_item_ids": ("own_counts", "own_days"),
    }
    for ids, numbers in beside.items():
        values = draw(st.lists(_IDS, max_size=5))
        asked[ids] = tf.constant([values], tf.string, [1, len(values)])
        for name in numbers:
            drawn = draw(st.lists(_ANY, min_size=len(values), max_size=len(values)))
            asked[name] = tf.constant([drawn], tf.float32, [1, len(values)])
    for name in ("hour", "weekday", "surface"):
        asked[name] = [draw(st.sampled_from(["", "7", "never", "-1"]))]
    return asked


@settings(max_examples=60)
@given(_requests())
def test_no_input_gives_a_score_that_is_not_finite(loaded, asked):
    answer = loaded.recommend(k=20, **asked)
    assert answer["item_ids"].shape == (1, 12)
    for name in ("expected_watch_seconds", "scores"):
        assert np.isfinite(answer[name]).all()
    assert (answer["expected_watch_seconds"].numpy() > 0).all()


def test_the_self_test_and_the_description_know_of_ranking(release):
    folder = os.path.join(release.path, "assets.extra")
    with open(os.path.join(folder, "self_test.json"), encoding="utf-8") as file:
        cases = json.load(file)["ranked"]
    assert any(case["query"].get("shown_item_ids") for case in cases)
    assert self_test(release.path) == []
    names = {one["name"] for one in release.read_serving()["ranking_features"]}
    assert names == {*PAST, *PLAIN} - set(OF_QUERY)


@pytest.mark.long
def test_fresh_and_changed_items_are_ranked_by_their_features(world, release):
    later = [record for record in item_records() if record["item_id"] != "item-2"]
    # The second is in the user's history: others of its new channel are like it.
    later[0] = {"item_id": "item-0", "channel": "blue", "length": 40.0}
    later[1] = {"item_id": "item-1", "channel": "red", "length": 2.0}
    later += [{"item_id": f"new-{n}", "channel": "green", "length": 3.0 + n} for n in range(2)]
    items = world.catalogue_of(later)
    config = world.config.model_copy(
        update={"index": world.config.index.model_copy(update={"max_fresh_share": 0.5})}
    )
    refresh_release(config, world.workdir, items)
    refreshed = releases.current(world.workdir, config.name)
    assert refreshed.version != release.version
    loaded = refreshed.load_saved_model()
    answer = loaded.recommend(k=50, **_rows({**QUERY, **OWN}))
    # Of what the user saw before, the release still knows what it was.
    world.ranking.item_features.set_catalogue(world.catalogue_of([*later, item_records()[2]]))
    want = _wanted(world, items, OWN)
    assert {one[0] for one in want} >= {"new-0", "new-1", "item-0", "item-1"}
    _agree(_answer(answer), want)
    assert self_test(refreshed.path) == []


@pytest.mark.long
def test_no_more_than_the_configured_candidates_are_ranked(tmp_path):
    from tests.ranking_batches import VALUES

    few = RankedWorld(tmp_path, ranking={**VALUES["ranking"], "candidates": 3})
    loaded = few.release().load_saved_model()
    answer = loaded.recommend(k=10, **_rows(QUERY))
    want = sorted(_wanted(few, few.items, {}), key=lambda one: -one[2])[:3]
    _agree(_answer(answer), sorted(want, key=lambda one: -one[1]))
