"""Candidate features on both ways to the model: in an example, and drawn from the catalogue."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.models.inference import CatalogueRows

HALF_A_DAY = 43_200


@pytest.fixture
def config_of_all_kinds(deployment, make_item):
    """A deployment whose candidate has a feature of every kind, and items that lack each."""
    features = deployment.values["candidate"]["features"]
    features += [
        {"name": "kind", "kind": "category"},
        {"name": "title", "kind": "text", "table": "tags"},
        {"name": "whole", "column": "tags", "kind": "id_bag", "table": "tags"},
        {"name": "raw", "column": "length", "kind": "dense", "normalise": "none"},
        {"name": "listed", "kind": "age", "since": "listed", "serving_days": 1.5},
    ]
    bare = [{"item_id": f"i{number}", "length": 100} for number in (3, 4)]
    items = [
        make_item(number, kind=f"k{number % 2}", title=f"a film {number}") for number in (0, 1)
    ]
    items += [make_item(2, listed=items[0]["published"] - 12_345), *bare, make_item(5)]
    deployment.write("items.jsonl", items)
    return deployment.config()


def _values(raw) -> list:
    return raw.to_list() if isinstance(raw, tf.RaggedTensor) else raw.numpy().tolist()


def test_what_is_drawn_has_to_the_bit_the_features_it_would_have_in_an_example(
    deployment, config_of_all_kinds, days, make_event, without_beam
):
    events = [
        make_event(n % 5, n % 6, n * 701 + second) for n in range(60) for second in (0, HALF_A_DAY)
    ]
    deployment.write_day(days[0], events)
    with without_beam():
        deployment.build(days[:1])
    workdir, config = deployment.workdir(), config_of_all_kinds
    catalogue = load_catalogue(workdir, config, days[0])
    rows, seen = CatalogueRows(catalogue), set()
    positions = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    reader = ExampleReader(config)
    for batch in reader.read(workdir.partition("examples", days[0]), "train", 16):
        # Items that are published on the day after are in the examples, and can't be drawn.
        ids = [item_id.decode() for item_id in batch["item_id"].numpy()]
        here = np.array([n for n, item_id in enumerate(ids) if item_id in positions])
        drawn = rows.at(
            tf.constant([positions[ids[n]] for n in here], tf.int64),
            tf.gather(batch["timestamp"], here),
        )
        assert drawn.keys() == batch["candidate"].keys()
        for name, values in drawn.items():
            assert _values(values) == _values(tf.gather(batch["candidate"][name], here)), name
        seen |= {ids[n] for n in here}
    assert seen == positions.keys()
    assert len(seen) >= 4
