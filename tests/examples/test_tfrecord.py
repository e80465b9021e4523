"""TFRecord files are TensorFlow's, and the same records make the same bytes."""

import gzip
import random
import shutil

import pytest
import tensorflow as tf

import twotower_tf  # noqa: F401
from twotower_tf.examples.tfrecord import read_records, write_records


@pytest.fixture
def records() -> list[bytes]:
    rng = random.Random(3)
    return [rng.randbytes(rng.randrange(2000)) for _ in range(50)] + [b""]


def test_tensorflow_reads_what_is_written(tmp_path, records):
    path = str(tmp_path / "a.tfrecord.gz")
    assert write_records(path, iter(records)) == len(records)
    read = tf.data.TFRecordDataset(path, compression_type="GZIP")
    assert list(read.as_numpy_iterator()) == records


def test_what_tensorflow_writes_is_read(tmp_path, records):
    path = str(tmp_path / "a.tfrecord.gz")
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
        for record in records:
            writer.write(record)
    assert list(read_records(path)) == records


def test_a_file_without_records_is_valid(tmp_path):
    path = str(tmp_path / "a.tfrecord.gz")
    assert write_records(path, []) == 0
    assert list(read_records(path)) == []
    assert list(tf.data.TFRecordDataset(path, compression_type="GZIP")) == []


def test_neither_name_nor_time_is_in_the_bytes(tmp_path, records):
    write_records(str(tmp_path / "a.gz"), records)
    write_records(str(tmp_path / "b.gz"), records)
    written = (tmp_path / "a.gz").read_bytes()
    assert written == (tmp_path / "b.gz").read_bytes()
    assert written[4:8] == bytes(4)


@pytest.mark.parametrize("position", [0, 9, 14, -1])
def test_a_flipped_bit_is_found(tmp_path, position):
    path = tmp_path / "a.gz"
    write_records(str(path), [b"first", b"second"])
    damaged = bytearray(gzip.decompress(path.read_bytes()))
    damaged[position] ^= 1
    path.write_bytes(gzip.compress(bytes(damaged)))
    with pytest.raises(ValueError, match=r"a\.gz: record \d is damaged"):
        list(read_records(str(path)))


@pytest.mark.parametrize("kept", [5, 17, 30])
def test_a_file_cut_short_is_found(tmp_path, kept):
    whole, cut = tmp_path / "whole.gz", tmp_path / "cut.gz"
    write_records(str(whole), [b"first", b"second"])
    cut.write_bytes(gzip.compress(gzip.decompress(whole.read_bytes())[:kept]))
    with pytest.raises(ValueError, match="damaged"):
        list(read_records(str(cut)))


def test_a_gzip_stream_cut_short_is_found(tmp_path, records):
    whole, cut = tmp_path / "whole.gz", tmp_path / "cut.gz"
    write_records(str(whole), records)
    shutil.copy(whole, cut)
    with open(cut, "r+b") as file:
        file.truncate(whole.stat().st_size // 2)
    with pytest.raises(ValueError, match="damaged"):
        list(read_records(str(cut)))
