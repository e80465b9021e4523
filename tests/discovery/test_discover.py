"""What is guessed of whole folders: roles, columns, features, and what is unsure."""

import csv
import json
import random

import pytest

from tests.discovery import published
from twotower_tf.discovery.discover import discover
from twotower_tf.discovery.writing import as_yaml, check_yaml
from twotower_tf.errors import InputError


def _found(folder):
    """Returns the proposal for a folder, and the configuration that its YAML is."""
    proposal = discover(str(folder))
    return proposal, check_yaml(as_yaml(proposal, str(folder)), str(folder))


def _features(tower) -> dict[str, str]:
    return {feature.name: feature.kind for feature in tower.features}


def _mapped(files) -> dict[str, str]:
    return {key: column for key, column in files.columns if column is not None}


def _write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows] if header else rows)


# --- the layouts of public data sets --------------------------------------------------------


def test_the_songs_of_the_readme(tmp_path):
    published.write_songs(tmp_path)
    proposal, config = _found(tmp_path)
    source = config.source
    assert source.events.path == "plays/dt={date}/part-*.csv"
    assert source.items.path == "songs/dt={date}/songs.jsonl"
    assert source.users.path == "listeners.csv"
    assert source.events.timestamp_unit == source.items.timestamp_unit == "iso8601"
    assert _mapped(source.events) == {
        "user_id": "listener",
        "item_id": "song",
        "timestamp": "played_at",
        "seed_item_id": "previous_song",
    }
    assert _mapped(source.items) == {
        "item_id": "song",
        "published_at": "released_at",
        "title": "title",
    }
    reward = config.examples.reward
    assert (reward.column, reward.divided_by) == ("played_seconds", "duration_seconds")
    assert _features(config.query) == {
        "seed_item_id": "id",
        "history": "id_bag",
        "device": "category",
        "country": "category",
        "birth_year": "dense",
    }
    assert _features(config.candidate) == {
        "song": "id",
        "title": "text",
        "artist": "category",
        "genres": "id_bag",
        "duration_seconds": "dense",
        "released_at_age": "age",
    }
    assert [str(day) for day in (proposal.behaviour.first, proposal.behaviour.last)] == [
        "2024-03-01",
        "2024-03-03",
    ]
    assert str(config.training.backfill.until) == "2024-03-02"


def test_retailrocket(tmp_path):
    published.write_retailrocket(tmp_path)
    proposal, config = _found(tmp_path)
    source = config.source
    assert (source.events.path, source.items.path) == ("events.csv", "item_properties_part*.csv")
    assert source.users is None
    assert source.events.timestamp_unit == "milliseconds"
    assert _mapped(source.events) == {
        "user_id": "visitorid",
        "item_id": "itemid",
        "timestamp": "timestamp",
    }
    values = config.examples.reward.values
    assert set(values) == {"view", "addtocart", "transaction"}
    assert values["view"] < values["addtocart"] < values["transaction"] == 1.0
    # A fifth of the items are in no properties, and these are rows of a property each.
    assert config.examples.unknown_items == "keep"
    assert 0.6 < config.gates.min_coverage < 0.8
    assert _features(config.candidate) == {"itemid": "id"}
    assert any("several rows an item" in doubt for doubt in proposal.doubts)
    assert "category_tree.csv" in proposal.passed_over


def test_hm(tmp_path):
    published.write_hm(tmp_path)
    proposal, config = _found(tmp_path)
    source = config.source
    assert source.events.path == "transactions_train.csv"
    assert (source.items.path, source.users.path) == ("articles.csv", "customers.csv")
    assert _mapped(source.events) == {
        "user_id": "customer_id",
        "item_id": "article_id",
        "timestamp": "t_dat",
    }
    assert source.items.columns.title == "prod_name"
    # Two of one article on one day are two.
    assert config.examples.duplicates.keep == "all"
    assert config.examples.interleave_window_seconds == 86_400
    query, candidate = _features(config.query), _features(config.candidate)
    assert query["age"] == "dense"
    assert query["club_member_status"] == "category"
    # One for each customer; known only after the purchase; the same as another column.
    assert not {"postal_code", "price", "sales_channel_id"} & set(query)
    assert candidate["product_type_name"] == "category"
    assert "product_type_no" not in candidate
    assert candidate["detail_desc"] == "text"
    assert candidate["product_code"] == "id"
    assert any("dates without a time of day" in doubt for doubt in proposal.doubts)


# --- evidence ---------------------------------------------------------------------------------


def _ratings(rng, users, items, count=2000):
    return [
        [
            rng.randrange(1, users + 1),
            rng.randrange(1, items + 1),
            rng.randrange(1, 6),
            880_000_000 + 500 * n,
        ]
        for n in range(count)
    ]


def test_tables_without_names_are_told_by_what_joins(tmp_path):
    rng = random.Random(1)
    rows = [[item, user, stars, time] for user, item, stars, time in _ratings(rng, 90, 170)]
    (tmp_path / "u.data").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    people = [[n, rng.randrange(18, 70), rng.choice("MF")] for n in range(1, 91)]
    films = [
        [n, f"Film {n} of {rng.randrange(99)}", rng.randrange(1930, 1999)] for n in range(1, 171)
    ]
    for name, table in (("u.user", people), ("u.item", films)):
        (tmp_path / name).write_text("".join("|".join(map(str, row)) + "\n" for row in table))
    _, config = _found(tmp_path)
    assert _mapped(config.source.events) == {
        "user_id": "column_2",
        "item_id": "column_1",
        "timestamp": "column_4",
    }
    assert (config.source.items.path, config.source.users.path) == ("u.item", "u.user")
    assert config.examples.reward.column == "column_3"
    assert (config.examples.reward.low, config.examples.reward.high) == (2, 5)


def test_without_a_catalogue_the_events_are_their_items(tmp_path):
    rng = random.Random(2)
    names = [f"{rng.choice(['Red', 'Blue'])} mug number {n}" for n in range(60)]
    rows = []
    for n in range(1500):
        item = rng.randrange(60)
        day = 1 + n // 500
        time = f"{day:02}/12/2010 {n % 24:02}:{n % 60:02}"
        rows.append(
            [
                f"5{n // 5}",
                f"S{item}",
                names[item],
                rng.randrange(1, 9),
                time,
                17_000 + rng.randrange(100),
                rng.choice(["France", "Spain"]),
            ]
        )
    what = ["InvoiceNo", "StockCode", "Description", "Quantity"]
    header = [*what, "InvoiceDate", "CustomerID", "Country"]
    _write(tmp_path / "online_retail.csv", header, rows)
    proposal, config = _found(tmp_path)
    assert _mapped(config.source.events) == {
        "user_id": "CustomerID",
        "item_id": "StockCode",
        "timestamp": "InvoiceDate",
    }
    assert config.source.items.path == config.source.events.path
    assert config.source.items.columns.title == "Description"
    assert _features(config.candidate) == {"StockCode": "id", "Description": "text"}
    assert config.source.events.timestamp_unit == "%d/%m/%Y %H:%M"
    assert any("no catalogue was found" in doubt for doubt in proposal.doubts)
    assert any("%m/%d/%Y %H:%M" in doubt for doubt in proposal.doubts)


def test_orders_are_taken_apart(tmp_path):
    rng = random.Random(3)
    orders = [
        {
            "order": f"o{n}",
            "customer": {"id": f"c{rng.randrange(40)}"},
            "time": 1_700_000_000 + 700 * n,
            "lines": [{"sku": f"k{rng.randrange(30)}", "price": 1.5} for _ in range(1 + n % 3)],
        }
        for n in range(400)
    ]
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(one) + "\n" for one in orders))
    _write(tmp_path / "skus.csv", ["sku", "label"], [[f"k{n}", f"Thing {n}"] for n in range(30)])
    _, config = _found(tmp_path)
    assert _mapped(config.source.events) == {
        "user_id": "customer.id",
        "item_id": "lines[].sku",
        "timestamp": "time",
    }
    assert config.source.items.path == "skus.csv"


def test_columns_inside_of_others_lists_and_types_of_unnamed_events(tmp_path):
    rng = random.Random(7)
    types = ["pv"] * 8 + ["cart", "buy", "fav"]
    rows = [
        [rng.randrange(200), 3000 + rng.randrange(300), rng.choice(types), 1_511_544_070 + 100 * n]
        for n in range(2000)
    ]
    _write(tmp_path / "behaviour.csv", None, rows)
    things = [
        {
            "thing": 3000 + n,
            "title": f"Cream number {n}",
            "claims": [f"soft and {n}", "good for all"] if n % 2 else [],
            "tags": [f"t{n % 5}", f"t{n % 7}"],
            "details": {"Brand": f"b{n % 40}", "Colour": "red"},
            "images": [{"large": "x"}],
            "vector": [0.1, 0.25, n / 7],
        }
        for n in range(300)
    ]
    (tmp_path / "things.jsonl").write_text("".join(json.dumps(one) + "\n" for one in things))
    proposal, config = _found(tmp_path)
    assert config.examples.reward.column == "column_3"
    assert config.examples.reward.values == {"buy": 1.0, "cart": 0.5, "fav": 0.5, "pv": 0.1}
    assert _features(config.candidate) == {
        "thing": "id",
        "title": "text",
        "claims": "text",
        "tags": "id_bag",
        "vector": "vector",
        "details_Brand": "id",
    }
    left_out = {one.column: one.left_out for one in proposal.candidate if one.left_out}
    assert left_out == {
        "details.Colour": "the same everywhere",
        "images": "objects, or values of all sorts",
    }


def test_days_that_are_not_those_of_the_times_make_no_partitions(tmp_path):
    rng = random.Random(4)
    for day in range(1, 5):
        # Cut at midnight of a zone eight hours behind.
        start = 1_709_251_200 + (day - 1) * 86_400 + 8 * 3600
        rows = [
            [f"u{rng.randrange(30)}", f"i{rng.randrange(30)}", start + 200 * n] for n in range(400)
        ]
        _write(tmp_path / f"log/2024-03-{day:02}.csv", ["user", "item", "time"], rows)
    proposal, config = _found(tmp_path)
    assert config.source.events.path == "log/*.csv"
    assert any("local midnight" in doubt for doubt in proposal.doubts)


def test_a_second_column_of_users_is_named_as_the_runner_up(tmp_path):
    rng = random.Random(5)
    rows = [
        [
            f"u{rng.randrange(50)}",
            f"m{rng.randrange(50)}",
            f"i{rng.randrange(40)}",
            1_700_000_000 + 60 * n,
        ]
        for n in range(800)
    ]
    _write(tmp_path / "clicks.csv", ["user_id", "member_id", "item_id", "timestamp"], rows)
    proposal, config = _found(tmp_path)
    other = {"user_id": "member_id", "member_id": "user_id"}[config.source.events.columns.user_id]
    assert any(
        doubt.startswith("the user:") and doubt.endswith(f"the column {other}")
        for doubt in proposal.doubts
    )


def test_searches_and_impressions_have_their_roles(tmp_path):
    rng = random.Random(6)
    users, items = [f"u{n}" for n in range(40)], [f"i{n}" for n in range(50)]
    time = iter(range(1_700_000_000, 1_800_000_000, 97))
    watched = [
        [rng.choice(users), rng.choice(items), next(time), rng.randrange(90)] for _ in range(900)
    ]
    _write(tmp_path / "plays.csv", ["user", "item", "time", "watched_seconds"], watched)
    catalogue = [[one, f"The {one} film", 100] for one in items]
    _write(tmp_path / "items.csv", ["item", "title", "duration_seconds"], catalogue)
    time = iter(range(1_700_000_000, 1_800_000_000, 30))
    shown = [
        [rng.choice(users), rng.choice(items), next(time), n % 12, n // 12] for n in range(2400)
    ]
    _write(tmp_path / "impressions.csv", ["user", "item", "time", "position", "page_id"], shown)
    typed = [[rng.choice(users), f"red {n % 7} shoes", 1_700_000_000 + n] for n in range(200)]
    _write(tmp_path / "searches.csv", ["user", "query", "time"], typed)
    _, config = _found(tmp_path)
    assert config.source.events.path == "plays.csv"
    assert config.source.searches.path == "searches.csv"
    assert config.source.impressions.columns.page_id == "page_id"
    assert config.source.events.columns.dwell == "watched_seconds"
    assert config.ranking is not None


def test_the_same_folder_makes_the_same_bytes(tmp_path):
    published.write_hm(tmp_path)
    first, second = (as_yaml(discover(str(tmp_path)), "x") for _ in range(2))
    assert first == second


def test_a_log_without_times_is_named_and_no_other_table_taken_for_it(tmp_path):
    published.write_songs(tmp_path)
    for path in tmp_path.glob("plays/*/*.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        at = rows[0].index("played_at")
        _write(path, None, [row[:at] + row[at + 1 :] for row in rows])
    message = r"plays/.* has users \(listener\) and items \(song\), but no column of times$"
    with pytest.raises(InputError, match=message):
        discover(str(tmp_path))
    for path in tmp_path.glob("plays/*/*.csv"):
        path.write_text(path.read_text().replace("listener,", "", 1))
    with pytest.raises(InputError, match=r"of plays/.* not one record can be read by its header$"):
        discover(str(tmp_path))


def test_without_events_it_says_what_there_is(tmp_path):
    _write(tmp_path / "stations.csv", ["station", "height"], [["a", 1], ["b", 2]])
    with pytest.raises(InputError, match=r"no events can be found.*stations.csv \(station, height"):
        discover(str(tmp_path))
