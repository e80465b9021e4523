"""Finding source files, and reading records out of sound and damaged ones."""

import csv
import datetime
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower_tf import storage
from twotower_tf.config.source import Files
from twotower_tf.datasets.files import SourceFile, find_files
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.errors import InputError


def write(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def find(root, path, **others):
    return find_files(str(root), Files(path=path, **others), "events", None)


def read(path, format):
    return list(read_records(SourceFile(str(path), format)))


def sound(records):
    return [record for _, record in records if not isinstance(record, Unreadable)]


def unreadable(records):
    return {at: record for at, record in records if isinstance(record, Unreadable)}


# --- finding ----------------------------------------------------------------------------------


def test_files_of_a_glob_are_sorted_and_marker_files_left_out(tmp_path):
    names = ["b.jsonl", "a.jsonl.gz", "c.JSON", "_SUCCESS", ".hidden.jsonl"]
    for name in names:
        write(tmp_path / "in" / name)
    (tmp_path / "in" / "folder.jsonl").mkdir()
    assert find(tmp_path, "in/*") == [
        SourceFile(str(tmp_path / "in" / name), "jsonl")
        for name in ("a.jsonl.gz", "b.jsonl", "c.JSON")
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            "events/dt={date}/*.jsonl",
            {"events/dt=2026-01-02/x.jsonl": 2, "events/dt=2026-01-03/y.jsonl": 3},
        ),
        ("events/dt={date}/x.jsonl", {"events/dt=2026-01-02/x.jsonl": 2}),
        ("flat/{date}.csv", {"flat/2026-01-04.csv": 4}),
        ("flat/*[!x]{date}.csv", {"flat/e-2026-01-05.csv": 5}),
        ("**/e-{date}.csv", {"flat/e-2026-01-05.csv": 5, "e-2026-01-08.csv": 8}),
        ("twice/{date}/{date}.csv", {"twice/2026-01-06/2026-01-06.csv": 6}),
    ],
)
def test_date_in_the_pattern_gives_each_file_its_day(tmp_path, pattern, expected):
    for name in (
        "events/dt=2026-01-02/x.jsonl",
        "events/dt=2026-01-03/y.jsonl",
        "events/dt=2026-13-45/x.jsonl",
        "events/dt=20260107/x.jsonl",
        "events/dt=2026-01-02.old/x.jsonl",
        "flat/2026-01-04.csv",
        "flat/e-2026-01-05.csv",
        "e-2026-01-08.csv",
        "flat/2026-02-30.csv",
        "twice/2026-01-06/2026-01-06.csv",
        "twice/2026-01-06/2026-01-07.csv",
    ):
        write(tmp_path / name)
    days = {file.path: file.day for file in find(tmp_path, pattern)}
    assert days == {
        str(tmp_path / name): datetime.date(2026, 1, day) for name, day in expected.items()
    }


def test_root_with_glob_characters_is_taken_literally(tmp_path):
    write(tmp_path / "a[1]" / "x.csv")
    assert [file.format for file in find(tmp_path / "a[1]", "*.csv")] == ["csv"]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [("a.tsv.gz", "auto", "tsv"), ("a.parquet", "auto", "parquet"), ("a.log", "jsonl", "jsonl")],
)
def test_format_follows_the_ending_unless_the_configuration_names_it(
    tmp_path, name, given, expected
):
    write(tmp_path / name)
    assert find(tmp_path, name, format=given)[0].format == expected


@pytest.mark.parametrize("name", ["a.txt", "a.parquet.gz", "a.gz", "csv"])
def test_unknown_ending_is_refused_with_the_allowed_ones(tmp_path, name):
    write(tmp_path / name)
    with pytest.raises(InputError, match=r"\.csv, \.tsv, \.jsonl.*or set source\.events\.format"):
        find(tmp_path, name)


@pytest.mark.parametrize(
    ("root", "pattern"), [("", "ratings.csv"), ("nowhere", "ratings.csv"), ("", "dt={date}/*.csv")]
)
def test_missing_files_are_named_with_where_to_get_them(tmp_path, root, pattern):
    write(tmp_path / "dt=2026-13-45" / "x.csv")
    where = str(tmp_path / root)
    with pytest.raises(InputError) as caught:
        find_files(where, Files(path=pattern), "events", "https://example.org/data")
    message = str(caught.value)
    assert message.startswith(f"--source={where}: there is no ")
    assert f"{pattern} (source.events.path)" in message
    assert message.endswith("; get the data set from https://example.org/data")
    assert "\n" not in message


def test_a_folder_in_place_of_files_is_refused(tmp_path, bucket):
    write(tmp_path / "events" / "x.csv")
    storage.write_text(f"{bucket}/events/x.csv", "")
    for root in (tmp_path, bucket):
        with pytest.raises(InputError, match="give the files in that folder"):
            find(root, "events")


IN_A_STORE = [
    "items.jsonl",
    "items.jsonl.old/part.csv",
    "events/2026-01-02.jsonl",
    "events/2026-01-03/a.jsonl.gz",
    "events/2026-01-03/b.jsonl",
    "events/2026-01-03/_SUCCESS",
    "events/2026-01-03/.hidden.jsonl",
    "events/.2026-01-03/b.jsonl",
    "events/2026-02-30/a.jsonl",
    "events/2026-01-04/deep/er/a.jsonl",
    "events/2026-01-04/x[1].jsonl",
    "events2/2026-01-05/a.jsonl",
]


@pytest.mark.parametrize(
    "pattern",
    [
        "items.jsonl",
        "items.*",
        "./events/{date}.jsonl",
        "events/{date}/*.jsonl*",
        "events/{date}/*",
        "events/*/[ab].jsonl",
        "events/*/x[[]1].jsonl",
        "events/{date}/**/a.jsonl",
        "**/a.jsonl",
        "events/**",
        "*/{date}/?.jsonl",
        "ev*",
        "none/{date}.csv",
    ],
)
@pytest.mark.parametrize("below", ["", "/some/folder"])
def test_a_pattern_finds_the_same_files_in_a_store_as_on_a_disk(tmp_path, bucket, pattern, below):
    for name in IN_A_STORE:
        write(tmp_path / name)
        storage.write_text(f"{bucket}{below}/{name}", "")

    def found(root):
        try:
            files = find(root, pattern, format="jsonl")
        except InputError as error:
            return str(error).removeprefix(f"--source={root}")
        return [(file.path.removeprefix(f"{root}/"), file.day) for file in files]

    assert found(f"{bucket}{below}") == found(str(tmp_path))


def test_a_source_in_a_store_that_cannot_be_used_is_refused_in_one_line(bucket):
    with pytest.raises(InputError, match="--source=s3://no-such/logs: there is no bucket"):
        find("s3://no-such/logs", "events.csv")
    with pytest.raises(InputError, match="--source=gs://logs: gs:// is not supported"):
        find("gs://logs", "events.csv")
    with pytest.raises(InputError, match=f"--source={bucket}/logs: there is no such folder; give"):
        find(f"{bucket}/logs", "events.csv")


# --- JSON lines -------------------------------------------------------------------------------


def test_broken_json_lines_are_unreadable_alone_and_reading_goes_on(tmp_path):
    lines = [
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": ',
        b"",
        b"[1, 2]",
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        '{"a": "é\u2028x"}'.encode(),
    ]
    records = read(write(tmp_path / "x.jsonl", b"\r\n".join(lines)), "jsonl")
    assert sound(records) == [{"a": 1}, {"a": "é\u2028x"}]
    reasons = {at: record.reason for at, record in unreadable(records).items()}
    assert reasons[2] == "not JSON: Expecting value at character 7"
    assert reasons[4] == "not a JSON object but a list"
    assert reasons[5] == "not UTF-8: byte 0xff at position 8"
    assert sorted(reasons) == [2, 4, 5, 6, 7]
    assert unreadable(records)[5].raw == '{"a": "\\xff"}'
    assert len(unreadable(records)[6].raw) == 1000
    ((_, escaped),) = read(write(tmp_path / "y.jsonl", b"\xff" * 2000), "jsonl")
    assert escaped.raw == "\\xff" * 250


def test_line_of_a_megabyte_is_read_in_every_text_format(tmp_path):
    long = "x" * (1 << 20)
    path = write(tmp_path / "x.jsonl", json.dumps({"a": long}))
    assert read(path, "jsonl") == [(1, {"a": long})]
    for field in (long, f'"{long}"'):
        assert read(write(tmp_path / "x.csv", f"a,b\n{field},1\n"), "csv") == [
            (2, {"a": long, "b": "1"})
        ]


# --- CSV and TSV ------------------------------------------------------------------------------


def test_wrong_number_of_fields_and_bad_bytes_cost_their_line_only(tmp_path):
    content = b'\xef\xbb\xbfid,title\n1,a\n2\n\n3,a,b\n4,\xff\n5,"\xfe\n\n\xfe"\n6,"c,""d"""\n7,\n'
    path = write(tmp_path / "x.csv", content)
    records = read(path, "csv")
    assert column_names(SourceFile(path, "csv")) == ["id", "title"]
    assert [(at, record) for at, record in records if isinstance(record, dict)] == [
        (2, {"id": "1", "title": "a"}),
        (10, {"id": "6", "title": 'c,"d"'}),
        (11, {"id": "7", "title": ""}),
    ]
    reasons = {at: record.reason for at, record in unreadable(records).items()}
    assert reasons == {
        3: "1 fields, but the header has 2",
        5: "3 fields, but the header has 2",
        6: "not UTF-8: byte 0xff at position 3",
        7: "not UTF-8: byte 0xfe at position 4",
    }


def test_quote_that_is_never_closed_does_not_swallow_the_lines_after_it(tmp_path):
    rows = [f"{n},plain" for n in range(5)] + ['5,"open'] + [f"{n},plain" for n in range(6, 9)]
    at_end = read(write(tmp_path / "x.csv", "\n".join(["id,t", *rows])), "csv")
    rows += ['9,"a quoted one"', "10,plain"]
    before_quotes = read(write(tmp_path / "y.csv", "\n".join(["id,t", *rows])), "csv")
    for records, last in ((at_end, 8), (before_quotes, 10)):
        assert [record["id"] for record in sound(records)] == [
            str(n) for n in range(last + 1) if n != 5
        ]
        assert list(unreadable(records)) == [7]


def test_tsv_keeps_commas_and_rows_of_empty_fields(tmp_path):
    path = write(tmp_path / "x.tsv.gz", gzip.compress(b"a\tb\n1,2\tx\n\t\n"))
    assert read(path, "tsv") == [(2, {"a": "1,2", "b": "x"}), (3, {"a": "", "b": ""})]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_csv_has_no_columns_and_no_records(tmp_path, content):
    path = write(tmp_path / "x.csv", content)
    assert read(path, "csv") == []
    assert column_names(SourceFile(path, "csv")) is None


def test_unreadable_header_is_one_unreadable_for_the_file(tmp_path):
    path = write(tmp_path / "x.csv", "id,title\n1,2\n".encode("utf-16"))
    ((at, record),) = read(path, "csv")
    assert at == 1
    assert record.reason.startswith("in the header: not UTF-8")
    assert column_names(SourceFile(path, "csv")) is None


FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@given(st.lists(st.tuples(FIELDS, FIELDS | st.just('a"\n,\r\n"b')), max_size=8))
def test_what_the_csv_module_writes_is_read_back_the_same(tmp_path_factory, rows):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = write(tmp_path_factory.getbasetemp() / "written.csv", text.getvalue())
    assert [tuple(record.values()) for record in sound(read(path, "csv"))] == rows


# --- damage and Parquet -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "header", "row"), [("jsonl", b"", b'{"n": "%d"}\n'), ("csv", b"n\n", b"%d\n")]
)
def test_truncated_gzip_gives_the_records_before_the_damage(tmp_path, format, header, row):
    numbers = [n * 7919 % 10_007 for n in range(20_000)]
    whole = gzip.compress(header + b"".join(row % n for n in numbers))
    *records, (_, last) = read(write(tmp_path / "x.gz", whole[: len(whole) // 2]), format)
    assert 5_000 < len(records) < 15_000
    assert sound(records) == [{"n": str(n)} for n in numbers[: len(records)]]
    assert isinstance(last, Unreadable)
    assert "damaged from here on" in last.reason


def test_file_that_is_no_gzip_is_one_unreadable(tmp_path):
    records = read(write(tmp_path / "x.jsonl.gz", b'{"a": 1}\n'), "jsonl")
    assert [type(record) for _, record in records] == [Unreadable]


def test_parquet_values_become_python_values(tmp_path):
    at = datetime.datetime(2026, 1, 2, 3, 4, 5)
    table = pa.table(
        {
            "id": pa.array(["a", None]),
            "n": pa.array([1, 2]),
            "tags": pa.array([["x", "y"], []]),
            "micros": pa.array([at, at], pa.timestamp("us", "UTC")),
            "nanos": pa.array([1_767_323_045_000_000_001, None], pa.timestamp("ns")),
        }
    )
    path = str(tmp_path / "x.parquet")
    pq.write_table(table, path)
    aware = at.replace(tzinfo=datetime.timezone.utc)
    assert read(path, "parquet") == [
        (1, {"id": "a", "n": 1, "tags": ["x", "y"], "micros": aware, "nanos": at}),
        (2, {"id": None, "n": 2, "tags": [], "micros": aware, "nanos": None}),
    ]
    names = ["id", "n", "tags", "tags[]", "micros", "nanos"]
    assert column_names(SourceFile(path, "parquet")) == names


def test_parquet_row_that_can_not_be_converted_is_unreadable_alone(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers()
    )
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.table({"id": broken}), path)
    records = read(path, "parquet")
    assert sound(records) == [{"id": "a"}, {"id": "c"}]
    assert list(unreadable(records)) == [2]


def test_damaged_row_group_of_parquet_costs_no_other(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"n": list(range(3000))}),
        path,
        row_group_size=1000,
        # Only its checksum tells that a page of plain numbers is damaged.
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    content[middle : middle + 20] = b"\x55" * 20
    records = read(write(path, bytes(content)), "parquet")
    assert sound(records) == [{"n": n} for n in [*range(1000), *range(2000, 3000)]]
    assert list(unreadable(records)) == [1001]
    assert [at for at, _ in records] == [*range(1, 1002), *range(2001, 3001)]

    for end in (0, 100, len(content) - 30):
        ((at, record),) = read(write(path, bytes(content[:end])), "parquet")
        assert at == 1
        assert "not a Parquet file" in record.reason
        assert column_names(SourceFile(str(path), "parquet")) is None
