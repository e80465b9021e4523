"""Files that can't be read are never counted as one record: an error, or counted by their bytes."""

import bz2
import csv
import gzip
import io
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError
from twotower_tf.examples.unreadable_files import UnreadableFiles

COLUMNS = ["user_id", "item_id", "timestamp", "seed", "watched", "device"]
COUNT = 40
ERROR_PAGE = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>\n'
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def events(make_event):
    """Returns events of the first day, in its second hour, all different."""
    return [
        make_event(number % 5, number % 6, 3600 + number, watched=50) for number in range(COUNT)
    ]


def as_csv(records: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def as_lines(records: list[dict]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def as_parquet(records: list[dict]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), file)
    return file.getvalue()


def by_arrow(content: bytes, compression: str) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, compression) as file:
        file.write(content)
    return buffer.getvalue().to_pybytes()


def put(deployment, name: str, content: bytes):
    path = deployment.source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def unreadable(records: list[dict]) -> dict[str, tuple[str, bytes, str]]:
    """Returns names of files in a day's folder, what is in them, and what is said of it."""
    lines = as_lines(records * 50)
    packed = gzip.compress(lines)
    return {
        "a cut Parquet": (
            "b.parquet",
            as_parquet(records)[:-100],
            "not a Parquet file that can be",
        ),
        "a pointer for Parquet": ("b.parquet", POINTER, "a pointer of Git LFS"),
        "a pointer for CSV": ("b.csv", POINTER, "a pointer of Git LFS"),
        "an error page": ("b.jsonl", ERROR_PAGE, "an XML or HTML page"),
        "an error page for Parquet": ("b.parquet", ERROR_PAGE, "an XML or HTML page"),
        "Parquet named CSV": ("b.csv", as_parquet(records), "Parquet, not text"),
        "a gzip of zeros": ("b.jsonl.gz", b"\0" * 500, "the gzip file is damaged"),
        "zeros": ("b.csv", b"\0" * 500, "zero bytes, not data"),
        "zeros behind rows of CSV": (
            "b.csv", as_csv(records).encode()[:-5] + b"\0" * 500, "zero bytes, .* from here on"
        ),
        "zeros among lines of JSON": (
            "b.jsonl", lines[:-5] + b"\0" * 500 + lines, "zero bytes, .* from here on"
        ),
        "a cut gzip": ("b.jsonl.gz", packed[: len(packed) // 2], "the gzip file is damaged"),
        "a cut bz2": ("b.jsonl.bz2", bz2.compress(lines)[:-9], "the bz2 file is damaged"),
        "a cut xz": ("b.jsonl.xz", lzma.compress(lines)[:-9], "the xz file is damaged"),
        "a cut zstd": ("b.jsonl.zst", by_arrow(lines, "zstd")[:-9], "the zstd file is damaged"),
        "a cut lz4": ("b.jsonl.lz4", by_arrow(lines, "lz4")[:-9], "the lz4 file is damaged"),
        "Avro": ("b.jsonl", b"Obj\x01\x04\x14avro.codec", "Avro, not text: write it as Parquet"),
        "text": ("b.jsonl", b"Service unavailable\ntry again\n", "not one record can be read"),
        "a broken array": ("b.json", b'[{"user_id": "u1"},\n oops]', "not JSON from here on"),
    }  # fmt: skip


KINDS = list(unreadable([{"user_id": "u"}]))


@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_can_not_be_read_is_an_error_or_has_a_reason(
    deployment, events, days, kind, in_batches
):
    name, content, said = unreadable(events)[kind]
    path = put(deployment, name, content)
    format = {"csv": "csv", "parquet": "parquet"}.get(name.split(".")[1], "jsonl")
    file = SourceFile(str(path), format, days[0])

    def read(unreadable_files: str) -> dict[str, str]:
        config = deployment.config(unreadable_files=unreadable_files)
        looked_at = UnreadableFiles(config, str(deployment.source))
        if in_batches:
            split = SourceSplit(file)
            list(looked_at.batches(split, read_batches(split, COLUMNS)))
        else:
            list(looked_at.records(file, read_records(file)))
        return looked_at.reasons

    with pytest.raises(InputError, match=f"^{path} can't be read: .*{said}.* mend or remove it"):
        read("error")
    assert [*read("reject")] == [name]


@pytest.mark.parametrize("what", ["events", "items", "users", "searches"])
# One is found before anything is read, the other when half of it was.
@pytest.mark.parametrize("kind", ["a cut Parquet", "a cut gzip"])
def test_with_such_a_file_nothing_is_built(deployment, events, days, kind, what):
    deployment.write_day(days[0], events)
    source = deployment.values["source"]
    if what == "searches":
        searches = {"name": "searches", "kind": "text", "table": "tags"}
        deployment.values["query"]["features"].append(searches)
        one = {"user_id": "u1", "query": "x", "timestamp": events[0]["timestamp"]}
        put(deployment, "searches/a.jsonl", as_lines([one]))
    elif what == "events":
        put(deployment, "events/a.csv", as_csv(events).encode())
    else:
        put(deployment, f"{what}/a.jsonl", (deployment.source / f"{what}.jsonl").read_bytes())
    source.setdefault(what, {})["path"] = f"{what}/[ab].*"
    name, content, said = unreadable(events)[kind]
    path = put(deployment, f"{what}/{name}", content)
    with pytest.raises(InputError, match=f"^{path} can't be read: .*{said}"):
        deployment.build(days[:1])
    assert not any(deployment.published().values())


@pytest.mark.parametrize("dated", [True, False])
def test_rejected_they_count_by_their_bytes(deployment, make_event, events, days, dated):
    folder = f"events/dt={days[0]}" if dated else "events"
    deployment.values["source"]["events"]["path"] = f"events{'/dt={date}' if dated else ''}/*"
    whole = put(deployment, f"{folder}/a.csv", as_csv(events).encode())
    others = [make_event(7, number, 7200 + number) for number in range(6)]
    packed = gzip.compress(as_lines(others), mtime=0)
    # All that can be read of it is used: only the checksum at its end is missing.
    path = put(deployment, f"{folder}/b.jsonl.gz", packed[:-8])
    lost, total = path.stat().st_size, path.stat().st_size + whole.stat().st_size
    share = lost / total
    expected = (
        rf"^1 of 2 files of events of {days[0]} can't be read, {lost} of {total:,} bytes "
        rf"\({share:.1%}\), more than examples.max_rejected_share=0.04 allows; "
        rf"{folder}/b.jsonl.gz: the gzip file is damaged"
    )
    settings = {"unreadable_files": "reject", "max_rejected": 1}
    assert share > 0.04
    with pytest.raises(InputError, match=expected):
        deployment.build(days[:1], **settings, max_rejected_share=0.04)
    counts = deployment.build(days[:1], **settings, max_rejected_share=share + 0.01)[days[0]]
    assert (counts["events"], counts["rejected"]) == (COUNT + len(others) + 1, 1)


def test_what_nothing_can_be_read_of_is_lost_to_every_day(deployment, events, days):
    deployment.values["source"]["events"]["path"] = "events/*"
    put(deployment, "events/a.csv", as_csv(events).encode())
    put(deployment, "events/b.parquet", as_parquet(events)[:-100])
    settings = {"unreadable_files": "reject", "max_rejected": 1}
    with pytest.raises(InputError, match=r"1 of 2 files of events of .* can't be read"):
        deployment.build(days[:1], **settings)
    together = deployment.build(days[:2], max_rejected_share=1.0, **settings)
    assert [(one["events"], one["rejected"]) for one in together.values()] == [
        (COUNT + 1, 1),
        (1, 1),
    ]
    for day in days[:2]:
        alone = deployment.build([day], "alone", max_rejected_share=1.0, **settings)
        assert alone[day] == together[day]


@pytest.mark.parametrize("what", ["items", "users"])
def test_of_snapshots_too(deployment, events, days, what):
    deployment.write_day(days[0], events)
    deployment.values["source"][what]["path"] = f"{what}/*"
    put(deployment, f"{what}/a.jsonl", (deployment.source / f"{what}.jsonl").read_bytes())
    put(deployment, f"{what}/b.parquet", b"PAR1" * 200)
    settings = {"unreadable_files": "reject", "max_rejected": 1}
    with pytest.raises(InputError, match=r"1 of 2 files of .* can't be read, 800 of [\d,]+ bytes"):
        deployment.build(days[:1], **settings)
    deployment.build(days[:1], **settings, max_rejected_share=0.9)
    kind = {"items": "catalogue", "users": "profiles"}[what]
    assert deployment.workdir().partition(kind, days[0]).manifest()["counts"]["rejected"] == 1
