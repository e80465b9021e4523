"""Embedding outside of training: batches, catalogues, broken numbers."""

import numpy as np
import pytest

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.value_types.lists import Lists

# isort: split
import tensorflow as tf

from twotower_tf.models.inference import TowerInference, finite_rows, report_broken
from twotower_tf.models.two_tower import TwoTowerModel

_CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "tables": {"items": {"buckets": 64, "dim": 4}},
        "query": {"features": [{"name": "u", "kind": "id", "table": "items"}], "layers": [4]},
        "candidate": {
            "features": [
                {"name": "item_id", "kind": "id", "table": "items"},
                {"name": "tags", "kind": "id_bag", "table": "items"},
                {"name": "price", "kind": "dense", "normalise": "none"},
            ],
            "layers": [4],
        },
    }
)


def _catalogue() -> Catalogue:
    ids = np.array([f"i{n}" for n in range(10)], object)
    tags = Lists(np.array(["x", "y", "x"], object), np.array([0, 1, 1, 3, *[3] * 7]))
    price = np.linspace(0, 1, 10, dtype=np.float32)
    return Catalogue(ids, {"item_id": ids, "tags": tags, "price": price})


def test_embeddings_are_the_towers_and_do_not_depend_on_the_batch_size():
    model = TwoTowerModel.from_config(_CONFIG)
    embed = TowerInference(model.candidate_tower, _CONFIG, "candidate")
    whole = embed.embed_catalogue(_catalogue(), 10)
    assert whole.dtype == np.float32
    assert whole.shape == (10, 4)
    np.testing.assert_allclose(embed.embed_catalogue(_catalogue(), 3), whole, atol=1e-6)
    third = {
        "item_id": tf.constant(["i2"]),
        "tags": tf.ragged.constant([["y", "x"]]),
        "price": tf.constant([2 / 9]),
    }
    np.testing.assert_allclose(model.candidate_tower(third)[0], whole[2], atol=1e-6)


def test_rows_of_which_one_number_is_not_finite_are_told_apart():
    rows = np.ones((4, 3), np.float32)
    rows[1, 2], rows[3, 0] = np.nan, -np.inf
    assert finite_rows(rows).tolist() == [True, False, True, False]


def test_some_broken_vectors_are_warned_of_and_more_are_an_error(caplog):
    report_broken([], 0, 10, 0.0)
    assert not caplog.text
    report_broken(["i7"], 2, 10, 0.2)
    assert "embeddings of 2 of 10 items are not finite, of 'i7' for one" in caplog.text
    for count, most in ((3, 0.2), (10, 1.0)):
        with pytest.raises(JobError, match=f"{count} of 10 items are not finite, of 'i7' for one"):
            report_broken(["i7"], count, 10, most)
