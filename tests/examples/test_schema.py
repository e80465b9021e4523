"""Raw features: what JSON says of them, and what the build fills in itself."""

import json

import pytest

from twotower_tf.config import Config
from twotower_tf.examples import value_types
from twotower_tf.examples.schema import RawFeature, raw_features

CONFIG = Config.model_validate(
    {
        "name": "site",
        "source": {
            "events": {"path": "e", "columns": {"seed_item_id": "seed"}},
            "items": {"path": "i"},
            "users": {"path": "u"},
            "searches": {"path": "s"},
        },
        "examples": {"history_length": 9, "search_length": 4},
        "tables": {"t": {"buckets": 8, "dim": 2}},
        "query": {
            "features": [
                {"name": "seed_item_id", "kind": "id", "table": "t"},
                {"name": "last", "column": "history", "kind": "id", "table": "t"},
                {"name": "history", "kind": "id_bag", "table": "t", "max_length": 20},
                {"name": "searches", "kind": "text", "table": "t"},
                {"name": "history_2", "column": "history", "kind": "age", "since": "joined"},
                {"name": "country", "kind": "category", "of": "user"},
                {"name": "hour", "kind": "dense", "default": 0.5},
            ],
            "layers": [2],
        },
        "candidate": {
            "features": [
                {
                    "name": "tags",
                    "kind": "weighted_id_bag",
                    "table": "t",
                    "weights": "shares",
                    "separator": "|",
                    "max_length": 3,
                },
                {"name": "title", "kind": "text", "table": "t"},
                {"name": "age", "kind": "age", "since": "born", "serving_days": 2.0},
            ],
            "layers": [2],
        },
    }
)
EVERY = [*raw_features(CONFIG, "query"), *raw_features(CONFIG, "candidate")]
# As releases were described before types had names.
_BEFORE = {"default": "", "separator": None, "max_length": None, "since": None}
OLD = [
    {"name": "id", "column": "sku", "of": "item", "dtype": "bytes", "is_list": False},
    {"name": "h", "column": "h", "of": "event", "dtype": "bytes", "is_list": True, "max_length": 3},
    {"name": "h_weights", "column": "w", "of": "event", "dtype": "float", "is_list": True},
    {"name": "n", "column": "n", "of": "user", "dtype": "float", "is_list": False, "default": 0.5},
    {"name": "a", "column": "a", "of": "item", "dtype": "float", "is_list": False, "since": "b"},
]


@pytest.mark.parametrize("raw", EVERY, ids=lambda raw: raw.name)
def test_a_raw_feature_comes_back_from_json_as_it_was(raw):
    assert RawFeature.from_json(json.loads(json.dumps(raw.to_json()))) == raw


def test_json_says_of_which_type_and_shape_the_tensor_of_a_request_is():
    said = {raw.name: raw.to_json() for raw in EVERY}
    kept = ("type", "dtype", "is_list")
    assert {name: [one[key] for key in kept] for name, one in said.items()} == {
        "seed_item_id": ["text", "bytes", False],
        "last": ["text", "bytes", False],
        "history": ["text_list", "bytes", True],
        "searches": ["text_list", "bytes", True],
        "history_2": ["age", "float", False],
        "country": ["text", "bytes", False],
        "hour": ["number", "float", False],
        "tags": ["text_list", "bytes", True],
        "tags_weights": ["weights", "float", True],
        "title": ["text", "bytes", False],
        "age": ["age", "float", False],
    }
    assert (said["history"]["max_length"], said["searches"]["max_length"]) == (9, 4)
    assert (said["age"]["default"], said["age"]["since"]) == (2.0, "born")


def test_a_release_from_before_types_had_names_can_be_read():
    old = [
        {
            **_BEFORE,
            **values,
            "default": values.get("default", "" if values["dtype"] == "bytes" else 0.0),
        }
        for values in OLD
    ]
    assert [RawFeature.from_json(values) for values in old] == [
        RawFeature("id", "sku", "item", value_types.Text()),
        RawFeature("h", "h", "event", value_types.TextList(max_length=3)),
        RawFeature("h_weights", "w", "event", value_types.Weights(weighs="h")),
        RawFeature("n", "n", "user", value_types.Number(0.5)),
        RawFeature("a", "a", "item", value_types.Age(0.0, since="b")),
    ]


def test_an_unknown_type_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"unknown type 'texts' \(allowed: text, number, "):
        RawFeature.from_json({**EVERY[0].to_json(), "type": "texts"})


def test_the_build_fills_in_columns_of_the_event_alone_and_never_an_age():
    assert {raw.name: raw.filled_in for raw in EVERY if raw.filled_in} == {
        "seed_item_id": "seed_item_id",
        "last": "history",
        "history": "history",
        "searches": "searches",
    }


def test_keys_and_columns_follow_from_name_and_owner():
    keys = {raw.name: (raw.key, raw.source_column) for raw in EVERY}
    assert keys["country"] == ("query/country", "country")
    assert keys["tags_weights"] == ("candidate/tags_weights", "shares")
    assert keys["age"] == ("candidate/age", "born")
