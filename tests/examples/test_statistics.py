"""Statistics of examples against NumPy and ``collections.Counter`` on the whole data."""

import datetime
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.examples import statistics
from twotower_tf.examples.event_table import event_schema
from twotower_tf.examples.hashes import mixed, text_hashes
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.statistics_sources import StatisticsMaker
from twotower_tf.storage import Workdir


def _config(built: int = 3, days: int = 2) -> Config:
    return Config.model_validate(
        {
            "name": "measured",
            "source": {
                "events": {"path": "e.csv", "columns": {"seed_item_id": "seed"}},
                "items": {"path": "i.csv", "columns": {"item_id": "sku"}},
                "users": {"path": "u.csv", "columns": {"user_id": "uid"}},
            },
            "statistics": {"days": days},
            "tables": {
                "items": {"buckets": 9, "dim": 2, "vocabulary": {"built": built}},
                "tags": {"buckets": 9, "dim": 2, "vocabulary": {"built": built}},
                "users": {"buckets": 9, "dim": 2, "vocabulary": {"built": built}},
                "hashed": {"buckets": 9, "dim": 2},
            },
            "query": {
                "features": [
                    {"name": "history", "kind": "id_bag", "table": "items"},
                    {"name": "seed_item_id", "kind": "id", "table": "items"},
                    {"name": "tags", "kind": "weighted_id_bag", "table": "tags", "weights": "w"},
                    {"name": "likes", "of": "user", "kind": "id_bag", "table": "tags"},
                    {"name": "user", "column": "uid", "of": "user", "kind": "id", "table": "users"},
                    {"name": "page", "kind": "id", "table": "hashed"},
                    {"name": "hour", "kind": "dense"},
                    {"name": "raw", "kind": "dense", "normalise": "none"},
                    {"name": "height", "of": "user", "kind": "dense", "default": 1.5},
                ],
                "layers": [2],
            },
            "candidate": {
                "features": [
                    {"name": "item_id", "column": "sku", "kind": "id", "table": "items"},
                    {"name": "topics", "kind": "id_bag", "table": "tags"},
                    {"name": "price", "kind": "dense", "normalise": "z", "default": 7.0},
                ],
                "layers": [2],
            },
        }
    )


def _hashes(count: int, salt: int = 0) -> np.ndarray:
    return mixed(np.arange(count, dtype=np.uint64) + np.uint64(salt))


def _same(one: statistics.Statistics, other: statistics.Statistics) -> bool:
    assert one.examples == other.examples
    np.testing.assert_array_equal(one.hashes, other.hashes)
    assert one.dense.keys() == other.dense.keys()
    for name, values in one.dense.items():
        np.testing.assert_array_equal(values, other.dense[name])
    assert {name: counts.to_pydict() for name, counts in one.ids.items()} == {
        name: counts.to_pydict() for name, counts in other.ids.items()
    }
    return True


def test_quantiles_of_merged_samples_are_those_of_all_values():
    rng = np.random.default_rng(1)
    # Shards of very different sizes and values: each example must weigh the same.
    shards = [rng.exponential(3.0, 120_000), rng.normal(20.0, 1.0, 60_000), np.full(500, -4.0)]
    parts = [
        statistics.of_shard({"query/x": values}, {}, _hashes(len(values), number << 40))
        for number, values in enumerate(shards)
    ]
    merged = statistics.merge(parts)
    assert merged.examples == 180_500
    assert len(merged.dense["query/x"]) == statistics.SAMPLE
    everything = np.sort(np.concatenate(shards))
    points = np.linspace(0.01, 0.99, 99)
    found = np.quantile(merged.dense["query/x"], points)
    ranks = np.searchsorted(everything, found, "right") / len(everything)
    # Three sigma of the rank of a quantile of a sample, at most 0.015.
    assert np.abs(ranks - points).max() < 3 * np.sqrt(0.25 / statistics.SAMPLE)


def test_a_sample_smaller_than_the_limit_is_everything():
    values = np.random.default_rng(2).normal(size=700)
    parts = [
        statistics.of_shard({"query/x": values[start::7]}, {}, _hashes(100, start * 1000))
        for start in range(7)
    ]
    merged = statistics.merge(parts)
    np.testing.assert_array_equal(np.sort(merged.dense["query/x"]), np.sort(values))


@settings(deadline=None)
@given(
    bags=st.lists(st.lists(st.sampled_from(["", "a", "b", "ж", "d", None])), max_size=6),
    cut=st.integers(0, 6),
)
def test_ids_are_counted_as_a_counter_counts_them_however_they_are_split(bags, cut):
    arrays = [pa.array(bag, pa.string()) for bag in bags]

    def of(some):
        return statistics.of_shard({}, {"t": some}, _hashes(5))

    merged = statistics.merge([of(arrays[cut:]), of(arrays[:cut])])
    counter = Counter(one for bag in bags for one in bag if one)
    expected = sorted(counter.items(), key=lambda row: (-row[1], row[0]))
    assert list(zip(*merged.ids["t"].to_pydict().values(), strict=True)) == expected
    assert merged.vocabulary("t", 2) == [one for one, _ in expected[:2]]


def test_samples_and_counts_do_not_depend_on_the_order_of_the_parts(monkeypatch):
    monkeypatch.setattr(statistics, "SAMPLE", 40)
    rng = np.random.default_rng(3)
    parts = [
        statistics.of_shard(
            {"query/x": rng.normal(size=30)},
            {"t": [pa.array(rng.choice(["a", "b", "c"], 9)).dictionary_encode()]},
            _hashes(30, number * 100),
        )
        for number in range(6)
    ]
    merged = statistics.merge(parts)
    assert _same(merged, statistics.merge(parts[::-1]))
    nested = [statistics.merge(parts[:2]), statistics.merge(parts[2:5]), parts[5]]
    assert _same(merged, statistics.merge(nested))
    with pytest.raises(ValueError, match="different features"):
        statistics.merge([parts[0], statistics.of_shard({}, {}, _hashes(1))])


def test_what_is_written_is_read_and_a_day_keeps_the_most_frequent_ids(tmp_path):
    config = _config(built=2)
    ids = [f"i{n}" for n in range(50) for _ in range(n)]
    made = statistics.of_shard(
        {"query/hour": np.arange(9.0), "candidate/price": np.zeros(9)},
        {"items": [pa.array(ids)], "tags": [], "users": [pa.array(["u"])]},
        _hashes(9),
    )
    path, again = str(tmp_path / "a.arrow"), str(tmp_path / "b.arrow")
    statistics.write(path, made)
    assert _same(statistics.read(path), made)
    statistics.write(again, statistics.read(path))
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()
    kept = made.bounded(config)
    assert kept.ids["items"]["id"].to_pylist() == [f"i{n}" for n in range(49, 41, -1)]
    assert kept.vocabulary("items", 2) == made.vocabulary("items", 2) == ["i49", "i48"]
    assert kept.ids["tags"].num_rows == 0


def _publish(workdir: Workdir, day: datetime.date, hour: float) -> None:
    made = statistics.of_shard(
        {"query/hour": np.full(3, hour)}, {}, _hashes(3, day.toordinal() * 1000)
    )
    with workdir.partition(statistics.KIND, day).write({}) as folder:
        statistics.write(f"{folder}/{statistics.FILE}", made)


def test_the_window_is_the_last_built_days_up_to_the_day_and_never_a_later_one(tmp_path):
    workdir = Workdir(str(tmp_path))
    days = [datetime.date(2024, 3, number) for number in (1, 2, 5, 6, 7)]
    for day in days:
        _publish(workdir, day, float(day.day))
    for days_in_window, expected in ((1, {5.0}), (2, {2.0, 5.0}), (9, {1.0, 2.0, 5.0})):
        window = statistics.of_window(workdir, _config(days=days_in_window), days[2])
        assert set(window.dense["query/hour"]) == expected
        assert window.examples == 3 * len(expected)
    with pytest.raises(InputError, match="no statistics of 2024-03-03"):
        statistics.of_window(workdir, _config(), datetime.date(2024, 3, 3))


# --- from examples ----------------------------------------------------------------------------


def _events(config: Config, rng: np.random.Generator, count: int) -> pa.Table:
    rows = []
    for number in range(count):
        tags = [str(one) for one in rng.choice(["t1", "t2", "t3"], rng.integers(0, 3))]
        rows.append(
            {
                "user_id": f"u{rng.integers(4)}",
                "user_hash": 0,
                "day": 1,
                "timestamp": number,
                "file": 0,
                "position": number,
                "item_id": f"i{rng.integers(6)}",
                "seed_item_id": str(rng.choice(["", "i1", "s"])),
                "reward": 1.0,
                "event/tags": tags,
                "event/tags_weights": [1.0] * len(tags),
                "event/page": "p",
                "event/hour": float(rng.integers(24)),
                "event/raw": 0.0,
            }
        )
    return pa.Table.from_pylist(rows, event_schema(config))


ITEMS = {
    "i0": {"candidate/item_id": "i0", "candidate/topics": ["t1", "x"], "candidate/price": 3.0},
    "i1": {"candidate/item_id": "i1", "candidate/topics": [], "candidate/price": 4.5},
    "i2": {"candidate/item_id": "i2", "candidate/topics": ["x"], "candidate/price": 9.0},
}
PROFILES = {
    "u0": {"user": "u0", "likes": ["t2", "y"], "height": 1.9},
    "u1": {"user": "u1", "likes": [], "height": 1.6},
}


def test_every_feature_of_an_example_is_measured_as_the_model_sees_it(tmp_path):
    config = _config()
    events = _events(config, np.random.default_rng(4), 200)
    path = str(tmp_path / "items.parquet")
    rows = [{"item_id": item_id, **values} for item_id, values in ITEMS.items()]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    user_ids, item_ids = events["user_id"].to_pylist(), events["item_id"].to_pylist()
    nobody = dict.fromkeys(PROFILES["u0"])
    profiles = pa.Table.from_pylist([PROFILES.get(user, nobody) for user in user_ids])
    known = list(ITEMS)
    rows = np.array([known.index(item) if item in ITEMS else -1 for item in item_ids])

    maker = StatisticsMaker(config)
    items = maker.items(ItemLookup(path, config), rows)
    hashes = text_hashes(pa.array([str(n) for n in range(200)]))
    made = maker.make(events, hashes, profiles, items)

    order = np.argsort(hashes)
    missing = {"candidate/topics": [], "candidate/price": 7.0}
    of_items = [ITEMS.get(item, missing) for item in item_ids]
    of_users = [PROFILES.get(user, {"likes": [], "height": 1.5}) for user in user_ids]
    assert made.examples == 200
    assert {name: values.tolist() for name, values in made.dense.items()} == {
        "query/hour": events["event/hour"].to_numpy()[order].tolist(),
        "query/height": [of_users[n]["height"] for n in order],
        "candidate/price": [of_items[n]["candidate/price"] for n in order],
    }
    tags = events["event/tags"].to_pylist()
    tags += [one["likes"] for one in of_users] + [one["candidate/topics"] for one in of_items]
    expected = {
        "items": Counter([*item_ids, *filter(None, events["seed_item_id"].to_pylist())]),
        "tags": Counter(tag for bag in tags for tag in bag),
        "users": Counter(user_ids),
    }
    counted = {
        name: dict(zip(*table.to_pydict().values(), strict=True))
        for name, table in made.ids.items()
    }
    assert counted == expected


def test_without_profiles_and_items_the_defaults_are_measured():
    config = _config()
    events = _events(config, np.random.default_rng(5), 20)
    maker = StatisticsMaker(config)
    items = pa.table(
        {
            "candidate/price": pa.nulls(20, pa.float64()),
            "candidate/topics": pa.nulls(20, pa.list_(pa.string())),
        }
    )
    made = maker.make(events, _hashes(20), None, items)
    assert set(made.dense["query/height"]) == {1.5}
    assert set(made.dense["candidate/price"]) == {7.0}
    assert sum(made.ids["users"]["count"].to_pylist()) == 20


def test_a_day_without_examples_has_statistics_that_change_nothing_in_a_window(tmp_path):
    config = _config()
    maker = StatisticsMaker(config)
    empty = maker.make(event_schema(config).empty_table(), _hashes(0))
    statistics.write(str(tmp_path / "empty.arrow"), empty)
    empty = statistics.read(str(tmp_path / "empty.arrow"))
    assert empty.examples == 0
    made = maker.make(_events(config, np.random.default_rng(7), 30), _hashes(30))
    assert _same(statistics.merge([empty, made]), made)


def test_a_model_that_takes_nothing_from_the_statistics_needs_no_catalogue():
    values = _config().model_dump(mode="json")
    values["tables"] = {name: {"buckets": 9, "dim": 2} for name in values["tables"]}
    for tower in ("query", "candidate"):
        for feature in values[tower]["features"]:
            if feature["kind"] == "dense":
                feature["normalise"] = "none"
    config = Config.model_validate(values)
    assert not statistics.are_needed(config)
    assert statistics.are_needed(_config())
    maker = StatisticsMaker(config)
    assert maker.items(None, np.zeros(4, int)) is None
    made = maker.make(_events(config, np.random.default_rng(6), 4), _hashes(4))
    assert (made.examples, made.dense, made.ids) == (4, {}, {})
