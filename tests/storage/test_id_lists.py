"""Lists of ids, however an editor or a spreadsheet wrote them."""

import pytest

from twotower_tf.errors import InputError
from twotower_tf.storage.id_lists import read_ids, unknown_ids

IDS = ["v1", "007", "é\u2028x", "a b"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_first_id_has_no_mark_and_lines_end_in_any_way(tmp_path, encoding, end):
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    path = tmp_path / "ids.txt"
    path.write_bytes((mark + f"{end} {end}".join(IDS)).encode(encoding))
    assert read_ids(str(path), "ids") == IDS


@pytest.mark.parametrize("content", [b"a\n\xff\n", None])
def test_a_list_that_can_not_be_read_is_named_with_what_asked_for_it(tmp_path, content):
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"^--withdrawn: .*ids.txt can't be read .* an id a line$"):
        read_ids(str(path), "--withdrawn")


def test_how_many_ids_are_unknown_is_said_with_the_first_of_them():
    said = unknown_ids(["a", "b", "c"], [True, False, False], "selection.deny", "the catalogue")
    assert said == (
        "selection.deny: 2 of 3 ids are unknown, the first 'b': the catalogue has no such item"
    )
    assert unknown_ids(["a"], [True], "selection.deny", "the catalogue") is None
