"""The hashes by which a refresh knows changed items, against plain comparison of the features."""

import numpy as np
import pytest

from twotower_tf.errors import JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.indexing.candidates.item_hashes import item_hashes, read

ROWS = [
    ("a", "red", 1.0, ["x", "y"]),
    ("b", "red", 1.0, ["x", "y"]),
    ("c", "", 0.0, []),
    ("d", "rot", -0.5, ["y", "x"]),
    ("e", "rot", -0.5, ["yx"]),
    ("f", "rot", float("nan"), ["", "yx"]),
]


def _catalogue(rows) -> Catalogue:
    lists = [topics for *_, topics in rows]
    splits = np.concatenate([[0], np.cumsum([len(one) for one in lists], dtype=np.int64)])
    values = np.array([topic for one in lists for topic in one], object)
    return Catalogue(
        np.array([item_id for item_id, *_ in rows], object),
        {
            "title": np.array([title for _, title, *_ in rows], object),
            "price": np.array([price for _, _, price, _ in rows], np.float32),
            "topics": Lists(values, splits),
        },
    )


def test_items_have_the_same_version_exactly_if_their_features_are_the_same():
    hashes = item_hashes(_catalogue(ROWS))
    assert hashes[0] == hashes[1]
    assert len(set(hashes.tolist())) == len(ROWS) - 1


@pytest.mark.parametrize("row", range(len(ROWS)))
@pytest.mark.parametrize(
    "change",
    [
        lambda title, price, topics: (title + " ", price, topics),
        lambda title, price, topics: (title, 17.0, topics),
        lambda title, price, topics: (title, price, [*topics, ""]),
        lambda title, price, topics: (title, price, ["new", *topics[1:]]),
    ],
)
def test_a_change_of_one_item_changes_its_version_and_no_other(row, change):
    before = item_hashes(_catalogue(ROWS))
    item_id, *features = ROWS[row]
    changed = [*ROWS[:row], (item_id, *change(*features)), *ROWS[row + 1 :]]
    different = np.flatnonzero(item_hashes(_catalogue(changed)) != before)
    assert different.tolist() == [row]


def test_a_version_does_not_depend_on_the_other_items_or_how_the_catalogue_is_read():
    hashes = item_hashes(_catalogue(ROWS))
    rows = np.array([4, 0, 5, 2])
    np.testing.assert_array_equal(item_hashes(_catalogue(ROWS).take(rows)), hashes[rows])
    parts = [_catalogue(ROWS[:2]), _catalogue(ROWS[2:])]
    np.testing.assert_array_equal(np.concatenate([item_hashes(p) for p in parts]), hashes)


def test_taking_items_takes_their_lists():
    taken = _catalogue(ROWS).take(np.array([5, 2, 0])).features["topics"]
    lists = [taken[n : n + 1].values.tolist() for n in range(3)]
    assert lists == [["", "yx"], [], ["x", "y"]]


def test_a_release_without_versions_is_told(tmp_path):
    with pytest.raises(JobError, match=r"items.parquet: the release can't be refreshed"):
        read(str(tmp_path / "items.parquet"))


def test_a_vector_that_changes_in_one_number_changes_the_version_of_its_item_alone():
    ids = np.array(["a", "b", "c"], object)
    cover = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]], np.float32)
    hashes = item_hashes(Catalogue(ids, {"cover": cover}))
    assert hashes[0] == hashes[2] != hashes[1]
    cover[1, 1] = 1.5
    changed = item_hashes(Catalogue(ids, {"cover": cover}))
    assert np.flatnonzero(changed != hashes).tolist() == [1]
