"""Source files in an object store."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.datasets.test_text_files import FORMS, ROWS
from twotower_tf import storage
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import read_records


def _read(path, format):
    return list(read_records(SourceFile(str(path), format)))


def test_a_store_that_fails_in_the_middle_of_a_file_is_no_damage_of_the_file(bucket, tmp_path):
    path, url = str(tmp_path / "rows.parquet"), f"{bucket}/rows.parquet"
    pq.write_table(pa.table({"n": range(100_000)}), path, row_group_size=50_000)
    storage.copy(path, url)
    records = read_records(SourceFile(url, "parquet"))
    assert next(records) == (1, {"n": 0})
    storage.remove(url)
    with pytest.raises(OSError, match="NO_SUCH_KEY"):
        list(records)


@pytest.mark.parametrize("name", ["part.jsonl", "part.jsonl.gz", "part.csv", "part.parquet"])
def test_a_file_in_a_store_is_read_as_one_on_the_disk(bucket, tmp_path, name):
    path, url = tmp_path / name, f"{bucket}/{name}"
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"n": range(5000)}), str(path))
    else:
        text = "".join(f'{{"n": {n}}}\n' if "json" in name else f"n{n}\n" for n in range(5000))
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    storage.copy(str(path), url)
    format = "jsonl" if "json" in name else name[5:]
    assert _read(url, format) == _read(path, format)
    assert len(_read(url, format)) >= 4999


@pytest.mark.parametrize("form", ["zstd", "UTF-16", "objects in a line"])
def test_a_file_of_another_form_in_a_store_is_read_as_one_on_the_disk(bucket, tmp_path, form):
    format, content = FORMS[form]
    path, url = tmp_path / f"any.{format}", f"{bucket}/any.{format}"
    path.write_bytes(content)
    storage.copy(str(path), url)
    assert [record for _, record in _read(url, format)] == ROWS
