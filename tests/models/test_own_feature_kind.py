"""A kind of feature from outside of the project, as docs/features.md has it."""

import datetime
import json
import os
import pathlib
import re

import numpy as np
import pytest

from twotower_tf.config import Config
from twotower_tf.config.registries import FEATURE_KINDS
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue_reader import read_catalogue
from twotower_tf.examples.source_columns import required_columns
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.models.inference import as_tensors
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.serving.signatures import as_trained, feature_input

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "features.md"
VALUES = {
    "name": "shop",
    "source": {"events": {"path": "e"}, "items": {"path": "items.jsonl"}},
    "query": {"features": [{"name": "device", "kind": "category"}], "layers": [4]},
    "candidate": {
        "features": [{"name": "place", "kind": "place", "column": "lat", "longitude": "long"}],
        "layers": [4],
    },
}


@pytest.fixture
def place():
    """The kind, registered for one test."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    made: dict = {"__name__": "my_company.place"}
    exec(compile(code, str(PAGE), "exec"), made)
    yield made
    del FEATURE_KINDS._sections["place"], FEATURE_KINDS._made_by["place"]


def test_an_own_kind_goes_from_catalogue_to_tower_and_request(place, tmp_path):
    config = Config.model_validate(VALUES)
    assert set(required_columns(config, "items")) == {"item_id", "lat", "long"}
    rows = [{"item_id": "a", "lat": 90, "long": 7}, {"item_id": "b", "lat": "0", "long": -90.0}]
    source = tmp_path / "items.jsonl"
    source.write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"item_id": "c", "lat": "x"}])
    )
    parsed = catalogue.parse_catalogue([SourceFile(str(source), "jsonl")], str(tmp_path), config)
    assert len(parsed.rejected) == 1
    assert "column 'lat' is 'x'; it must be a finite number" in parsed.rejected[0]
    partition = Workdir(str(tmp_path / "work")).partition(
        catalogue.KIND, datetime.date(2026, 11, 20)
    )
    with partition.write({"shards": [{"file": catalogue.FILE}]}) as folder:
        catalogue.write_catalogue(parsed, os.path.join(folder, catalogue.FILE))
    items = read_catalogue(partition, config)
    encoder = FEATURE_KINDS.make(config.candidate.features[0], {}, 1)
    points = encoder(as_tensors(items)).numpy()
    np.testing.assert_allclose(points, [[0, 0, 1], [0, -1, 0]], atol=1e-6)
    model = TwoTowerModel.from_config(config)
    vectors = model.candidate_tower(as_tensors(items)).numpy()
    raws = config.candidate.features[0].raw_features("item", config)
    assert [feature_input(raw).spec for raw in raws] == [
        tf.TensorSpec([None], tf.float32, name) for name in ("place", "place_longitude")
    ]
    asked = {raw.name: tf.constant(items.features[raw.name]) for raw in raws}
    np.testing.assert_array_equal(model.candidate_tower(as_trained(asked, raws)), vectors)


def test_mistakes_in_an_own_kind_are_named_as_in_any(place):
    def refusal(**changes):
        feature = {**VALUES["candidate"]["features"][0], **changes}
        candidate = {**VALUES["candidate"], "features": [feature]}
        with pytest.raises(ValueError, match="unknown") as error:
            Config.model_validate({**VALUES, "candidate": candidate})
        return str(error.value)

    assert "unknown key 'longitud'; did you mean 'longitude'?" in refusal(longitud="x")
    assert "unknown kind 'plaec'; did you mean 'place'?" in refusal(kind="plaec")
