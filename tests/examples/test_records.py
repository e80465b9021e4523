"""Raw records to typed ones: every mistake has a reason."""

import datetime
import decimal
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples.records import (
    DIVISOR,
    EventParser,
    ItemParser,
    RejectedRecord,
    UserParser,
)
from twotower_tf.examples.source_columns import check_columns, required_columns

T = 1_700_000_000


def config(events=None, items=None, examples=None, query=(), candidate=()):
    return Config.model_validate(
        {
            "name": "test",
            "source": {
                "events": {"path": "e.jsonl", **(events or {})},
                "items": {"path": "i.jsonl", **(items or {})},
                "users": {"path": "u.jsonl"},
            },
            "examples": examples or {},
            "tables": {"t": {"buckets": 10, "dim": 2}},
            "query": {
                "features": list(query) or [{"name": "user_id", "kind": "id", "table": "t"}],
                "layers": [2],
            },
            "candidate": {
                "features": list(candidate) or [{"name": "item_id", "kind": "id", "table": "t"}],
                "layers": [2],
            },
        }
    )


def event(config, **record):
    return EventParser(config).parse({"user_id": "u", "item_id": "i", "timestamp": T, **record})


def item(config, **record):
    return ItemParser(config).parse({"item_id": "i", **record})


def rejection(parse, *args, **record):
    with pytest.raises(RejectedRecord) as caught:
        parse(*args, **record)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a", "a"),
        (" ", " "),
        (7, "7"),
        (7.0, "7"),
        (-3, "-3"),
        (2**70, str(2**70)),
        ("é" * 4, "é" * 4),
        (decimal.Decimal("12"), "12"),
        ("6.0", "6"),
        ("-12.00", "-12"),
        ("-0.0", "0"),
        ("06.0", "06.0"),
        ("1.50", "1.50"),
        (".0", ".0"),
        ("v1.0", "v1.0"),
    ],
)
def test_ids_are_text_or_whole_numbers(given, expected):
    for_ids = config(examples={"max_id_bytes": 22})
    assert event(for_ids, user_id=given).user_id == expected
    assert event(for_ids, item_id=given).item_id == expected
    assert item(for_ids, item_id=given).item_id == expected
    assert UserParser(for_ids).parse({"user_id": given}).user_id == expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "column 'user_id' is missing; it must be an id"),
        ("", "column 'user_id' is ''; it must be an id: text that is not empty"),
        (True, "is True; it must be an id"),
        (1.5, "is 1.5; it must be an id"),
        (math.nan, "is nan; it must be an id"),
        (2.0**60, "it must be an id: text"),
        (["a"], "is ['a']; it must be an id"),
        ("é" * 5, "it must be an id of at most 9 bytes (10 are given)"),
        ("\ud800", "is '\\ud800'; it must be valid Unicode"),
        ("x\n" * 500, "is 'x\\nx\\n"),
    ],
)
def test_ids_that_can_not_be_ids_are_rejected(given, reason):
    for_ids = config(examples={"max_id_bytes": 9})
    assert reason in rejection(event, for_ids, user_id=given)
    assert len(rejection(event, for_ids, user_id=given)) < 150
    assert reason.replace("user_id", "item_id") in rejection(item, for_ids, item_id=given)


@pytest.mark.parametrize("token", ["\\N", "NULL", "None", "nan", "-"])
def test_usual_texts_for_nothing_are_no_ids_and_no_numbers_but_texts(token):
    columns = {"columns": {"seed_item_id": "seed"}}
    features = [
        {"name": "user_id", "kind": "id", "table": "t"},
        {"name": "tags", "kind": "id_bag", "table": "t", "separator": "|"},
        {"name": "price", "kind": "dense", "default": 3.5},
        {"name": "device", "kind": "category"},
        {"name": "login", "kind": "age", "since": "logged_in"},
    ]
    read = event(
        config(columns, query=features), seed=token, user_id="u", tags=f"a|{token}", price=token,
        device=token, logged_in=token,
    )  # fmt: skip
    assert read.seed_item_id == ""
    assert read.values == {
        "user_id": "u", "tags": ["a"], "price": 3.5, "device": token, "login": None,
    }  # fmt: skip
    for parse in (event, item):
        assert f"is {token!r}, which stands for a missing value; it must be an id" in rejection(
            parse, config(), item_id=token
        )
    with pytest.raises(RejectedRecord, match="stands for a missing value"):
        UserParser(config()).parse({"user_id": token})


def test_what_stands_for_nothing_can_be_said_and_then_counts_in_texts_too():
    features = [{"name": "user_id", "kind": "id", "table": "t"}, {"name": "d", "kind": "category"}]
    own = config({"missing": ["?"]}, query=features)
    assert event(own, item_id="NULL", d="?").values["d"] == ""
    assert event(own, item_id="NULL", d="?").item_id == "NULL"
    assert "stands for a missing value" in rejection(event, own, item_id="?")
    assert event(config({"missing": []}), item_id="-").item_id == "-"


def test_ids_are_in_one_normal_form_if_asked():
    features = [{"name": "maker", "kind": "id", "table": "t"}]
    as_they_are, normal = (
        config(candidate=features, examples={"normalise_ids": chosen}) for chosen in (False, True)
    )
    torn, whole = "Cafe\u0301", "Caf\u00e9"
    assert item(as_they_are, item_id=torn, maker=torn).item_id == torn
    assert item(normal, item_id=torn, maker=torn) == item(normal, item_id=whole, maker=whole)
    assert item(normal, item_id=torn, maker=torn).values == {"maker": whole}


def test_a_list_of_texts_is_one_text_of_many_lines():
    features = [{"name": "about", "kind": "text", "table": "t"}]
    read = item(config(candidate=features), about=["Red shoes", None, "size 40"])
    assert read.values["about"] == "Red shoes\nsize 40"


@pytest.mark.parametrize(("given", "expected"), [(None, ""), ("", ""), ("x", "x"), (5, "5")])
def test_seed_item_is_read_from_its_column_and_may_be_missing(given, expected):
    columns = {"columns": {"seed_item_id": "watching"}}
    assert event(config(columns), watching=given).seed_item_id == expected
    assert event(config(), seed_item_id=given).seed_item_id == ""


UTC = datetime.timezone.utc
NOON = datetime.datetime(2026, 1, 31, 12, 0, 0, 999_999)


@pytest.mark.parametrize(
    ("unit", "given", "expected"),
    [
        ("seconds", T, T),
        ("seconds", T + 0.9, T),
        ("seconds", f"{T}", T),
        ("seconds", f" {T}.7", T),
        ("seconds", 631_152_000, 631_152_000),
        ("seconds", 4_102_444_799, 4_102_444_799),
        ("milliseconds", T * 1000 + 999, T),
        ("milliseconds", str(T * 1000), T),
        ("iso8601", "2026-01-31T12:00:00Z", 1_769_860_800),
        ("iso8601", "2026-01-31 12:00:00", 1_769_860_800),
        ("iso8601", "2026-01-31T12:00:00.999+02:00", 1_769_853_600),
        ("iso8601", "2026-01-31", 1_769_817_600),
        ("iso8601", "2026-01-31 12:00:00 UTC", 1_769_860_800),
        ("microseconds", T * 10**6 + 999_999, T),
        ("nanoseconds", T * 10**9 + 999_999_999, T),
        ("nanoseconds", f"{T}999999999", T),
        ("%d/%m/%Y %H:%M", "31/01/2026 12:00", 1_769_860_800),
        ("%Y%m%d", 20260131, 1_769_817_600),
        ("%Y-%m-%dT%H:%M:%S%z", "2026-01-31T12:00:00+0200", 1_769_853_600),
    ]
    + [
        (unit, time, seconds)
        for unit in ("seconds", "milliseconds", "iso8601")
        for time, seconds in (
            (NOON, 1_769_860_800),
            (NOON.replace(tzinfo=UTC), 1_769_860_800),
            (NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))), 1_769_853_600),
            (NOON.date(), 1_769_817_600),
        )
    ],
)
def test_times_of_every_unit_become_whole_unix_seconds(unit, given, expected):
    assert event(config({"timestamp_unit": unit}), timestamp=given).timestamp == expected


@pytest.mark.parametrize(
    ("unit", "given", "reason"),
    [
        ("seconds", None, "column 'timestamp' is missing; it must be a time in Unix seconds"),
        ("seconds", T * 1000, "this looks like milliseconds; set timestamp_unit: milliseconds"),
        ("seconds", f"{T}000", "this looks like milliseconds; set timestamp_unit: milliseconds"),
        ("milliseconds", T, "this looks like seconds; set timestamp_unit: seconds"),
        ("seconds", 631_151_999, "a time between 1990-01-01 and 2100-01-01"),
        ("seconds", 4_102_444_800, "a time between 1990-01-01 and 2100-01-01"),
        ("seconds", T * 10**6, "this looks like microseconds; set timestamp_unit: microseconds"),
        ("milliseconds", T * 10**9, "set timestamp_unit: nanoseconds"),
        ("%d/%m/%Y", "31-01-2026", "is '31-01-2026'; it must be a time like %d/%m/%Y"),
        ("iso8601", "\\N", "is '\\\\N', which stands for a missing value; it must be a time"),
        ("seconds", "2026-01-31", "for dates as text set timestamp_unit: iso8601"),
        ("seconds", True, "is True; it must be a time in Unix seconds"),
        ("milliseconds", "", "is ''; it must be a time in Unix milliseconds"),
        ("iso8601", T, "a time such as 2026-01-31T12:00:00Z"),
        ("iso8601", "2026-02-30T00:00:00Z", "a time such as"),
        ("iso8601", "", "a time such as"),
        ("iso8601", "1970-01-01", "a time between"),
    ],
)
def test_times_that_make_no_sense_are_rejected(unit, given, reason):
    assert reason in rejection(event, config({"timestamp_unit": unit}), timestamp=given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-31T12:00:00", "2026-01-31T11:00:00"),
        ("2026-07-31T12:00:00", "2026-07-31T10:00:00"),
        ("2026-07-31", "2026-07-30T22:00:00"),
        (datetime.date(2026, 7, 31), "2026-07-30T22:00:00"),
        (datetime.datetime(2026, 7, 31, 12), "2026-07-31T10:00:00"),
        (datetime.datetime(2026, 7, 31, 12, tzinfo=datetime.timezone.utc), "2026-07-31T12:00:00"),
        ("2026-07-31T12:00:00Z", "2026-07-31T12:00:00"),
        ("2026-07-31T12:00:00-03:00", "2026-07-31T15:00:00"),
        # Clocks go back from 3:00 to 2:00: the first of the two; and forward from 2:00 to 3:00.
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00"),
    ],
)
def test_times_that_do_not_say_their_zone_are_of_the_configured_one(given, expected):
    zoned = config({"timestamp_unit": "iso8601", "time_zone": "Europe/Zurich"})
    utc = datetime.datetime.fromisoformat(expected).replace(tzinfo=datetime.timezone.utc)
    assert event(zoned, timestamp=given).timestamp == utc.timestamp()


def test_unix_times_have_no_zone():
    assert event(config({"time_zone": "Europe/Zurich"}), timestamp=T).timestamp == T


def test_time_is_read_whatever_else_is_wrong():
    assert EventParser(config()).timestamp({"timestamp": str(T), "user_id": None}) == T


def test_publication_may_be_older_than_logs_or_unknown():
    films = config(items={"columns": {"published_at": "released"}, "timestamp_unit": "iso8601"})
    assert item(films, released="1895-12-28").published_at == -2_335_564_800
    assert item(films, released="").published_at is None
    assert item(films).published_at is None
    assert "'released' is 'soon'" in rejection(item, films, released="soon")


FEATURES = [
    {"name": "device", "kind": "category"},
    {"name": "volume", "kind": "dense", "default": 0.5},
    {"name": "tags", "kind": "id_bag", "table": "t", "separator": "|"},
    {"name": "queries", "kind": "id_bag", "table": "t", "max_length": 2},
    {"name": "likes", "kind": "weighted_id_bag", "table": "t", "weights": "how", "max_length": 2},
    {"name": "since_login", "kind": "age", "since": "login"},
]


def test_missing_features_take_their_defaults():
    expected = {"device": "", "volume": 0.5, "since_login": None}
    expected.update({name: [] for name in ("tags", "queries", "likes", "likes_weights")})
    assert event(config(query=FEATURES)).values == expected
    for empty in (None, ""):
        missing = dict.fromkeys(["device", "volume", "tags", "queries", "likes", "how"], empty)
        assert event(config(query=FEATURES), login=empty, **missing).values == expected


@pytest.mark.parametrize(
    ("column", "given", "name", "expected"),
    [
        ("device", "tv", "device", "tv"),
        ("device", 3, "device", "3"),
        ("device", False, "device", "false"),
        ("volume", 2, "volume", 2.0),
        ("volume", "-1e3", "volume", -1000.0),
        ("volume", True, "volume", 1.0),
        ("volume", decimal.Decimal("0.25"), "volume", 0.25),
        ("tags", "a|b||c|", "tags", ["a", "b", "c"]),
        ("tags", ["a|b", 3], "tags", ["a|b", "3"]),
        ("queries", "a b|c", "queries", ["a b|c"]),
        ("queries", ["a", "b", "c"], "queries", ["b", "c"]),
        ("login", T, "since_login", T),
    ],
)
def test_features_are_converted(column, given, name, expected):
    value = event(config(query=FEATURES), **{column: given}).values[name]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("column", "given", "reason"),
    [
        ("device", 1.5, "column 'device' is 1.5; it must be text or a whole number"),
        ("device", {"a": 1}, "must be text"),
        ("device", "\udfff", "must be valid Unicode"),
        ("volume", "loud", "column 'volume' is 'loud'; it must be a finite number"),
        ("volume", math.inf, "is inf; it must be a finite number"),
        ("volume", 10**400, "must be a finite number"),
        ("volume", 1e39, "must be a finite number"),
        ("volume", [1.0], "must be a finite number"),
        ("tags", ["a", "NULL"], "is ['a', 'NULL']; it must be a list without empty values"),
        ("tags", ["a", None], "is ['a', None]; it must be a list without empty values"),
        ("tags", ["a", ""], "column 'tags' is ['a', '']; it must be a list without empty values"),
        ("how", [None], "column 'how' is [None]; it must be a list without empty values"),
        ("login", "yesterday", "column 'login' is 'yesterday'; it must be a time"),
    ],
)
def test_features_that_can_not_be_converted_are_rejected(column, given, reason):
    assert reason in rejection(event, config(query=FEATURES), **{column: given})


def test_weights_go_with_their_ids_before_lists_are_cut():
    parsed = event(config(query=FEATURES), likes=["a", "b", "c"], how=[1, 2, "3"])
    assert (parsed.values["likes"], parsed.values["likes_weights"]) == (["b", "c"], [2.0, 3.0])
    reason = rejection(event, config(query=FEATURES), likes=["a", "b", "c"], how=[1, 2])
    assert reason == "column 'how' has 2 weights for 3 ids; there must be as many"
    assert "0 weights for 1 ids" in rejection(event, config(query=FEATURES), likes=["a"])


def test_each_parser_takes_its_own_features_and_no_other_columns():
    of_user = {"name": "country", "kind": "category", "of": "user", "column": "land"}
    both = config(query=[*FEATURES[:1], of_user], candidate=[{"name": "length", "kind": "dense"}])
    columns = {"device": "tv", "land": "CH", "length": 9, "other": object()}
    assert event(both, **columns).values == {"device": "tv"}
    assert UserParser(both).parse({"user_id": "u", **columns}).values == {"country": "CH"}
    assert item(both, **columns).values == {"length": 9.0}


HISTORY = {"name": "history", "kind": "id_bag", "table": "t", "separator": ";"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [(["a", "b", 3, "d"], ("b", "3", "d")), ("a;b", ("a", "b")), (None, ()), ([], ()), ("", ())],
)
def test_history_of_the_log_is_read_only_where_its_column_is_named(given, expected):
    named = config(
        {"columns": {"history": "path"}}, query=[HISTORY], examples={"history_length": 3}
    )
    assert event(named, path=given).history == expected
    assert event(named, path=given).values == {}
    assert event(config(query=[HISTORY]), path=given, history=given).history is None
    an_age = config(query=[{"name": "history", "kind": "age", "since": "login"}])
    assert event(an_age, login=T).values == {"history": T}
    assert "'path' is ['a', '']; it must be a list without empty values" in rejection(
        event, named, path=["a", ""]
    )


def reward_config(**section):
    return config(
        examples={"reward": {"column": "watched", **section}},
        candidate=[{"name": "length", "kind": "dense", "default": 7.0}],
    )


@pytest.mark.parametrize(
    ("given", "quantity", "expected"),
    [("view", 1, 0.1), ("buy", "3", 3.0), (7, 2, 1.0), (True, 0.5, 0.125)],
)
def test_a_reward_may_go_by_a_table_of_texts_times_quantities(given, quantity, expected):
    reward = {"column": "event", "values": {"view": 0.1, "buy": 1, 7: 0.5, True: 0.25}}
    by_type = config(examples={"reward": {**reward, "times": ["quantity"]}})
    assert event(by_type, event=given, quantity=quantity).reward_value == pytest.approx(expected)
    assert "is 'buyy'; it must be one of view, buy, 7, true (examples.reward)" in rejection(
        event, by_type, event="buyy", quantity=1
    )
    assert "column 'event' is missing" in rejection(event, by_type, quantity=1)
    assert "column 'quantity' is missing" in rejection(event, by_type, event="buy")
    assert {"event", "quantity"} < set(required_columns(by_type, "events"))


def test_without_a_reward_section_no_column_is_read_for_it():
    assert event(config(), watched="not a number").reward_value is None


@pytest.mark.parametrize("given", [None, "", math.nan, "much"])
def test_reward_column_is_required(given):
    assert "column 'watched' is" in rejection(event, reward_config(), watched=given)


@pytest.mark.parametrize(("given", "expected"), [(5, 5.0), ("2.5", 2.5), (None, None), ("", None)])
def test_divisor_is_of_the_event_and_of_the_item_and_may_be_missing(given, expected):
    divided = reward_config(divided_by="length")
    assert event(divided, watched=3, length=given).reward_divisor == expected
    # The feature's default, 7, is not something to divide by.
    assert item(divided, length=given).values.get(DIVISOR) == expected


def test_required_columns_are_those_the_configuration_names():
    needing = config(
        {"columns": {"seed_item_id": "watching", "history": "path"}},
        {"columns": {"title": "name"}},
        {"reward": {"column": "watched", "divided_by": "length"}},
        query=[HISTORY, FEATURES[4], FEATURES[5], {"name": "c", "kind": "category", "of": "user"}],
    )
    assert set(required_columns(needing, "events")) == {
        *("user_id", "item_id", "timestamp", "watching", "path", "watched", "likes", "how", "login")
    }
    assert set(required_columns(needing, "items")) == {"item_id", "name"}
    assert set(required_columns(needing, "users")) == {"user_id", "c"}


def test_header_without_a_needed_column_is_refused_up_front(tmp_path):
    path = tmp_path / "ratings.csv"
    file = SourceFile(str(path), "csv")
    needing = config({"columns": {"item_id": "movie_id"}})
    path.write_text("user_id,movie,timestamp\n")
    with pytest.raises(InputError) as caught:
        check_columns(file, needing, "events")
    assert str(caught.value) == (
        f"{path}: there is no column 'movie_id' (source.events.columns.item_id); did you mean "
        "'movie'?; its columns are user_id, movie, timestamp"
    )
    # What is no header at all may be one name of megabytes.
    path.write_text("x" * 100_000 + ",y" * 100 + "\n")
    with pytest.raises(InputError) as caught:
        check_columns(file, needing, "events")
    assert len(str(caught.value).removeprefix(str(path))) < 300
    assert str(caught.value).endswith(", y, y and 81 more")
    path.write_text("user_id,movie_id,timestamp,user_id\n")
    with pytest.raises(InputError, match=r"'user_id' .* more than once"):
        check_columns(file, needing, "events")
    path.write_text("timestamp,movie_id,user_id,other\n")
    check_columns(file, needing, "events")
    # Of JSON each record says it.
    check_columns(SourceFile(str(path), "jsonl"), needing, "events")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes()
    | st.decimals() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip
EVERYTHING = config(
    {"columns": {"seed_item_id": "seed", "history": "path"}},
    examples={"reward": {"column": "watched", "divided_by": "length"}},
    query=FEATURES,
)
COLUMNS = ["seed", "path", "watched", "length", "how", "login"] + [f["name"] for f in FEATURES]


@given(st.dictionaries(st.sampled_from([*COLUMNS, "user_id", "item_id", "timestamp"]), ANYTHING))
def test_any_record_is_parsed_or_rejected_and_never_breaks_the_build(record):
    parser = pickle.loads(pickle.dumps(EventParser(EVERYTHING)))
    try:
        parsed = parser.parse({"user_id": "u", "item_id": "i", "timestamp": T, **record})
    except RejectedRecord:
        return
    texts = [parsed.user_id, parsed.item_id, parsed.seed_item_id, *parsed.history]
    texts += [parsed.values["device"], *parsed.values["tags"], *parsed.values["likes"]]
    assert all(text.encode("utf-8") is not None for text in texts)
    assert math.isfinite(parsed.values["volume"])
    assert len(parsed.values["likes"]) == len(parsed.values["likes_weights"])


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ("miliseconds", "did you mean 'milliseconds'"),
        ("%H:%M", "does not say year, month and day"),
        ("%Y-%m-%d %Q", "is no pattern of strptime"),
    ],
)
def test_units_of_time_that_are_none_are_refused(unit, reason):
    with pytest.raises(ValueError, match=reason):
        config({"timestamp_unit": unit})
