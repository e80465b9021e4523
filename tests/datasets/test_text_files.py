"""Whatever a text file is called and however it is written, its first bytes say how to read it."""

import bz2
import codecs
import csv
import datetime
import gzip
import io
import json
import lzma

import pyarrow as pa
import pytest

from twotower_tf.datasets import lines
from twotower_tf.datasets.dialects import Layout
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit, splits_of

DAY = datetime.date(2026, 1, 2)
TEXT = "".join(
    f"u{n},{title},{n * 1.5}\r\n"
    for n, title in enumerate(['"Él, ""the"" one"', "été", "", "naïve", "日本", "x" * 300] * 12)
)
TABLE = f"user,title,number\r\n{TEXT}"
# Read by Python's own reader.
ROWS = list(csv.DictReader(io.StringIO(TABLE, newline="")))
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS, indent=1, ensure_ascii=False)


def by_arrow(content: bytes, compression: str) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, compression) as file:
        file.write(content)
    return buffer.getvalue().to_pybytes()


FORMS = {
    "Windows": ("csv", TABLE.encode("utf-8-sig")),
    "gzip named CSV": ("csv", gzip.compress(TABLE.encode())),
    "bz2": ("jsonl", bz2.compress(LINES)),
    "xz": ("csv", lzma.compress(TABLE.encode())),
    "zstd": ("jsonl", by_arrow(LINES, "zstd")),
    "lz4": ("csv", by_arrow(TABLE.encode(), "lz4")),
    "UTF-16": ("csv", TABLE.encode("utf-16")),
    "UTF-16 without a mark": ("csv", TABLE.encode("utf-16-be")),
    "UTF-32": ("jsonl", codecs.BOM_UTF32_LE + LINES.decode().encode("utf-32-le")),
    "carriage returns": ("csv", TABLE.replace("\r\n", "\r").encode("utf-8-sig")),
    "an array": ("jsonl", ARRAY.encode("utf-16")),
    "an array in a line": ("jsonl", gzip.compress(json.dumps(ROWS).encode())),
    "objects in a line": ("jsonl", LINES.replace(b"}\n", b"} ")),
    "objects of several lines": ("jsonl", ARRAY[1:-1].replace("},", "}").encode()),
}


def both_ways(file: SourceFile) -> list:
    """Returns a file's records, which one by one and in batches are the same."""
    records = list(read_records(file))
    for splits in ([SourceSplit(file)], splits_of(file, 1000)):
        names = ["user", "title", "number"]
        batches = [batch for split in splits for batch in read_batches(split, names)]
        rows = [(batch, row) for batch in batches for row in range(len(batch))]
        assert [(batch.number(row), batch.record(row)) for batch, row in rows] == records
        for name in names:
            for batch in batches:
                values, odd = batch.column(name, None)
                for row, value in enumerate(values.to_pylist()):
                    record = batch.record(row)
                    assert odd[row] if isinstance(record, Unreadable) else value == record[name]
    return [record for _, record in records]


@pytest.mark.parametrize("block", [4 << 20, 50])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_records(tmp_path, monkeypatch, form, block):
    monkeypatch.setattr(lines, "_BLOCK_BYTES", block)
    format, content = FORMS[form]
    path = tmp_path / f"any.{format}"
    path.write_bytes(content)
    assert both_ways(SourceFile(str(path), format, DAY)) == ROWS


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le"])
def test_an_encoding_is_as_the_configuration_says(tmp_path, encoding):
    table = TABLE.replace("日本", "Çà")
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(table.encode(encoding)))
    read = both_ways(SourceFile(str(path), "csv", DAY, Layout(encoding=encoding)))
    assert read == list(csv.DictReader(io.StringIO(table, newline="")))


def test_a_byte_that_an_encoding_has_not_costs_its_line_only(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"user,title,number\nu1,\xe9,1\nu2,\x81,2\nu3,,3\n")
    first, second, third = both_ways(SourceFile(str(path), "csv", DAY, Layout(encoding="cp1252")))
    assert (first["title"], third["user"]) == ("é", "u3")
    assert second.reason.startswith("not UTF-8: byte 0x81")
    assert not second.of_file


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"[]", 0),
        (b" [ ]\n", 0),
        (b'[{"user": 1}]', 1),
        (b'[{"user": "[}\\n"}\n,\n{"user": null}\n]\n', 2),
        (b'{"user": 1}{"user": 2}\n{"user": 3}', 3),
        (b'{"user": 1}, {"user": 2},', 2),
    ],
)
def test_json_that_is_no_object_a_line_has_its_values_one_after_another(tmp_path, content, values):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    records = [record for _, record in read_records(SourceFile(str(path), "jsonl"))]
    assert len(records) == values
    text = content.decode().strip().rstrip(",").replace("}{", "},{").replace("}\n{", "},{")
    assert records == json.loads(text if text.startswith("[") else f"[{text}]")


@pytest.mark.parametrize("rest", [b"oops, {}]", b'{"user": ', b"\xff"])
def test_json_in_which_no_value_ends_is_damaged_from_there_on(tmp_path, rest):
    path = tmp_path / "x.json"
    path.write_bytes(b'[{"user": 1},\n{"user": 2},' + rest)
    *records, (_, last) = read_records(SourceFile(str(path), "jsonl"))
    assert [record["user"] for _, record in records] == ([] if rest == b"\xff" else [1, 2])
    assert last.of_file
    assert "from here on, after value" in last.reason


def test_a_line_that_is_no_json_is_no_sign_of_another_form(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"user": \n{"user": 1}\n{\n')
    records = [record for _, record in read_records(SourceFile(str(path), "jsonl"))]
    assert [isinstance(record, dict) for record in records] == [False, True, False]
