"""The section ``ranking``: what it needs, and that nothing changes without it."""

import pytest

from tests.config.test_config import SMALL
from twotower_tf.binding import examples_fingerprint, model_fingerprint, ranking_fingerprint
from twotower_tf.config import Config
from twotower_tf.examples.schema import history_traits, impression_features

EVENTS = {**SMALL["source"]["events"], "columns": {"dwell": "watched"}}
IMPRESSIONS = {"path": "impressions/*.jsonl"}
FEATURES = [*SMALL["candidate"]["features"], {"name": "channel", "kind": "id"}]
HISTORY = {"name": "history", "kind": "id_bag"}


def _values(section=None, **changes) -> dict:
    """Returns the values of a small deployment that ranks, changed at some paths."""
    values = {
        **SMALL,
        "source": {**SMALL["source"], "events": EVENTS, "impressions": IMPRESSIONS},
        "query": {**SMALL["query"], "features": [HISTORY]},
        "candidate": {**SMALL["candidate"], "features": FEATURES},
        "ranking": section or {},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = values
        for key in parents:
            place[key] = dict(place[key])
            place = place[key]
        place[last] = value
    return values


def _config(section=None, **changes) -> Config:
    return Config.model_validate(_values(section, **changes))


def test_it_has_examples_of_its_own_and_without_it_nothing_is_said_of_it():
    plain = Config.model_validate({**_values(source__impressions=None), "ranking": None})
    ranking = _config()
    for config in (plain, ranking):
        assert Config.model_validate_json(config.model_dump_json(by_alias=True)) == config
    assert model_fingerprint(ranking) != model_fingerprint(plain)
    assert examples_fingerprint(ranking) != examples_fingerprint(plain)
    layers = _config({"layers": [8]})
    assert examples_fingerprint(layers) == examples_fingerprint(ranking)
    assert model_fingerprint(layers) == model_fingerprint(ranking)
    assert ranking_fingerprint(layers) != ranking_fingerprint(ranking)
    assert examples_fingerprint(_config({"shown_length": 9})) != examples_fingerprint(ranking)
    assert not history_traits(plain)
    assert list(history_traits(ranking)) == ["history_dwell"]


def test_the_raw_values_of_an_impression_are_those_that_the_log_has():
    names = [raw.name for raw in impression_features(_config())]
    shown = ["shown_item_ids", "shown_days", "shown_clicked"]
    assert names == ["history_days", "history_dwell", *shown]
    columns = {"position": "place", "score": "s", "source": "by", "surface": "page"}
    config = _config({"time_zone": "Europe/Zurich"}, source__impressions__columns=columns)
    made = {raw.name: raw for raw in impression_features(config)}
    logged = ["position", "nomination_score", "nomination_source", "surface"]
    assert list(made)[5:] == [*logged, "hour", "weekday"]
    assert made["position"].key == "impression/position"
    assert made["position"].source_column == "place"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source__impressions": None}, "ranking: .* source.impressions"),
        ({"ranking": None}, "source.impressions: nothing learns from them without ranking"),
        ({"source__events": SMALL["source"]["events"]}, "ranking: .*source.events.columns.dwell"),
        ({"query__features": [{"name": "device", "kind": "category"}]}, "query needs a list"),
        (
            {"query__features": [HISTORY, {"name": "shown_days", "kind": "dense"}]},
            "ranking: it has an input called 'shown_days'",
        ),
        (
            {
                "query__features": [
                    HISTORY,
                    {"name": "history_days", "column": "x", "kind": "dense"},
                ]
            },
            "an input called 'history_days', .* column: x",
        ),
        (
            {
                "query__features": [HISTORY, {"name": "hour", "kind": "dense"}],
                "ranking": {"time_zone": "UTC"},
            },
            "an input called 'hour'",
        ),
        ({"ranking": {"likes": ["chanel"]}}, "'chanel' must be one of .* mean 'channel'"),
        ({"ranking": {"likes": ["channel"] * 2}}, "'channel' must be one of .* each once"),
        ({"ranking": {"likes": ["year"]}}, "'year' must be of kind id or category"),
        ({"ranking": {"time_zone": "Europe/Zuric"}}, "no time zone .* 'Europe/Zurich'"),
        (
            {
                "source__impressions": None,
                "ranking": None,
                "nominators": [{"kind": "index", "share": 2.0}],
            },
            "share says how many of its items are ranked",
        ),
        ({"ranking": {"overlong": "reject"}}, "overlong: reject needs .*watched_seconds"),
        ({"ranking": {"layer": [8]}}, "unknown key 'layer'; did you mean 'layers'"),
        (
            {"source__impressions": {**IMPRESSIONS, "columns": {"clicked": "c"}}},
            "columns.clicked needs columns.watched_seconds",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _config(**changes)


def test_a_share_of_what_is_ranked_needs_ranking():
    shares = [{"kind": "index", "share": 2.0}]
    assert _config(nominators=shares).nominators[0].share == 2.0
    with pytest.raises(ValueError, match=r"nominators\[0\] \(index\): share .* without ranking"):
        Config.model_validate({**SMALL, "nominators": shares})
    with pytest.raises(ValueError, match="greater than 0"):
        _config(nominators=[{"kind": "index", "share": 0.0}])
