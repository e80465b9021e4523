"""The benchmark of the model's parts: what it gives each is what each takes."""

import pytest

from benchmarks import model_parts
from twotower_tf.examples.schema import raw_features


@pytest.fixture(scope="module")
def batch() -> dict:
    (made,) = model_parts.batches(model_parts.catalogue(), 2, 3, 1)
    return made


@pytest.mark.parametrize("name", model_parts.parts())
def test_a_part_can_be_configured_and_is_given_all_its_features(name, batch):
    config = model_parts.configuration(model_parts.parts()[name], batch=2, history=3)
    for tower in ("query", "candidate"):
        assert {raw.name for raw in raw_features(config, tower)} <= batch[tower].keys()
