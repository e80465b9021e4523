"""How separated values are written: quotes that lead nowhere, no header, any delimiter."""

import csv
import datetime
import io
import re

import pytest

from tests.datasets.test_separated_blocks import found_in
from twotower_tf.config.source import Files
from twotower_tf.datasets import dialects
from twotower_tf.datasets.dialects import Layout
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.splits import SourceSplit, splits_of

DAY = datetime.date(2026, 1, 2)


def read(tmp_path, content: str, format: str = "csv", **layout) -> list:
    """Returns the numbered records, which are the same row by row, in blocks and in parts."""
    path = tmp_path / f"x.{format}"
    path.write_bytes(content.encode())
    file = SourceFile(str(path), format, DAY, Layout(**layout))
    records = list(read_records(file))
    names = column_names(file)
    assert found_in([SourceSplit(file)], names) == records
    assert found_in(splits_of(file, 9), names) == records
    return records


def sound(records: list) -> list[dict]:
    return [record for _, record in records if isinstance(record, dict)]


def reasons(records: list) -> dict[int, str]:
    return {at: record.reason for at, record in records if isinstance(record, Unreadable)}


# --- quotes ------------------------------------------------------------------------------------


def test_quotes_of_two_rows_do_not_make_one_field_of_the_rows_between(tmp_path):
    rows = [["u1", "plain", "1"], ["u2", '"Best of', "2"], ["u3", "a b", "3"]]
    rows += [["u4", "broken"], ["u5", "x", "5"], ["u6", '12"', "6"], ["u7", '"q, ""r"""', "7"]]
    records = read(tmp_path, "user,title,ts\n" + "\n".join(",".join(row) for row in rows))
    assert [record["user"] for record in sound(records)] == ["u1", "u3", "u5", "u6", "u7"]
    assert [record["title"] for record in sound(records)][-2:] == ['12"', 'q, "r"']
    assert reasons(records) == {
        3: "a quote opens here and is closed 4 lines below, over lines that are rows of their own",
        5: "2 fields, but the header has 3",
    }


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo",
        "a, b\n\nc, d\n",
        'He said: "no,\nnever",\nand left, "then"',
        "1,2,3\n4,5,6\n7,8,9\n",
        "\n\n",
    ],
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_line_breaks_that_somebody_meant_go_on_working(tmp_path, text, quoting):
    rows = [["user", "title", "ts"], *([f"u{n}", text, str(n)] for n in range(3))]
    written = io.StringIO(newline="")
    csv.writer(written, quoting=quoting).writerows(rows)
    records = read(tmp_path, written.getvalue())
    assert [list(record.values()) for record in sound(records)] == rows[1:]


def test_a_file_of_tabs_that_quotes_nothing_has_quotes_like_other_characters(tmp_path):
    rows = [["user", "title"], ["u1", '"Best of'], ["u2", '12"'], ["u3", 'a "b" c'], ["u4", '"']]
    text = "\n".join("\t".join(row) for row in rows)
    expected = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert sound(read(tmp_path, text, "tsv")) == expected
    assert sound(read(tmp_path, text.replace("\t", ","), quote="none")) == expected
    # As of a comma, somebody who quotes a field quotes them all the same way.
    quoted = f'{text}\nu5\t"a\tb""c"\n'
    assert sound(read(tmp_path, quoted, "tsv"))[-1] == {"user": "u5", "title": 'a\tb"c'}
    assert reasons(read(tmp_path, quoted, "tsv", quote="none")) == {
        6: "3 fields, but the header has 2"
    }


def test_a_field_that_is_quoted_late_in_a_file_of_tabs_is_refused_and_not_taken_as_it_is(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(dialects, "_LOOKED_AT", 30)
    text = "user\ttitle\n" + 'u1\t6" nails\n' * 5 + 'u2\t"quoted"\nu3\tx\n'
    records = read(tmp_path, text, "tsv")
    assert len(sound(records)) == 6
    assert reasons(records) == {
        7: "a quoted field, after a megabyte without any: set quote to double or none"
    }
    assert len(sound(read(tmp_path, text, "tsv", quote="none"))) == 7
    assert sound(read(tmp_path, text, "tsv", quote="double"))[5]["title"] == "quoted"


# --- no header, other delimiters, comments -------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_without_a_header_have_the_names_of_the_configuration(tmp_path, mark):
    text = "1,2\n\n3,\n4,5,6\n"
    records = read(tmp_path, mark + text, header=("user", "item"))
    assert records[:2] == [(1, {"user": "1", "item": "2"}), (3, {"user": "3", "item": ""})]
    assert reasons(records) == {4: "3 fields, but the header has 2"}
    assert read(tmp_path, "", header=("user", "item")) == []


@pytest.mark.parametrize("delimiter", [";", "|", "::", " - ", "→", "\x01", ":::"])
def test_any_text_may_stand_between_fields(tmp_path, delimiter):
    rows = [["user", "title", "n"], ["u1", "a: b", "1"], ["u2", "", "2"], ["ü", 'x "y" :', "3"]]
    rows += [["u3", "a\x1fb", "4"], ["u4", "x:", "5"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    records = read(tmp_path, text, delimiter=delimiter, quote="none")
    # By plain Python.
    expected = [line.split(delimiter) for line in text.split("\n")[1:]]
    assert [list(record.values()) for record in sound(records)] == [
        row for row in expected if len(row) == 3
    ]
    assert len(reasons(records)) == sum(len(row) != 3 for row in expected)


def test_semicolons_quote_as_commas_do(tmp_path):
    records = read(tmp_path, 'user;title\nu1;"a;b\nc"\n', delimiter=";")
    assert sound(records) == [{"user": "u1", "title": "a;b\nc"}]


def test_comments_are_passed_over_wherever_they_are(tmp_path):
    text = '# made "by\nuser,item\n# 1,2\n1,2\n#\n3,#4\n'
    records = read(tmp_path, text, comment="#")
    assert records == [(4, {"user": "1", "item": "2"}), (6, {"user": "3", "item": "#4"})]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"encoding": "latin-11"}, "there is no encoding 'latin-11'"),
        ({"encoding": "zip"}, "there is no encoding 'zip'"),
        ({"delimiter": "::", "quote": "double"}, "needs a delimiter of one ASCII character"),
        ({"header": ["a", "b", "a"]}, "header names the column 'a' more than once"),
    ],
)
def test_a_layout_that_can_not_be_read_is_refused(values, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Files(path="x.csv", **values)
