"""Nothing is lost: what became of every record of a large and badly broken source."""

import csv
import datetime
import gzip
import json
import pathlib
import random
import zlib
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow import train

from twotower_tf.errors import InputError
from twotower_tf.examples.encoding.tfrecord import read_records

pytestmark = pytest.mark.long

SECONDS_PER_DAY = 86_400
GROUP_ROWS = 1000
# A record is where it was written: the file and the line or row in it, from 1.
Place = tuple[str, int]
# What makes two valid events the same.
Key = tuple[str, str, int]

ODD_VALUES = (
    *("", None, True, -1, 1e308, 10**400, [], [[1]], {"a": 1}, "x" * 600, "\ud800", "NaN"),
    *(2**63, float("nan"), float("-inf"), "tomorrow", "i999"),
)
ODD_BYTES = (b"", b"\xff", b'"', b"{", b"}", b"NaN", b"\0", b"9", b",", b"\xed\xa0\x80")


def mangled(rng: random.Random, record: dict) -> bytes:
    """Returns a record as a line of JSON that has something wrong with it, most often."""
    record = dict(record)
    for _ in range(rng.randrange(3)):
        record[rng.choice(sorted(record))] = rng.choice(ODD_VALUES)
    if rng.random() < 0.1:
        del record[rng.choice(sorted(record))]
    line = bytearray(json.dumps(record).encode())
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(line))
        line[at : at + rng.randrange(6)] = rng.choice(ODD_BYTES)
    return bytes(line).replace(b"\n", b"") or b"?"


class Source:
    """Writes the files of days and keeps the book: what is where, None for what can't be read."""

    def __init__(self, deployment, make_event):
        self._root = deployment.source
        self._make_event = make_event
        self._rng = random.Random(11)
        self.written: dict[Place, dict | None] = {}

    def _events(self, number: int, count: int) -> list[dict]:
        """Returns valid events of a day, some of them twice."""
        rng = self._rng
        events: list[dict] = []
        while len(events) < count:
            second = number * SECONDS_PER_DAY + rng.randrange(SECONDS_PER_DAY)
            more = {"seed": f"i{rng.randrange(9)}", "device": rng.choice(("tv", "phone", ""))}
            event = self._make_event(rng.randrange(3000), rng.randrange(6), second, **more)
            events += [event] * (2 if rng.random() < 0.03 else 1)
        return events[:count]

    def _path(self, day: datetime.date, name: str) -> tuple[str, pathlib.Path]:
        path = self._root / "events" / f"dt={day}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path.relative_to(self._root)), path

    def _lines(self, number: int, count: int) -> list[bytes]:
        rng = self._rng
        lines = []
        for event in self._events(number, count):
            if rng.random() < 0.05:
                event = {**event, "timestamp": event["timestamp"] + rng.choice((-1, 1)) * 90_000}
            lines.append(mangled(rng, event) if rng.random() < 0.2 else json.dumps(event).encode())
            if rng.random() < 0.01:
                lines.append(b" ")
        return lines

    def _note_lines(self, file: str, lines: list[bytes]) -> None:
        for number, line in enumerate(lines, 1):
            # An empty line is no record.
            if line.strip():
                self.written[file, number] = _json(line)

    def write_json(self, day: datetime.date, number: int, count: int) -> None:
        """Writes JSON lines, a fifth of them mangled."""
        file, path = self._path(day, "log.jsonl")
        lines = self._lines(number, count)
        path.write_bytes(b"\n".join(lines) + b"\n")
        self._note_lines(file, lines)

    def write_gzip(self, day: datetime.date, number: int, count: int, share: float) -> None:
        """Writes the first ``share`` of a gzipped file."""
        file, path = self._path(day, "more.jsonl.gz")
        packed = gzip.compress(b"\n".join(self._lines(number, count)) + b"\n", 1)
        path.write_bytes(packed[: int(len(packed) * share)])
        unpacked = zlib.decompressobj(31).decompress(path.read_bytes())
        *lines, rest = unpacked.split(b"\n")
        self._note_lines(file, lines)
        if share < 1:
            self.written[file, len(lines) + 1] = None
        else:
            assert rest == b""

    def write_parquet(self, day: datetime.date, number: int, count: int, damage: str) -> None:
        """Writes Parquet in groups of rows: whole, cut in half, or with a page that is damaged."""
        file, path = self._path(day, "log.parquet")
        rows = self._events(number, count)
        for row in self._rng.sample(rows, count // 20):
            name = self._rng.choice(("user_id", "item_id", "timestamp", "watched"))
            row[name] = None if name in ("timestamp", "watched") else self._rng.choice(("", None))
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, path, row_group_size=GROUP_ROWS, write_page_checksum=True)
        for row, event in enumerate(rows, 1):
            self.written[file, row] = event
        content = bytearray(path.read_bytes())
        if damage == "cut":
            del content[len(content) // 2 :]
            lost = range(1, count + 1)
        elif damage == "page":
            # In the middle of the second group's user ids.
            column = pq.read_metadata(path).row_group(1).column(table.schema.names.index("user_id"))
            content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
            lost = range(GROUP_ROWS + 1, 2 * GROUP_ROWS + 1)
        else:
            return
        path.write_bytes(content)
        for row in lost:
            del self.written[file, row]
        self.written[file, lost[0]] = None

    def write_csv(self, day: datetime.date, number: int, count: int) -> None:
        """Writes CSV with rows of too few or too many fields, odd numbers, broken UTF-8."""
        file, path = self._path(day, "log.csv")
        names = ["user_id", "item_id", "timestamp", "watched", "seed", "device"]
        lines = [",".join(names).encode()]
        for event in self._events(number, count):
            fields = [str(event.get(name, "")) for name in names]
            if self._rng.random() < 0.1:
                odd = self._rng.choice(("", "\udcff", "1e999", "nan"))
                fields[self._rng.randrange(len(fields))] = odd
            extra = self._rng.choice((-1, 1)) if self._rng.random() < 0.02 else 0
            fields = fields[: len(names) + extra] + [""] * max(0, extra)
            line = ",".join(fields).encode("utf-8", "surrogateescape")
            lines.append(line)
            try:
                (row,) = csv.reader([line.decode()])
                record = dict(zip(names, row, strict=True))
            except ValueError:
                record = None
            self.written[file, len(lines)] = record
        path.write_bytes(b"\n".join(lines) + b"\n")


def _json(line: bytes) -> dict | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


def key_of(record: dict) -> Key:
    """Returns what identifies a valid event."""
    return str(record["user_id"]), str(record["item_id"]), int(float(record["timestamp"]))


def made(workdir, day: datetime.date, split: str) -> list[Key]:
    """Returns the identities of a day's examples of a split, as TensorFlow reads them."""
    partition = workdir.partition("examples", day)
    keys = []
    for shard in partition.manifest()["shards"]:
        if not shard["file"].startswith(split):
            continue
        records = list(read_records(partition.file(shard["file"])))
        assert len(records) == shard["records"]
        for record in records:
            values = train.Example.FromString(record).features.feature
            user, item = (values[name].bytes_list.value[0] for name in ("user_id", "item_id"))
            keys.append((user.decode(), item.decode(), values["timestamp"].int64_list.value[0]))
    return keys


def rejected(workdir, day: datetime.date) -> list[Place]:
    """Returns where a day's rejected records are from."""
    path = pathlib.Path(workdir.partition("rejected", day).file("events.jsonl"))
    records = map(json.loads, path.read_text().splitlines())
    return [(record["file"], record["line"]) for record in records]


@pytest.fixture
def source(deployment, make_event, days) -> Source:
    """More than 100,000 records of three days."""
    deployment.values["source"]["events"]["path"] = "events/dt={date}/*"
    source = Source(deployment, make_event)
    damages = (("page", 1.0), ("none", 0.6), ("cut", 1.0))
    for number, (day, (damage, share)) in enumerate(zip(days, damages, strict=False)):
        source.write_json(day, number, 25_000)
        source.write_gzip(day, number, 5000, share)
        source.write_parquet(day, number, 5000, damage)
        source.write_csv(day, number, 2000)
    return source


def test_every_record_is_in_exactly_one_place(deployment, source, days):
    days = days[:3]
    assert len(source.written) > 100_000
    with pytest.raises(InputError, match="can't be read"):
        deployment.build(days, "strict")
    assert not [*pathlib.Path(deployment.workdir("strict").root).glob("*/dt=*")]

    limits = {"max_rejected_share": 0.9, "max_per_user_and_day": 8}
    built = deployment.build(days, unreadable_files="reject", **limits)
    workdir = deployment.workdir()
    places = set()
    for day in days:
        written = {place: r for place, r in source.written.items() if f"dt={day}" in place[0]}
        counts = workdir.partition("examples", day).manifest()["counts"]
        assert counts == built[day]
        bad = rejected(workdir, day)
        assert len(bad) == len(set(bad)) == counts["rejected"] > 0
        assert set(bad) <= written.keys()
        good = Counter(key_of(written[place]) for place in written.keys() - set(bad))
        examples, held_out = made(workdir, day, "train"), made(workdir, day, "eval")
        assert len(examples) == counts["examples"] > 0
        assert len(held_out) == counts["held_out"] > 0
        assert len({*examples, *held_out}) == len(examples) + len(held_out)
        assert {*examples, *held_out} <= good.keys()
        assert len(good) - len(examples) - len(held_out) == counts["history_only"] > 0
        assert good.total() - len(good) == counts["duplicates"] > 0
        assert counts["events"] == len(written) == good.total() + len(bad)
        assert counts["users"] == len({user for user, *_ in good})
        places |= written.keys()
    assert places == source.written.keys()
    # What can't be read is always rejected.
    unreadable = {place for place, record in source.written.items() if record is None}
    assert unreadable <= {place for day in days for place in rejected(workdir, day)}
