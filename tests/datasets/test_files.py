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
from twotower_tf.config.source import Files, ItemFiles
from twotower_tf.datasets.files import SourceFile, find_files
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir


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
        ("events/dt={date:%Y%m%d}/*.jsonl", {"events/dt=20260107/x.jsonl": 7}),
        ("nested/{date:%Y/%m/%d}/**/x.csv", {"nested/2026/01/09/a/x.csv": 9}),
        ("nested/{date:%Y/%m/%d}/{date:%d.%m.%Y}.csv", {"nested/2026/01/10/10.01.2026.csv": 10}),
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
        "nested/2026/01/09/a/x.csv",
        "nested/2026/13/09/a/x.csv",
        "nested/2026/01/10/10.01.2026.csv",
        "nested/2026/01/10/11.01.2026.csv",
    ):
        write(tmp_path / name)
    days = {file.path: file.day for file in find(tmp_path, pattern)}
    assert days == {
        str(tmp_path / name): datetime.date(2026, 1, day) for name, day in expected.items()
    }


@pytest.mark.parametrize(
    ("name", "pattern", "right"),
    [
        ("dt=20260107/x.csv", "dt={date}/*.csv", "dt={date:%Y%m%d}/*.csv"),
        ("2026/01/07/x.csv", "{date}/*.csv", "{date:%Y/%m/%d}/*.csv"),
    ],
)
def test_days_in_another_form_are_named_with_the_pattern_they_would_match(
    tmp_path, bucket, name, pattern, right
):
    write(tmp_path / name)
    storage.write_text(f"{bucket}/{name}", "")
    for root in (str(tmp_path), bucket):
        with pytest.raises(InputError) as caught:
            find(root, pattern)
        assert str(caught.value).endswith(f"; there is {name}, which is {right}")
        assert len(find(root, right)) == 1


def test_hour_in_the_pattern_gives_each_file_its_hour(tmp_path, bucket):
    names = ["2026-01-02/00/a.csv", "2026-01-02/23/b.csv", "2026-01-02/7/a.csv"]
    for name in [*names, "2026-01-02/24/a.csv", "2026-01-02/007/a.csv", "2026-01-02/a.csv"]:
        write(tmp_path / name)
        storage.write_text(f"{bucket}/{name}", "")
    for root in (str(tmp_path), bucket):
        found = find(root, "{date}/{hour}/*.csv")
        assert [(file.path.removeprefix(f"{root}/"), file.hour) for file in found] == list(
            zip(names, [0, 23, 7], strict=True)
        )
        assert {file.day for file in found} == {datetime.date(2026, 1, 2)}
    write(tmp_path / "20260102T23.csv")
    (file,) = find(tmp_path, "{date:%Y%m%d}T{hour}.csv")
    assert (file.day, file.hour) == (datetime.date(2026, 1, 2), 23)


def test_hours_are_those_of_a_day_and_of_logs():
    with pytest.raises(ValueError, match=r"which the path must say too: \{date\}/\{hour\}"):
        Files(path="h={hour}/x.csv")
    with pytest.raises(ValueError, match="a snapshot is of a day, and all of it"):
        ItemFiles(path="{date}/{hour}.csv")


@pytest.mark.parametrize("braces", ["{DATE}", "{day}", "{date:%Y%j}", "{date:%Y%m%m}", "{csv,tsv}"])
def test_braces_that_stand_for_nothing_are_refused_with_what_would_be_right(braces):
    with pytest.raises(ValueError, match=r"stands for nothing; a day is \{date\}, or") as caught:
        Files(path=f"dt={braces}/x.csv")
    assert braces in str(caught.value)


def bound(folder):
    """Makes a folder a work directory that was used."""
    Workdir(str(folder)).bind({key: {} for key in ("source", "examples", "query", "candidate")})


@pytest.mark.parametrize("in_store", [False, True])
def test_files_that_nobody_means_are_passed_over(tmp_path, bucket, in_store):
    root = f"{bucket}/logs" if in_store else str(tmp_path)
    meant = ["a.parquet", "p/_year=2026/b.parquet", "other/configuration.json", "other/c.parquet"]
    others = [
        "_temporary/0/attempt_1/part.parquet",
        ".spark/part.parquet",
        "p/_delta_log/1.parquet",
        "p/_x.parquet",
        "[a]/_y.parquet",
        "work/catalogue/dt=2026-01-02/items.parquet",
        "deep/er/work/embeddings/dt=2026-01-02/e.parquet",
    ]
    for name in [*meant, *others]:
        storage.write_text(f"{root}/{name}", "{}")
    for folder in ("work", "deep/er/work"):
        bound(f"{root}/{folder}")

    def names(pattern):
        return [file.path.removeprefix(f"{root}/") for file in find(root, pattern)]

    assert names("**/*.parquet") == sorted(name for name in meant if name.endswith("parquet"))
    assert names("*/?.parquet") == ["other/c.parquet"]
    # What the pattern says itself is meant.
    assert names("_temporary/**/*.parquet") == [others[0]]
    assert names("p/_*.parquet") == ["p/_x.parquet"]
    assert names("work/catalogue/dt={date}/*.parquet") == [others[-2]]


@pytest.mark.parametrize("pattern", ["*.csv", "**/*.csv", "b.csv", "dt=?/*.csv", "**"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, pattern):
    write(tmp_path / "a.csv")
    link = tmp_path / ("dt=1/b.csv" if "dt" in pattern else "b.csv")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=f"^{link} is a link to .*gone.csv, which is not there"):
        find(tmp_path, pattern)


def test_links_to_files_and_folders_are_followed_and_a_loop_of_them_is_named(
    tmp_path, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "x.csv")
    (tmp_path / "a.csv").symlink_to(elsewhere / "x.csv")
    (tmp_path / "folder").symlink_to(elsewhere)
    assert [file.path for file in find(tmp_path, "**/*.csv")] == [
        str(tmp_path / "a.csv"),
        str(tmp_path / "folder" / "x.csv"),
    ]
    (elsewhere / "back").symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"/folder/back is a link to .*read again and again"):
        find(tmp_path, "**/*.csv")


@pytest.mark.parametrize("in_store", [False, True])
def test_a_folder_that_is_called_like_a_file_is_named_with_the_pattern_of_its_files(
    tmp_path, bucket, in_store
):
    root = bucket if in_store else str(tmp_path)
    for name in ("a.parquet", "b.parquet/part-0.parquet", "b.parquet/_SUCCESS"):
        storage.write_text(f"{root}/{name}", "")
    expected = r"/b.parquet is a folder; name the files in it, as b.parquet/\*.parquet$"
    with pytest.raises(InputError, match=expected):
        find(root, "*.parquet")
    assert len(find(root, "**/*.parquet")) == 2


def test_several_formats_in_one_folder_are_each_read_as_what_they_are(tmp_path):
    write(tmp_path / "a.csv", "n\n1\n")
    write(tmp_path / "b.tsv.gz", gzip.compress(b"n\tx\n2\t\n"))
    write(tmp_path / "c.json", '{"n": "3"}\n')
    pq.write_table(pa.table({"n": ["4"]}), tmp_path / "d.parquet")
    assert [record["n"] for file in find(tmp_path, "*") for _, record in read_records(file)] == [
        "1",
        "2",
        "3",
        "4",
    ]


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
    path = write(tmp_path / "x.csv", "id,été\n1,2\n".encode("latin-1"))
    ((at, record),) = read(path, "csv")
    assert at == 1
    assert record.reason.startswith("in the header: not UTF-8")
    assert column_names(SourceFile(path, "csv")) == record


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
        assert column_names(SourceFile(str(path), "parquet")) == record
