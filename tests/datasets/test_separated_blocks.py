"""CSV and TSV in blocks hold what they hold row by row, however they are split."""

import csv
import datetime
import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twotower_tf import storage
from twotower_tf.datasets import lines, separated
from twotower_tf.datasets.dialects import AS_USUAL, Layout
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit, splits_of

DAY = datetime.date(2026, 1, 2)

# What bytes are made of: fields alone are rarely odd enough, bytes alone rarely enough in order.
PIECES = st.sampled_from(
    [
        *(b",", b"\t", b"\n", b"\r\n", b"\r", b'"', b'""', b" ", b"\0", b"\xff", b"\xef\xbb\xbf"),
        *(
            b"a,b\n",
            b"1,2\n",
            b'"x","y"\n',
            b'"x\n",1\r\n',
            b'1,"",2\n',
            b"007,-1e3\n",
            b"NA,null\n",
        ),
        *("é,ü\n".encode(), b"true,2026-01-02\n", b"," * 9, b"z" * 70, b'"' + b"q\n" * 30),
    ]
)
TEXTS = st.lists(PIECES | st.binary(max_size=3), max_size=40).map(b"".join)
LAYOUTS = [
    *(AS_USUAL,) * 4,
    Layout(header=("a", "b")),
    Layout(quote="none", comment="1"),
    Layout(quote="double", comment='"x'),
    Layout(delimiter=",,", comment="z"),
    Layout(delimiter="é"),
]
PLAIN = st.text("ab1,.\t\"'\r\n é", max_size=4)


@st.composite
def tables(draw) -> bytes:
    """Mostly sound: so that most lines are clean ones, and the odd ones are among them."""
    columns = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(PLAIN, min_size=columns, max_size=columns), max_size=12))
    quoted = draw(st.booleans())

    def written(field: str) -> str:
        if quoted or set(field) & set(',\t"\r\n'):
            doubled = field.replace('"', '""')
            return f'"{doubled}"'
        return field

    header = [*"abc"[: columns - 1], draw(st.sampled_from("abc"))]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = "".join(",".join(map(written, row)) + end for row in [header, *rows]).encode()
    for place, piece in draw(st.lists(st.tuples(st.integers(0, 200), PIECES), max_size=3)):
        text = text[:place] + piece + text[place:]
    return text


def _names(file: SourceFile) -> list[str]:
    names = column_names(file)
    return names if isinstance(names, list) else []


def found_in(splits: list[SourceSplit], names: list[str]) -> list[tuple]:
    """Returns number, record and values of every row, and sees to it that these agree."""
    found, last = [], -1
    for split in splits:
        for batch in read_batches(split, names):
            assert batch.positions[0] > last
            assert (np.diff(batch.positions) > 0).all()
            last = batch.positions[-1]
            columns = {name: batch.column(name, None) for name in names}
            every_other = np.arange(0, len(batch), 2)
            for name, (values, odd) in columns.items():
                some, some_odd = batch.column(name, every_other)
                assert some.to_pylist() == values.to_pylist()[::2]
                assert some_odd.tolist() == odd[::2].tolist()
            for row in range(len(batch)):
                record = batch.record(row)
                for name, (values, odd) in columns.items():
                    if isinstance(record, Unreadable):
                        assert odd[row]
                    else:
                        assert values[row].as_py() == record.get(name)
                        assert not odd[row]
                found.append((batch.number(row), record))
    return found


@pytest.fixture(params=[(1 << 20, 4 << 20), (64, 20), (40, 1)], ids=["whole", "small", "lines"])
def sizes(request, monkeypatch):
    """How far a quoted field may go on, and how much is read at once: in tests, little."""
    continued, block = request.param
    monkeypatch.setattr(separated, "MOST_CONTINUED_BYTES", continued)
    monkeypatch.setattr(lines, "_BLOCK_BYTES", block)


@pytest.mark.usefixtures("sizes")
@settings(max_examples=80)
@given(
    content=TEXTS | tables(),
    format=st.sampled_from(["csv", "tsv"]),
    split_bytes=st.integers(1, 90),
    layout=st.sampled_from(LAYOUTS),
)
@example(content=b'\n\n"a"\n"x"\n', format="csv", split_bytes=1, layout=AS_USUAL)
@example(content=b"a\n\xef\xbb\xbf1\n", format="csv", split_bytes=9, layout=AS_USUAL)
@example(content=b'a\n""\n \n\r\n\n"\n', format="csv", split_bytes=1, layout=AS_USUAL)
def test_blocks_and_splits_hold_what_is_read_row_by_row(
    tmp_path_factory, content, format, split_bytes, layout
):
    path = tmp_path_factory.getbasetemp() / f"fuzzed.{format}"
    path.write_bytes(content)
    file = SourceFile(str(path), format, DAY, layout)
    names = [*dict.fromkeys(_names(file)), "missing"]
    expected = list(read_records(file))
    assert found_in([SourceSplit(file)], names) == expected
    assert found_in(splits_of(file, split_bytes), names) == expected
    zipped = path.with_suffix(".gz")
    zipped.write_bytes(gzip.compress(content))
    assert (
        found_in([SourceSplit(SourceFile(str(zipped), format, DAY, layout))], names[:1]) == expected
    )


# --- what Arrow parses -------------------------------------------------------------------------


def test_only_lines_that_are_not_clean_are_parsed_one_by_one(tmp_path, monkeypatch):
    parsed = []
    row_at = separated.row_at

    def noted(line, following, dialect, fields=None):
        parsed.append(line)
        return row_at(line, following, dialect, fields)

    clean = [b"1,2", b"", b'"1","2"\r', b'"a,""b""",', b"NA,1e5", "é,ü".encode(), b"\r"]
    odd = [b"1", b"1,2,3", b"\xff,2", b'"1"2,3', b'"1,2', b"a\rb,2", b"1,2\0", b" "]
    path = tmp_path / "x.csv"
    path.write_bytes(b"\n".join([b"a,b", *clean, *odd]))
    monkeypatch.setattr(separated, "row_at", noted)
    (batch,) = read_batches(SourceSplit(SourceFile(str(path), "csv", DAY)), ["b", "a"])
    assert parsed == [b"a,b\n", *(line + b"\n" for line in odd)]
    first, _ = batch.column("a", None)
    assert first.to_pylist()[:5] == ["1", "1", 'a,"b"', "NA", "é"]


def test_a_block_is_as_fast_as_it_is_clean(tmp_path):
    """Values of a clean block come out of Arrow: no Python value of any is made."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + b"1,x\n" * 50_000)
    (batch,) = read_batches(SourceSplit(SourceFile(str(path), "csv", DAY)), ["a", "b"])
    array, odd = batch.column("a", None)
    assert pa.types.is_string(array.type)
    assert len(array) == len(batch) == 50_000
    assert not odd.any()


# --- where files are divided -------------------------------------------------------------------

MIB = 1 << 20


def write(path, rows, header="id,text", quoting=csv.QUOTE_MINIMAL) -> SourceFile:
    """Writes a file of three MiB or more."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"{header}\n")
        csv.writer(file, quoting=quoting, lineterminator="\n").writerows(rows)
    assert path.stat().st_size > 3 * MIB
    return SourceFile(str(path), "csv", DAY)


@pytest.mark.parametrize(
    ("text", "quoting", "count"),
    [
        ("plain", csv.QUOTE_MINIMAL, 4),
        ("plain", csv.QUOTE_ALL, 6),
        ("with, commas", csv.QUOTE_MINIMAL, 6),
        ("with\nmany\nline breaks,\n", csv.QUOTE_MINIMAL, 6),
        ("1,2\n3,4\n" * 30, csv.QUOTE_ALL, 6),
    ],
)
def test_a_large_file_is_divided_and_every_row_is_in_one_split(tmp_path, text, quoting, count):
    size = 3 * MIB // (len(text) + 8) + 1
    file = write(tmp_path / "x.csv", ((10**6 + n, text) for n in range(size)), quoting=quoting)
    splits = splits_of(file, MIB // 2)
    assert len(splits) >= count
    assert [split.start for split in splits[1:]] == [split.stop for split in splits[:-1]]
    sizes = np.diff([split.start for split in splits])
    assert sizes.min() > MIB // 4
    batches = [batch for split in splits for batch in read_batches(split, ["id", "text"])]
    ids = [value for batch in batches for value in batch.column("id", None)[0].to_pylist()]
    texts = {value for batch in batches for value in batch.column("text", None)[0].to_pylist()}
    assert ids == [str(10**6 + n) for n in range(size)]
    assert texts == {text}
    lines = 1 + text.count("\n")
    assert batches[-1].number(len(batches[-1]) - 1) == 2 + (size - 1) * lines


def test_a_file_whose_quotes_do_not_tell_where_rows_start_is_one_split(tmp_path):
    # Every line may as well be the middle of a field that is quoted.
    file = write(tmp_path / "x.csv", ((f"{n:08}", "") for n in range(320_000)))
    content = (tmp_path / "x.csv").read_bytes().replace(b",\n", b',""\n')
    (tmp_path / "x.csv").write_bytes(content)
    assert splits_of(file, MIB) == [SourceSplit(file)]


def test_a_field_of_a_megabyte_without_quotes_is_not_entered(tmp_path):
    text = f"{'x' * 99}\n" * 9000
    file = write(tmp_path / "x.csv", ((n, text) for n in range(6)))
    splits = splits_of(file, MIB // 4)
    batches = [batch for split in splits for batch in read_batches(split, ["id", "text"])]
    assert [text for batch in batches for text in batch.column("text", None)[0].to_pylist()] == (
        [text] * 6
    )


def test_the_reason_of_a_row_at_the_end_of_a_split_is_found_behind_it(tmp_path):
    rows = [b'1,"a"\n'] * 300_000
    rows[150_000] = b'2,"open\n'
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,text\n" + b"".join(rows))
    file = SourceFile(str(path), "csv", DAY)
    at = len(b"id,text\n") + 6 * 150_000
    splits = [SourceSplit(file, 0, at + 8), SourceSplit(file, at + 8)]
    for some in ([SourceSplit(file)], splits):
        found = [
            (batch.number(row), batch.record(row).reason)
            for split in some
            for batch in read_batches(split, ["id"])
            for row in np.flatnonzero(batch.column("id", None)[1]).tolist()
        ]
        assert found == [(150_002, """quoted wrongly: ',' expected after '"'""")]


def test_a_file_in_a_store_is_divided_where_it_is_on_the_disk(tmp_path, bucket):
    file = write(tmp_path / "x.csv", ((n, "plain") for n in range(290_000)))
    storage.copy(file.path, f"{bucket}/x.csv")
    in_store = splits_of(SourceFile(f"{bucket}/x.csv", "csv", DAY), MIB)
    on_disk = splits_of(file, MIB)
    assert [split.start for split in in_store] == [split.start for split in on_disk]
    assert len(in_store) > 1
    (first, *_) = read_batches(in_store[1], ["id"])
    (same, *_) = read_batches(on_disk[1], ["id"])
    assert first.record(0) == same.record(0)
    assert first.positions[0] == same.positions[0]
