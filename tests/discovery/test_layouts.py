"""How a file is written, by its first lines."""

import gzip

import pytest

from twotower_tf.discovery.layouts import layout_of


def _layout(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return layout_of(str(path))


@pytest.mark.parametrize(
    ("name", "text", "delimiter", "columns"),
    [
        ("a.csv", "user,item\nu1,i1\nu2,i2\n", None, ("user", "item")),
        ("a.csv", "user;item\nu1;i1\nu2;i2\nu3;i,3\n", ";", ("user", "item")),
        ("a.tsv", "user\titem\nu1\ti1\n", None, ("user", "item")),
        ("a.csv", 'user,item\nu1,"one, two"\nu2,"a"\n', None, ("user", "item")),
    ],
)
def test_delimiters_and_headers_are_found(tmp_path, name, text, delimiter, columns):
    found = _layout(tmp_path, name, text)
    assert found.named
    assert found.layout.delimiter == delimiter
    assert found.layout.header is None
    assert found.columns == columns


@pytest.mark.parametrize(
    ("name", "row", "format", "delimiter"),
    [
        ("ratings.dat", "{}::12{}::5::978300760", "csv", "::"),
        ("u.item", "{}|Film {} (1995)|01-Jan-1995", "csv", "|"),
        ("u.data", "{}\t24{}\t3\t881250949", "tsv", None),
        ("names.tsv", "%C3%81_{}\tsubject.History_{}", "tsv", None),
    ],
)
def test_files_without_a_header_get_numbered_columns(tmp_path, name, row, format, delimiter):
    text = "".join(row.format(n, n) + "\n" for n in range(20))
    found = _layout(tmp_path, name, text)
    assert (found.format, found.layout.delimiter) == (format, delimiter)
    assert found.named == name.endswith(".tsv")
    length = len(row.split(delimiter or "\t"))
    assert found.layout.header == tuple(f"column_{n + 1}" for n in range(length))


def test_comments_encodings_and_compressions_are_found(tmp_path):
    commented = _layout(tmp_path, "a.tsv", "# of articles\n\nuser\tn\nu1\t1\nu2\t2\n")
    assert commented.layout.comment == "#"
    assert commented.columns == ("user", "n")
    latin = _layout(tmp_path, "b.csv", "user,title\nu1,Misérables\n".encode("latin-1"))
    assert latin.layout.encoding == "latin-1"
    packed = _layout(tmp_path, "c.csv.gz", gzip.compress(b"user,item\nu1,i1\n"))
    assert packed.columns == ("user", "item")


def test_json_says_its_columns_in_its_records(tmp_path):
    text = '{"user": "u1", "item": {"id": 1}}\n{"user": "u2", "price": 3}\n'
    assert _layout(tmp_path, "a.jsonl", text).columns == ("user", "item", "price")
    assert _layout(tmp_path, "a.log", text * 9).format == "jsonl"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("README.csv", "user,item\n", "a text for people"),
        ("terms.txt", "These are the terms.\nThey are long,\nand of no use.\n", "not a table"),
        ("cover.jpg", b"\xff\xd8\xff\xe0\0\0JFIF", "not text"),
        ("empty.csv", "\n", "empty"),
        ("page.csv", "<!DOCTYPE html>", "an XML or HTML page, not data"),
    ],
)
def test_what_is_no_data_is_passed_over_with_the_reason(tmp_path, name, content, why):
    assert _layout(tmp_path, name, content) == why
