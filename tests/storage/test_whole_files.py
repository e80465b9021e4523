"""Files that are written whole, on a disk and in an object store."""

import os

import pytest

from twotower_tf import storage
from twotower_tf.storage.whole_files import link_file, whole_file


@pytest.fixture(params=["disk", "s3"])
def root(request, tmp_path) -> str:
    """A folder on each kind of store in turn."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("bucket")


def _write(path: str, *pieces: bytes | None) -> None:
    """Writes pieces to a file; fails at one that is None."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        for piece in pieces:
            file.write(piece)
            assert not storage.exists(path)


def test_a_file_is_there_once_it_is_whole_and_nothing_else_is(root):
    _write(f"{root}/folder/part", b"con", b"tent")
    with storage.open_input(f"{root}/folder/part") as file:
        assert file.read() == b"content"
    assert storage.files_below(root) == ["folder/part"]


def test_an_error_leaves_no_file_of_that_name(root):
    with pytest.raises(TypeError):
        _write(f"{root}/part", b"con", None)
    assert not storage.exists(f"{root}/part")


def test_files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_text("same")
    link_file(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "same"
