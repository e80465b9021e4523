"""What events a file holds, a record at a time in plain Python, and a plan to read them for."""

import datetime
import json
import pathlib

import pyarrow as pa

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.examples.event_table import event_schema
from twotower_tf.examples.hashes import text_hash
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.plan import CatalogueFile, Plan
from twotower_tf.examples.reading.event_reading import EventReader
from twotower_tf.examples.records import EventParser
from twotower_tf.examples.rejects import rejected_line
from twotower_tf.examples.values import RejectedRecord, rejected

DAY = datetime.date(2024, 3, 1)
NUMBER = DAY.toordinal()
T = int(datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.timezone.utc).timestamp())

QUERY = [
    {"name": "device", "kind": "category"},
    {"name": "volume", "kind": "dense", "default": 0.5},
    {"name": "tags", "kind": "id_bag", "table": "t", "separator": "|"},
    {"name": "queries", "kind": "id_bag", "table": "t", "max_length": 2},
    {"name": "likes", "kind": "weighted_id_bag", "table": "t", "weights": "how", "max_length": 2},
    {"name": "since_login", "kind": "age", "since": "login", "serving_days": 3.0},
    {"name": "history", "kind": "id_bag", "table": "t", "separator": ";"},
    {"name": "mood", "kind": "vector", "length": 2, "separator": "|"},
]
ITEMS = [
    {"item_id": "i1", "length": 10},
    {"item_id": "i2", "length": 0},
    {"item_id": "i3"},
    {"item_id": "7", "length": 3.5},
]


def make_config(events=None, examples=None, query=QUERY) -> Config:
    """Returns a configuration, with values of the sections of events and examples replaced."""
    return Config.model_validate(
        {
            "name": "test",
            "source": {
                "events": {
                    "path": "e/{date}",
                    "columns": {"seed_item_id": "seed", "history": "path"},
                    **(events or {}),
                },
                "items": {"path": "items.jsonl"},
            },
            "examples": {
                "reward": {"column": "watched", "divided_by": "length", "low": 0.1},
                "max_id_bytes": 12,
                "history_length": 3,
                "unreadable_files": "reject",
                **(examples or {}),
            },
            "tables": {"t": {"buckets": 10, "dim": 2}},
            "query": {"features": query, "layers": [2]},
            "candidate": {
                "features": [{"name": "item_id", "kind": "id", "table": "t"}],
                "layers": [2],
            },
        }
    )


def make_plan(root: pathlib.Path, config: Config, days=(NUMBER,)) -> Plan:
    """Returns a plan to read events of days, joined with the catalogue ``ITEMS``."""
    items = root / "items.jsonl"
    items.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    parsed = catalogue.parse_catalogue([SourceFile(str(items), "jsonl")], str(root), config)
    path = str(root / "items.parquet")
    catalogue.write_catalogue(parsed, path)
    return Plan(
        config_json=config.model_dump_json(by_alias=True),
        root=str(root),
        scratch=str(root),
        days=days,
        events=(),
        splits=(),
        catalogues=(CatalogueFile(1, path, storage.checksum(path)),),
        profiles=(),
        chains=(),
    )


def naive_reward(section, event, items) -> float:
    """Returns an event's reward, given the lengths of the items."""
    if section is None:
        return 1.0
    value = event.reward_value
    if section.divided_by is not None:
        divisor = event.reward_divisor
        if divisor is None:
            divisor = items.get(event.item_id)
        if divisor is None:
            raise RejectedRecord(
                f"column '{section.divided_by}' is missing from the event and from its item; the "
                "reward needs a number above 0 to divide by"
            )
        if divisor <= 0.0:
            raise rejected(divisor, section.divided_by, "a number above 0 to divide the reward by")
        value /= divisor
    return min(max((value - section.low) / (section.high - section.low), 0.0), 1.0)


def naive_event(config: Config, parser: EventParser, record, day: int) -> dict:
    """Returns an event's row in the table, but for where it is from."""
    if isinstance(record, Unreadable):
        raise RejectedRecord(record.reason)
    event = parser.parse(record)
    event_day = event.timestamp // 86_400 + datetime.date(1970, 1, 1).toordinal()
    if event_day > day or (event_day < day and config.examples.late_events == "reject"):
        kind = "late" if event_day < day else "ahead of its time"
        other, own = map(datetime.date.fromordinal, (event_day, day))
        raise RejectedRecord(f"{kind}: an event of {other} in a file of {own}")
    lengths = {item["item_id"]: item.get("length") for item in ITEMS}
    items = {
        item_id: None if length is None else float(length) for item_id, length in lengths.items()
    }
    if config.examples.unknown_items == "reject" and event.item_id not in items:
        raise RejectedRecord(
            f"item_id '{event.item_id}' is not in the catalogue as of "
            f"{datetime.date.fromordinal(day)} (examples.unknown_items: reject)"
        )
    row = {
        "user_id": event.user_id,
        "user_hash": text_hash(event.user_id),
        "day": day,
        "timestamp": event.timestamp,
        "item_id": event.item_id,
        "seed_item_id": event.seed_item_id,
        "reward": pa.scalar(
            naive_reward(config.examples.reward, event, items), pa.float32()
        ).as_py(),
    }
    if event.history is not None:
        row["history"] = list(event.history)
    for name, value in event.values.items():
        if name == "since_login":
            value = 3.0 if value is None else max(0, event.timestamp - value) / 86_400
        row[f"event/{name}"] = value
    return row


def naive_read(plan: Plan, file: SourceFile, records=None) -> tuple[list[dict], list[str]]:
    """Returns the events of a file, and the lines of the rejected."""
    day = file.day.toordinal()
    parser = EventParser(plan.config)
    events, lines = [], []
    for number, record in records or read_records(file):
        try:
            events.append(naive_event(plan.config, parser, record, day))
        except RejectedRecord as error:
            shown = record.raw if isinstance(record, Unreadable) else record
            lines.append(rejected_line(plan.root, file.path, number, shown, str(error)))
    return events, lines


def read(plan: Plan, splits: list[SourceSplit]):
    """Returns the events, the lines of the rejected, the records read by day."""
    rows, lines, counts, positions = [], [], {}, []
    reader = EventReader(plan)
    for split in splits:
        for batch in reader.read(3, split):
            assert batch.valid.schema == event_schema(plan.config)
            batch.valid.validate(full=True)
            assert not any(column.null_count for column in batch.valid.columns)
            rows += batch.valid.to_pylist()
            lines += batch.rejected
            for day, count in batch.read.items():
                counts[day] = counts.get(day, 0) + count
    positions = [row.pop("position") for row in rows]
    assert positions == sorted(positions)
    assert [one.position for one in lines] == sorted(one.position for one in lines)
    assert all(row.pop("file") == 3 for row in rows)
    return rows, lines, counts, positions


def assert_same(plan: Plan, file: SourceFile, splits: list[SourceSplit], records=None) -> None:
    """Checks that the reader gives what the naive one does, in the same order."""
    expected, expected_lines = naive_read(plan, file, records)
    rows, lines, counts, _ = read(plan, splits)
    assert [one.line for one in lines] == expected_lines
    assert [list(row) for row in rows] == [
        [name for name in row if name in other] for row, other in zip(rows, expected, strict=True)
    ]
    assert rows == [
        {name: other[name] for name in row} for row, other in zip(rows, expected, strict=True)
    ]
    assert sum(counts.values()) == len(rows) + len(lines)


def usual(**values) -> dict:
    """Returns a valid record, with some of its values replaced."""
    return {"user_id": "u1", "item_id": "i1", "timestamp": T, "watched": 5, **values}


def write(path: pathlib.Path, records: list) -> SourceFile:
    """Writes records as JSON lines of the day."""
    path.write_bytes(b"\n".join(json.dumps(record).encode() for record in records))
    return SourceFile(str(path), path.suffix.removeprefix("."), DAY)
