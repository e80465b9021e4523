"""What features may be called: a release's signatures have inputs of these names."""

import copy

import pytest

from twotower_tf.config import Config

CONFIGURATION = {
    "name": "shop",
    "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
    "query": {"features": [{"name": "device", "kind": "category"}], "layers": [4]},
    "candidate": {"features": [{"name": "colour", "kind": "category"}], "layers": [4]},
}


def _named(tower: str, name: str) -> Config:
    values = copy.deepcopy(CONFIGURATION)
    values[tower]["features"][0]["name"] = name
    return Config.model_validate(values)


@pytest.mark.parametrize(
    ("tower", "name"),
    [("query", "k"), ("query", "exclude_ids"), ("query", "class"), ("candidate", "from")],
)
def test_a_feature_may_not_have_a_name_that_no_signature_can_have(tower, name):
    with pytest.raises(ValueError, match=f"input of this name; .* say column: {name}"):
        _named(tower, name)


def test_items_may_have_a_feature_called_k():
    assert _named("candidate", "k").candidate.features[0].name == "k"


def test_a_seed_item_can_be_excluded_where_the_query_has_one():
    values = copy.deepcopy(CONFIGURATION)
    values["index"] = {"exclude_seed": True}
    with pytest.raises(ValueError, match=r"index\.exclude_seed: no feature of the query reads"):
        Config.model_validate(values)
    values["source"]["events"]["columns"] = {"seed_item_id": "seen"}
    values["query"]["features"].append({"name": "seed_item_id", "kind": "id"})
    assert Config.model_validate(values).index.exclude_seed
