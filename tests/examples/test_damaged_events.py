"""However damaged a file of events is: each record that can be told is an event or rejected."""

import gzip
import json
import math
import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.event_definition import DAY, T, assert_same, make_config, make_plan, read, usual
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.splits import SourceSplit, splits_of
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.event_reading import EventReader

IDS_OF_FUZZ = ["i2", "i3", 7, 7.0, "7", "unknown", "é" * 7, "é" * 6, 2**53, 2.0**53, -0.0, "\ud800"]
NUMBERS_OF_FUZZ = [
    0,
    -1,
    0.5,
    "1",
    " 2 ",
    "x",
    2**53 + 1,
    2**70,
    3.5e38,
    -0.0,
    True,
    "1e999",
    "nan",
]
TIMES_OF_FUZZ = [
    T + 0.5,
    str(T),
    f" {T}.9",
    T * 1000,
    T - 86_400,
    T + 86_400,
    0,
    "2024-03-01",
    -1e300,
]
LISTS_OF_FUZZ = [
    *([], ["a", "b", "c", "d"], "a|b||c|", "x;y", "x", 7, [7, "a"], [1, 2], [0.5, 1], ["", "a"]),
    *([None], ["a", None], [True], [[1]], [0.1, 0.2], [1e39], ["1", "2"], ["é" * 7], [2**70], "|"),
]
TEXTS_OF_FUZZ = ["tv", 7, 7.5, True, ["tv"], "ü", "x" * 600]
POOLS = {
    **dict.fromkeys(["user_id", "item_id", "seed"], IDS_OF_FUZZ),
    **dict.fromkeys(["watched", "length", "volume"], NUMBERS_OF_FUZZ),
    **dict.fromkeys(["timestamp", "login"], TIMES_OF_FUZZ),
    **dict.fromkeys(["path", "tags", "queries", "likes", "how"], LISTS_OF_FUZZ),
    **dict.fromkeys(["device", "other"], TEXTS_OF_FUZZ),
}
ODD_FOR_ALL = [None, "", {}, [], math.nan, 10**400, "NaN", {"a": 1}]


def fuzzed(rng: random.Random) -> bytes:
    """Returns a line of JSON with something wrong with it, or not."""
    record = usual()
    for column in rng.sample(sorted(POOLS), rng.choice([0, 1, 1, 2])):
        record[column] = rng.choice(POOLS[column] if rng.random() < 0.8 else ODD_FOR_ALL)
    if "likes" in record and rng.random() < 0.7:
        likes = record["likes"]
        record["how"] = [0.5] * len(likes) if isinstance(likes, list) else 0.5
    line = bytearray(json.dumps(record).encode())
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2])):
        at = rng.randrange(len(line))
        what = rng.choice([b"", b"\xff", b'"', b"{", b"NaN", b"\0", b"9", b" ", b"\r"])
        line[at : at + rng.randrange(4)] = what
    return bytes(line)


@pytest.mark.long
@pytest.mark.parametrize("unknown", ["reject", "keep"])
def test_many_fuzzed_lines_are_read_as_one_by_one(tmp_path, unknown):
    plan = make_plan(tmp_path, make_config(examples={"unknown_items": unknown}))
    rng = random.Random(3)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(fuzzed(rng) for _ in range(20_000)))
    file = SourceFile(str(path), "jsonl", DAY)
    assert_same(plan, file, splits_of(file, 1 << 19))
    valid = len(read(plan, [SourceSplit(file)])[0])
    assert 6_000 < valid < 14_000


@pytest.mark.long
def test_every_one_of_many_fuzzed_records_is_an_event_or_rejected(tmp_path):
    rng = random.Random(4)
    plan = make_plan(tmp_path, make_config())
    lines = [json.dumps(usual(user_id=n)).encode() for n in range(60_000)]
    for at in rng.sample(range(len(lines)), 10_000):
        lines[at] = fuzzed(rng)
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(b"\n".join(lines))
    filled = sum(bool(line.strip()) for line in lines)
    assert tally(plan, plain, "jsonl", 1 << 20) == filled

    cut = tmp_path / "cut.jsonl.gz"
    packed = gzip.compress(b"\n".join(lines), 1)
    cut.write_bytes(packed[: len(packed) * 2 // 3])
    assert 20_000 < tally(plan, cut, "jsonl", 1 << 20) < filled

    rows = [f"u{n},i1,{T},{rng.choice(['1', 'x', 'nan', '1e999', ''])}" for n in range(20_000)]
    for at in rng.sample(range(len(rows)), 200):
        rows[at] = rng.choice(['"open', "too,few", "a,b,c,d,e", '"a"b,1,2,3', "\udcff,i1,1,1"])
    table = tmp_path / "x.csv"
    text = "\n".join(["user_id,item_id,timestamp,watched", *rows])
    table.write_bytes(text.encode("utf-8", "surrogateescape"))
    # A quoted field may hold line breaks, so that some rows are several lines.
    assert 19_000 < tally(plan, table, "csv", 1 << 20) <= len(rows)


def tally(plan: Plan, path: pathlib.Path, format: str, split_bytes: int) -> int:
    """Returns how many records were read, each of which is an event or rejected."""
    read = used = 0
    for split in splits_of(SourceFile(str(path), format, DAY), split_bytes):
        for batch in EventReader(plan).read(0, split):
            read += sum(batch.read.values())
            used += len(batch.valid) + len(batch.rejected)
    assert read == used
    return read


def test_damaged_parquet_costs_what_is_damaged_and_is_named(tmp_path):
    plan = make_plan(tmp_path, make_config())
    path = tmp_path / "x.parquet"
    table = pa.Table.from_pylist([usual(user_id=f"u{n}") for n in range(30_000)])
    pq.write_table(table, path, row_group_size=3000, write_page_checksum=True)
    content = path.read_bytes()
    assert tally(plan, path, "parquet", 1 << 14) == 30_000
    rng = random.Random(5)
    for _ in range(20):
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert 1 <= tally(plan, path, "parquet", 1 << 14) <= 30_001
    path.write_bytes(content[: len(content) // 2])
    assert tally(plan, path, "parquet", 1 << 14) == 1
