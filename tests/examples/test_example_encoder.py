"""An example holds what a definition in plain Python, an event at a time, says it holds."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow import train

import twotower_tf  # noqa: F401
from twotower_tf.config import Config
from twotower_tf.examples.event_table import event_schema
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.shards.example_encoder import ExampleEncoder

DAY = 86_400
NOW = 1_700_000_000
VALUES = {
    "name": "every_kind",
    "source": {
        "events": {"path": "events.jsonl", "columns": {"seed_item_id": "seed"}},
        "items": {"path": "items.jsonl"},
        "users": {"path": "users.jsonl"},
    },
    "examples": {"history_length": 5, "reward": {"column": "watched"}},
    "tables": {"items": {"buckets": 10, "dim": 4}},
    "query": {
        "features": [
            {"name": "seed_item_id", "kind": "id", "table": "items"},
            {"name": "seeds", "column": "seed_item_id", "kind": "id_bag", "table": "items"},
            {"name": "history", "kind": "id_bag", "table": "items"},
            {
                "name": "recent",
                "column": "history",
                "kind": "id_bag",
                "table": "items",
                "max_length": 2,
            },
            {"name": "last", "column": "history", "kind": "id", "table": "items"},
            {"name": "device", "kind": "category"},
            {"name": "battery", "kind": "dense"},
            {"name": "session", "kind": "age", "since": "started"},
            {"name": "tabs", "kind": "id_bag", "table": "items", "max_length": 3},
            {"name": "terms", "kind": "weighted_id_bag", "table": "items", "weights": "scores"},
            {"name": "who", "column": "user_id", "of": "user", "kind": "id", "table": "items"},
            {
                "name": "whose",
                "column": "user_id",
                "of": "user",
                "kind": "id_bag",
                "table": "items",
            },
            {"name": "country", "of": "user", "kind": "category"},
            {"name": "years", "of": "user", "kind": "dense", "default": 33.5},
            {"name": "tenure", "of": "user", "kind": "age", "since": "joined", "serving_days": 4.0},
            {
                "name": "likes",
                "of": "user",
                "kind": "weighted_id_bag",
                "table": "items",
                "weights": "degrees",
                "max_length": 2,
            },
        ],
        "layers": [4],
    },
    "candidate": {
        "features": [
            {"name": "item_id", "kind": "id", "table": "items"},
            {"name": "item_ids", "column": "item_id", "kind": "id_bag", "table": "items"},
            {"name": "genre", "kind": "category"},
            {"name": "title", "kind": "text", "table": "items"},
            {"name": "length", "kind": "dense", "default": 7.25},
            {
                "name": "tags",
                "kind": "weighted_id_bag",
                "table": "items",
                "weights": "tag_weights",
                "max_length": 2,
            },
            {"name": "age", "kind": "age", "since": "published", "serving_days": 5.0},
        ],
        "layers": [4],
    },
}
CONFIG = Config.model_validate(VALUES)
TEXTS = st.text(max_size=6) | st.sampled_from(["x" * 127, "y" * 128, "é" * 300, "z" * 20_000])
IDS = TEXTS.filter(bool)
ITEM_IDS = st.integers(0, 12).map("item {}".format) | IDS
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TIMES = st.integers(NOW - 40 * DAY, NOW + DAY)
WEIGHTED = st.lists(st.tuples(IDS, FLOATS), max_size=4)


@st.composite
def profiles(draw) -> dict:
    likes = draw(WEIGHTED)
    return {
        "country": draw(TEXTS),
        "years": draw(FLOATS),
        "tenure": draw(st.none() | TIMES),
        "likes": [one for one, _ in likes],
        "likes_weights": [weight for _, weight in likes],
    }


@st.composite
def rows(draw) -> dict:
    """An event with its history and its user's profile."""
    terms = draw(WEIGHTED)
    return {
        "user_id": draw(IDS),
        "item_id": draw(ITEM_IDS),
        "seed_item_id": draw(st.just("") | ITEM_IDS),
        "timestamp": draw(TIMES),
        "reward": draw(st.floats(0, 1, width=32)),
        "event/device": draw(TEXTS),
        "event/battery": draw(FLOATS),
        "event/session": draw(st.floats(0, 9, width=32)),
        "event/tabs": draw(st.lists(IDS, max_size=5)),
        "event/terms": [one for one, _ in terms],
        "event/terms_weights": [weight for _, weight in terms],
        "history": draw(st.lists(ITEM_IDS, max_size=8)),
        "profile": draw(st.none() | profiles()),
    }


def items() -> list[dict]:
    """A catalogue, as its snapshot holds it."""
    random = np.random.default_rng(1)
    made = []
    for number in range(10):
        tags = [f"tag {one}" for one in random.integers(0, 9, random.integers(0, 3))]
        made.append(
            {
                "item_id": f"item {number}",
                "candidate/item_id": f"item {number}",
                "candidate/item_ids": [f"item {number}"],
                "candidate/genre": f"genre {number % 3}",
                "candidate/title": "título " * number,
                "candidate/length": float(random.integers(0, 100)),
                "candidate/tags": tags,
                "candidate/tags_weights": random.random(len(tags)).tolist(),
                "candidate/age": None if number == 3 else NOW - (number - 4) * DAY // 2,
            }
        )
    return made


ITEMS = {item["item_id"]: item for item in items()}


@pytest.fixture(scope="module")
def lookup(tmp_path_factory) -> ItemLookup:
    path = str(tmp_path_factory.mktemp("catalogue") / "items.parquet")
    pyarrow.parquet.write_table(pa.Table.from_pylist(items()), path, row_group_size=3)
    return ItemLookup(path, CONFIG)


@pytest.fixture(scope="module")
def later_lookup(tmp_path_factory) -> ItemLookup:
    """The look-up of a day from whose catalogue all items are gone."""
    path = str(tmp_path_factory.mktemp("catalogue") / "items.parquet")
    pyarrow.parquet.write_table(pa.Table.from_pylist(items())[:0], path)
    return ItemLookup(path, CONFIG)


def days_between(since: int | None, timestamp: int, default: float) -> float:
    return default if since is None else max(0, timestamp - since) / DAY


def candidate_values(row: dict) -> dict:
    item = ITEMS.get(row["item_id"])
    if item is None:
        return {
            "candidate/item_id": row["item_id"],
            "candidate/item_ids": [row["item_id"]],
            "candidate/genre": "",
            "candidate/title": "",
            "candidate/length": 7.25,
            "candidate/tags": [],
            "candidate/tags_weights": np.array([]),
            "candidate/age": 5.0,
        }
    values = {key: item[key] for key in item if key != "item_id"}
    values["candidate/tags_weights"] = np.array(item["candidate/tags_weights"])
    values["candidate/age"] = days_between(item["candidate/age"], row["timestamp"], 5.0)
    return values


def user_values(row: dict) -> dict:
    profile = row["profile"] or {
        "country": "",
        "years": 33.5,
        "tenure": None,
        "likes": [],
        "likes_weights": [],
    }
    return {
        "query/who": row["user_id"],
        "query/whose": [row["user_id"]],
        "query/country": profile["country"],
        "query/years": profile["years"],
        "query/tenure": days_between(profile["tenure"], row["timestamp"], 4.0),
        "query/likes": profile["likes"][-2:],
        "query/likes_weights": np.array(profile["likes_weights"][-2:]),
    }


def event_values(row: dict) -> dict:
    seed = row["seed_item_id"]
    return {
        "query/seed_item_id": seed,
        "query/seeds": [seed] if seed else [],
        "query/history": row["history"][-5:],
        "query/recent": row["history"][-2:],
        "query/last": row["history"][-1] if row["history"] else "",
        "query/device": row["event/device"],
        "query/battery": row["event/battery"],
        "query/session": row["event/session"],
        "query/tabs": row["event/tabs"][-3:],
        "query/terms": row["event/terms"],
        "query/terms_weights": np.array(row["event/terms_weights"]),
    }


def feature(value) -> train.Feature:
    """Texts are bytes lists, as are lists of them; numbers are floats, as are arrays of them."""
    if isinstance(value, (str, list)):
        texts = [value] if isinstance(value, str) else value
        encoded = [text.encode() for text in texts]
        return train.Feature(bytes_list=train.BytesList(value=encoded))
    return train.Feature(float_list=train.FloatList(value=np.atleast_1d(value)))


def naive_example(row: dict) -> train.Example:
    common = {key: row[key] for key in ("user_id", "item_id", "seed_item_id", "reward")}
    values = {**common, **candidate_values(row), **user_values(row), **event_values(row)}
    features = {key: feature(value) for key, value in values.items()}
    time = train.Int64List(value=[row["timestamp"]])
    features["timestamp"] = train.Feature(int64_list=time)
    return train.Example(features=train.Features(feature=features))


def event_table(rows: list[dict], config: Config = CONFIG) -> pa.Table:
    filled = {"user_hash": 0, "day": 0, "file": 0, "position": 0}
    schema = event_schema(config)
    return pa.Table.from_pylist([{**filled, **row} for row in rows], schema)


def history_lists(rows: list[dict]) -> pa.ListArray:
    lists = [row["history"] for row in rows]
    return pa.array(lists, pa.list_(pa.dictionary(pa.int32(), pa.string())))


def profile_table(rows: list[dict]) -> pa.Table:
    texts = pa.list_(pa.string())
    schema = pa.schema(
        {
            "who": pa.string(),
            "whose": texts,
            "country": pa.string(),
            "years": pa.float64(),
            "tenure": pa.int64(),
            "likes": texts,
            "likes_weights": pa.list_(pa.float64()),
        }
    )
    own = [{"who": row["user_id"], "whose": [row["user_id"]]} for row in rows]
    values = [
        {} if row["profile"] is None else {**known, **row["profile"]}
        for row, known in zip(rows, own, strict=True)
    ]
    return pa.Table.from_pylist(values, schema)


def encode(encoder, lookup, events, *more) -> pa.Array:
    """Encodes events, whose items are looked up first."""
    rows = lookup.rows_of(events["item_id"].combine_chunks())
    return encoder.encode(events, rows, *more)


def check(records: pa.Array, rows: list[dict]) -> None:
    for record, row in zip(records.to_pylist(), rows, strict=True):
        assert train.Example.FromString(record) == naive_example(row)


@settings(deadline=None)
@given(rows=st.lists(rows(), max_size=6))
def test_examples_are_those_of_the_definition(lookup, rows):
    encoder = ExampleEncoder(CONFIG, lookup)
    check(
        encode(encoder, lookup, event_table(rows), history_lists(rows), profile_table(rows)), rows
    )


@pytest.mark.long
@settings(deadline=None)
@given(rows=st.lists(rows(), min_size=2, max_size=6), size=st.integers(1, 3))
def test_chunks_make_the_same_bytes_as_the_whole(lookup, rows, size):
    whole = event_table(rows), history_lists(rows), profile_table(rows)
    encoder = ExampleEncoder(CONFIG, lookup)
    chunks = [
        encode(encoder, lookup, *(part.slice(start, size) for part in whole))
        for start in range(0, len(rows), size)
    ]
    expected = encode(ExampleEncoder(CONFIG, lookup), lookup, *whole).to_pylist()
    assert [one for chunk in chunks for one in chunk.to_pylist()] == expected


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(rows(), min_size=1, max_size=4))
def test_without_profiles_every_user_gets_the_defaults(lookup, rows):
    rows = [{**row, "profile": None} for row in rows]
    encoder = ExampleEncoder(CONFIG, lookup)
    check(encode(encoder, lookup, event_table(rows), history_lists(rows), None), rows)


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(rows(), min_size=1, max_size=4))
def test_histories_of_the_log_are_used_where_it_gives_them(lookup, rows):
    events = {"path": "events.jsonl", "columns": {"seed_item_id": "seed", "history": "path"}}
    config = Config.model_validate({**VALUES, "source": {**VALUES["source"], "events": events}})
    encoder = ExampleEncoder(config, lookup)
    check(encode(encoder, lookup, event_table(rows, config), None, profile_table(rows)), rows)


@settings(deadline=None, max_examples=20)
@given(rows=st.lists(rows(), min_size=1, max_size=4))
def test_another_day_has_its_own_catalogue(lookup, later_lookup, rows):
    encoder = ExampleEncoder(CONFIG, later_lookup)
    tables = event_table(rows), history_lists(rows), profile_table(rows)
    later = encode(encoder, later_lookup, *tables).to_pylist()
    check(encode(encoder.with_items(lookup), lookup, *tables), rows)
    assert encode(encoder, later_lookup, *tables).to_pylist() == later
    for record in later:
        features = train.Example.FromString(record).features.feature
        assert features["candidate/length"].float_list.value == [7.25]


def test_the_order_of_features_is_the_same_for_every_example(lookup):
    row = {
        "user_id": "u",
        "item_id": "item 1",
        "seed_item_id": "",
        "timestamp": NOW,
        "reward": 1.0,
        "event/device": "d",
        "event/battery": 1.0,
        "event/session": 1.0,
        "event/tabs": [],
        "event/terms": [],
        "event/terms_weights": [],
        "history": [],
        "profile": None,
    }
    # A key as it stands in the bytes, its length before it: in no other key.
    keys = [b"\n%c%b" % (len(key), key.encode()) for key in naive_example(row).features.feature]
    rows = [row, {**row, "item_id": "another", "history": ["item 1"] * 3}]
    encoder = ExampleEncoder(CONFIG, lookup)
    orders = [
        sorted(keys, key=record.index)
        for record in encode(
            encoder, lookup, event_table(rows), history_lists(rows), None
        ).to_pylist()
    ]
    assert orders[0] == orders[1]
