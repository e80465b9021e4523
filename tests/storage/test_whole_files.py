"""Files that are written whole, on a disk and in an object store."""

import pytest

from twotower_tf import storage
from twotower_tf.storage.whole_files import whole_file


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
