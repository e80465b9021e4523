"""The columnar reader of events, against a reader of one record at a time."""

import datetime
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.event_definition import DAY, T, assert_same, make_config, make_plan, read, usual, write
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.splits import SourceSplit, splits_of
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.column_values import lists, numbers, texts
from twotower_tf.examples.values import UNITS_A_SECOND

# Mostly what is usual, so that there is something to convert fast; then everything else.
TEXT = st.sampled_from(["a", "i1", "tv", "ü", "", "a|b||c", "x;y", "é" * 7, "true", "7"]).map(str)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([2**53 + 1, 2**24, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400])
    | st.floats()
    | st.sampled_from([7.0, -0.0, 1e16, 3.5e38, 0.1])
    | TEXT
    | st.text(max_size=3)
    | st.sampled_from(["NULL", "7.0", "-0.0", "-7.000", "07.0", "e\u0301", "7\u0301.0", "-0", ".0"])
    | st.sampled_from(["\ud800", "1e3", "1_000", " 12 ", "nan", "inf", "-7", "0x1", "1e999"])
)
NESTED = st.lists(st.lists(SCALAR, max_size=2), max_size=2)
OBJECT = st.dictionaries(TEXT, SCALAR, max_size=1)
# Mapped, or Hypothesis takes the union apart, and what is nearly right would be rare beside it.
ANYTHING = (SCALAR | st.lists(SCALAR, max_size=3) | OBJECT | NESTED).map(lambda value: value)
TIMES = (
    st.integers(T - 50_000, T + 50_000)
    | st.sampled_from(
        ["2024-03-01T12:00:00Z", "2024-03-01 12:00:00 UTC", "2024-03-01 UTC", "20240301", 20240301,
         T * 10**9 - 1, f"{T}999999999", f"{T}000001", T * 10**6, "nan", "\\N",
         "2024-03-01 12:00:00.123+02:00", "2024-03-01", "2024-02-30", "2024-03-01T12:00:00.5",
         " 2024-03-01T12:00:00z ", f"{T}", T * 1000, T + 0.5]
    )
    | ANYTHING
)  # fmt: skip
NUMBERS = st.integers(-1, 20) | st.floats(-1, 20) | ANYTHING
IDS = st.sampled_from(["i1", "i2", "i3", "7", 7, 7.0, "7.0", "unknown", "é" * 7, "-"]) | ANYTHING
LISTS = st.lists(TEXT, max_size=4) | st.sampled_from(["a|NULL|7.0", "i1;-;7.00", "\\N"]) | ANYTHING
USUAL_TIMES = range(T - 40_000, T + 40_000)
USUAL = {
    "user_id": st.sampled_from(["u1", "u2"]),
    "item_id": st.sampled_from(["i1", "7"]),
    "timestamp": st.sampled_from(USUAL_TIMES),
    "watched": st.integers(0, 10),
}
ODD = {
    "user_id": IDS, "item_id": IDS, "timestamp": TIMES, "watched": NUMBERS, "length": NUMBERS,
    "seed": IDS, "path": LISTS, "device": ANYTHING, "volume": NUMBERS, "tags": LISTS,
    "queries": LISTS, "likes": LISTS, "how": st.lists(st.floats(0, 1), max_size=4) | ANYTHING,
    "login": TIMES, "mood": st.lists(NUMBERS, min_size=2, max_size=2) | LISTS, "other": ANYTHING,
}  # fmt: skip
# A record with much that is odd would never see the fast paths.
RECORDS = st.builds(
    lambda usual, odd: {**usual, **odd},
    st.fixed_dictionaries(USUAL),
    st.lists(st.sampled_from(sorted(ODD)), max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: ODD[name] for name in names})
    ),
)
SETTINGS = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(
            ["seconds", "milliseconds", "microseconds", "nanoseconds", "iso8601", "%Y%m%d"]
        ),
        "own_rules": st.booleans(),
        "by_type": st.booleans(),
        "zone": st.sampled_from(["UTC", "Europe/Zurich"]),
        "late": st.sampled_from(["reject", "keep"]),
        "unknown": st.sampled_from(["reject", "keep"]),
    }
)


BY_TYPE = {
    "column": "device",
    "values": {"tv": 0.5, "7": 1, "true": 0.1},
    "times": ["watched"],
    "divided_by": "length",
}


def in_unit(seconds: int, unit: str) -> int | str:
    if unit in UNITS_A_SECOND:
        return seconds * UNITS_A_SECOND[unit]
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return time.isoformat() if unit == "iso8601" else time.strftime(unit)


def config_of(settings: dict) -> Config:
    return make_config(
        {
            "timestamp_unit": settings["unit"],
            "time_zone": settings["zone"],
            "missing": ["a", "7"] if settings["own_rules"] else None,
        },
        {
            "late_events": settings["late"],
            "unknown_items": settings["unknown"],
            "normalise_ids": settings["own_rules"],
            **({"reward": BY_TYPE} if settings["by_type"] else {}),
        },
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="module")
def plan_of(folder):
    """Returns a function from drawn settings to a plan, which is slow to make."""
    plans: dict[tuple, Plan] = {}

    def make(settings: dict) -> Plan:
        key = tuple(settings.values())
        if key not in plans:
            plans[key] = make_plan(folder, config_of(settings))
        return plans[key]

    return make


def check_json_lines(folder, plan_of, records, settings, split_bytes):
    plan = plan_of(settings)
    path = folder / "any.jsonl"
    lines = [b'{"broken', b"", b" \r", b"[1]", b'"\xff"']
    for number, record in enumerate(records):
        if number % 4 == 3:
            lines.insert(number, lines.pop(0) if lines else b"")
        if type(record["timestamp"]) is int and record["timestamp"] in USUAL_TIMES:
            record = {**record, "timestamp": in_unit(record["timestamp"], settings["unit"])}
        lines.insert(number, json.dumps(record).encode())
    path.write_bytes(b"\xef\xbb\xbf" * (split_bytes % 2) + b"\n".join(lines))
    file = SourceFile(str(path), "jsonl", DAY)
    assert_same(plan, file, splits_of(file, split_bytes))
    assert read(plan, splits_of(file, split_bytes)) == read(plan, [SourceSplit(file)])


of_json_lines = given(st.lists(RECORDS, min_size=4, max_size=24), SETTINGS, st.integers(1, 2000))


@settings(max_examples=40)
@of_json_lines
def test_any_json_lines_are_read_as_one_by_one_however_they_are_split(
    folder, plan_of, records, settings, split_bytes
):
    check_json_lines(folder, plan_of, records, settings, split_bytes)


@pytest.mark.long
@settings(max_examples=300)
@of_json_lines
def test_many_json_lines_are_read_as_one_by_one(folder, plan_of, records, settings, split_bytes):
    check_json_lines(folder, plan_of, records, settings, split_bytes)


COLUMN_TYPES = {
    "text": (pa.string(), TEXT),
    "large text": (pa.large_string(), TEXT),
    "categories": (pa.dictionary(pa.int8(), pa.string()), TEXT),
    "bytes": (pa.binary(), st.sampled_from([b"a", b"\xff", b""])),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20)),
    "times": (pa.int64(), st.integers(T - 50_000, T + 50_000)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "float64": (pa.float64(), st.floats() | st.sampled_from([1.0, 7.0, float(T)])),
    "float32": (pa.float32(), st.floats(width=32) | st.just(7.0)),
    "float16": (pa.float16(), st.sampled_from([1.0, 0.5, 7.0])),
    "bool": (pa.bool_(), st.booleans()),
    "decimal": (pa.decimal128(20, 2), st.decimals(-100, 100, places=2, allow_nan=False)),
    "small decimal": (
        pa.decimal256(60, 20), st.decimals(-1, 10**9, places=20, allow_nan=False) | st.just(T)
    ),
    "decimal lists": (pa.list_(pa.decimal128(9, 1)), st.lists(st.just(decimal.Decimal(3)))),
    "seconds": (pa.timestamp("s"), st.integers(-(2**40), 2**40) | st.integers(T - 9**5, T + 9**5)),
    "millis": (pa.timestamp("ms", "America/New_York"), st.integers(T * 1000, T * 1000 + 9**9)),
    "micros": (pa.timestamp("us", "Nowhere/At_All"), st.integers(T * 10**6, T * 10**6 + 9**11)),
    "nanos": (pa.timestamp("ns"), st.sampled_from([T * 10**9 + 1, T * 10**9, -1, -(10**9)])),
    "date": (pa.date32(), st.integers(-(2**31), 2**31 - 1) | st.sampled_from([19_782, 19_783, 0])),
    "date64": (pa.date64(), st.sampled_from([19_783 * 86_400_000, 0])),
    "lists": (pa.list_(pa.string()), st.lists(TEXT | st.none(), max_size=4)),
    "int lists": (pa.large_list(pa.int32()), st.lists(st.integers(0, 9), max_size=4)),
    "float lists": (pa.list_(pa.float64()), st.lists(st.floats(), max_size=4)),
    "pairs": (pa.list_(pa.string(), 2), st.lists(TEXT, min_size=2, max_size=2)),
    "float pairs": (
        pa.list_(pa.float32(), 2), st.lists(st.floats(width=32), min_size=2, max_size=2)
    ),
    "struct": (pa.struct([("a", pa.int8())]), st.just({"a": 1})),
    "nothing": (pa.null(), st.none()),
}  # fmt: skip
PLAIN_TYPES = {
    "user_id": "text", "item_id": "text", "timestamp": "times", "watched": "int8",
}  # fmt: skip


@st.composite
def tables(draw) -> pa.Table:
    """Draws a table with columns of types that were not made for them, some among many."""
    count = draw(st.integers(0, 8))
    kinds = dict(PLAIN_TYPES)
    odd = draw(st.lists(st.sampled_from(sorted(ODD)), max_size=3, unique=True))
    kinds.update({name: draw(st.sampled_from(sorted(COLUMN_TYPES))) for name in odd})
    columns = {}
    for name, kind in kinds.items():
        type_, values = COLUMN_TYPES[kind]
        element = USUAL[name] if kind == PLAIN_TYPES.get(name) else values
        if draw(st.booleans()):
            element |= st.none()
        columns[name] = pa.array(
            draw(st.lists(element, min_size=count, max_size=count)),
            pa.string() if pa.types.is_dictionary(type_) else type_,
        ).cast(type_)
    return pa.table(columns)


def check_columns(folder, plan_of, table, settings, group_rows, split_bytes):
    plan = plan_of(settings)
    path = folder / "any.parquet"
    pq.write_table(table, path, row_group_size=group_rows, store_schema=True)
    file = SourceFile(str(path), "parquet", DAY)
    named = table.select([name for name in table.column_names if name != "other"])
    pq.write_table(named, folder / "named.parquet", row_group_size=group_rows)
    # Of Parquet, rejected records show the columns that the configuration names.
    records = read_records(SourceFile(str(folder / "named.parquet"), "parquet"))
    assert_same(plan, file, splits_of(file, split_bytes), records)


of_columns = given(tables(), SETTINGS, st.integers(1, 4), st.integers(1, 400))


@settings(max_examples=80)
@of_columns
def test_any_parquet_columns_are_read_as_one_by_one_however_they_are_split(
    folder, plan_of, table, settings, group_rows, split_bytes
):
    check_columns(folder, plan_of, table, settings, group_rows, split_bytes)


@pytest.mark.long
@settings(max_examples=600)
@of_columns
def test_many_parquet_columns_are_read_as_one_by_one(
    folder, plan_of, table, settings, group_rows, split_bytes
):
    check_columns(folder, plan_of, table, settings, group_rows, split_bytes)


def test_parquet_lists_of_a_fixed_length_are_read_a_column_at_a_time():
    pairs = pa.array([["a", "b"], None, ["c", ""], ["7", "d"]], pa.list_(pa.string(), 2))
    for column in (pairs, pairs.cast(pa.list_(pa.string())), pairs.take(pa.array([0, 1, 2, 3]))):
        found = lists(column, texts, None)
        assert found.odd.tolist() == [False, False, True, False]
        assert found.array().to_pylist()[::3] == [["a", "b"], ["7", "d"]]
        assert lists(column[1:], texts, None).lengths.tolist() == [0, 2, 2]


def test_csv_is_read_with_its_numbers_as_text(tmp_path):
    plan = make_plan(tmp_path, make_config())
    path = tmp_path / "x.csv"
    rows = ["u1,7,2,a|b", "u2,unknown,2,", "u3,i1,much,", "u4,i1,3e0,c", '"u\n5",7,1,', "u6,7"]
    lines = [f"{row.replace(',', f',{T},', 1)}" for row in rows]
    path.write_text("\n".join(["user_id,timestamp,item_id,watched,tags", *lines]))
    file = SourceFile(str(path), "csv", DAY)
    assert_same(plan, file, splits_of(file, 10))
    found, rejects, _, _ = read(plan, [SourceSplit(file)])
    assert [row["user_id"] for row in found] == ["u1", "u4", "u\n5"]
    assert [json.loads(one.line)["line"] for one in rejects] == [3, 4, 8]


def test_parquet_text_that_is_no_utf8_costs_its_row_only(tmp_path):
    plan = make_plan(tmp_path, make_config())
    table = pa.Table.from_pylist([usual(device=device) for device in ("tv", "ab", "tv")])
    buffers = pa.array([b"tv", b"\xff\xfe", b"tv"], pa.binary()).buffers()
    broken = pa.Array.from_buffers(pa.string(), 3, buffers)
    path = tmp_path / "x.parquet"
    pq.write_table(table.set_column(4, "device", broken), path)
    file = SourceFile(str(path), "parquet", DAY)
    assert_same(plan, file, [SourceSplit(file)])
    rows, lines, _, _ = read(plan, [SourceSplit(file)])
    assert len(rows) == 2
    assert "a value that can't be converted" in json.loads(lines[0].line)["reason"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_orders_are_read_as_their_items_would_be_a_line_each(tmp_path, ending):
    nested = {"item_id": "items[].id", "user_id": "user.id", "seed_item_id": None, "history": None}
    query = [{"name": "price", "column": "items[].price", "kind": "dense", "default": -1.0}]
    reward = {"reward": {"column": "items[].n", "low": 0, "high": 4}}
    plan = make_plan(tmp_path, make_config({"columns": nested}, reward, query))
    of_lines = {"reward": {**reward["reward"], "column": "n"}}
    own_columns = {"columns": {"seed_item_id": None, "history": None}}
    flat = make_plan(
        tmp_path, make_config(own_columns, of_lines, [{**query[0], "column": "price"}])
    )
    items = [{"id": f"i{n % 3 + 1}", "n": n, "price": n / 2 if n % 2 else None} for n in range(9)]
    orders = [
        {"user": {"id": f"u{n}"}, "timestamp": T + n, "items": items[start:stop]}
        for n, (start, stop) in enumerate([(0, 3), (3, 3), (3, 4), (4, 9)])
    ]
    path = tmp_path / f"orders.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(orders), path, row_group_size=2)
    else:
        path.write_text("".join(json.dumps(order) + "\n" for order in orders))
    lines = [
        {**item, "item_id": item["id"], "user_id": f"u{n}", "timestamp": T + n}
        for n, order in enumerate(orders)
        for item in order["items"]
    ]
    (tmp_path / "flat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = SourceFile(str(path), ending, DAY)
    of_flat = SourceFile(str(tmp_path / "flat.jsonl"), "jsonl", DAY)
    flat_rows, _, _, _ = read(flat, [SourceSplit(of_flat)])
    rows, rejected, counts, _ = read(plan, splits_of(file, 1))
    assert rows == flat_rows
    assert not rejected
    assert counts == {DAY.toordinal(): 9}


def test_a_reward_may_be_the_product_of_several_columns(tmp_path):
    reward = {"column": "price", "times": ["quantity", "share"], "low": 1.0, "high": 9.0}
    config = make_config(examples={"reward": reward})
    sold = [(2.5, 3, 0.5), (1.0, 1, 1.0), ("4", "3", "0.75"), (10, 10, 10), (3, -1, 1)]
    records = [
        usual(price=price, quantity=quantity, share=share, timestamp=T + number)
        for number, (price, quantity, share) in enumerate(sold)
    ]
    file = write(tmp_path / "x.jsonl", [*records, usual(price=1, quantity=2)])
    rows, rejected, _, _ = read(make_plan(tmp_path, config), [SourceSplit(file)])
    worth = [float(price) * float(quantity) * float(share) for price, quantity, share in sold]
    expected = [min(max((one - 1.0) / 8.0, 0.0), 1.0) for one in worth]
    assert [row["reward"] for row in rows] == pytest.approx(expected)
    (one,) = rejected
    assert json.loads(one.line)["reason"].startswith("column 'share' is missing")


def test_decimals_are_read_a_column_at_a_time():
    written = ["0.10", "-7.00", None, "123456789012345678901234.56", "0.07"]
    given = [one and decimal.Decimal(one) for one in written]
    for type_ in (pa.decimal128(38, 2), pa.decimal256(60, 2)):
        column = pa.array(given, type_)
        found = numbers(column)
        assert found.values.to_pylist() == [one and float(one) for one in given]
        assert not found.odd.any()
        found = texts(column)
        assert found.values.to_pylist() == [None, "-7", None, None, None]
        assert found.odd.tolist() == [True, False, False, True, True]


def test_decimals_of_parquet_are_numbers_ids_and_times(tmp_path):
    plan = make_plan(tmp_path, make_config())
    exact = decimal.Decimal
    table = pa.table(
        {
            "user_id": pa.array([exact("7.00")], pa.decimal128(10, 2)),
            "item_id": ["i1"],
            "timestamp": pa.array([exact(T)], pa.decimal128(20, 0)),
            "watched": pa.array([exact("5.25")], pa.decimal256(40, 2)),
            "mood": pa.array([[exact("0.5"), exact("0.25")]], pa.list_(pa.decimal128(5, 2))),
        }
    )
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    file = SourceFile(str(path), "parquet", DAY)
    assert_same(plan, file, [SourceSplit(file)])
    ((row,), rejected, _, _) = read(plan, [SourceSplit(file)])
    assert not rejected
    assert (row["user_id"], row["timestamp"], row["event/mood"]) == ("7", T, [0.5, 0.25])
    assert row["reward"] == pytest.approx((5.25 / 10 - 0.1) / 0.9)
