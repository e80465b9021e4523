"""The selection section: what fits together, and what the catalogue must have for it."""

import pytest
import yaml

from twotower_tf.binding import model_fingerprint
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

VALUES = {
    "name": "shop",
    "source": {
        "events": {"path": "e.csv"},
        "items": {"path": "i.csv", "columns": {"published_at": "published_at"}},
    },
    "tables": {"t": {"buckets": 10, "dim": 2}},
    "query": {"features": [{"name": "seed", "kind": "id", "table": "t"}], "layers": [2]},
    "candidate": {
        "features": [
            {"name": "channel", "kind": "id", "table": "t"},
            {"name": "tags", "kind": "id_bag", "table": "t"},
            {"name": "price", "kind": "dense"},
        ],
        "layers": [2],
    },
}


def _load(tmp_path, selection, source=None):
    path = tmp_path / "shop.yaml"
    values = VALUES | {"selection": selection}
    if source is not None:
        values |= {"source": source}
    path.write_text(yaml.safe_dump(values))
    return load_config(str(path))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"channel": "channel"}, "channel and max_per_channel go together"),
        ({"max_per_channel": 3}, "channel and max_per_channel go together"),
        (
            {"min_age_days": 3, "max_age_days": 2},
            "max_age_days must be at least min_age_days, got 2 and 3",
        ),
        ({"min_age_days": 1, "always_hours": 24}, "got 24 hours and 1 days"),
        (
            {"channel": "chanel", "max_per_channel": 3},
            "selection.channel: 'chanel' is not one of candidate.features: channel, tags, price; "
            "did you mean 'channel'?",
        ),
        (
            {"channel": "tags", "max_per_channel": 3},
            "selection.channel: 'tags' must hold one text an item, as of kind id, category or "
            "text, got id_bag",
        ),
        ({"required": ["tags", "title"]}, "selection.required: 'title' is not one of"),
        ({"required": ["price"]}, "selection.required: 'price' is dense, which is never empty"),
        ({"deny": "no/such.txt"}, "selection.deny: there is no file no/such.txt"),
        ({"allow": "/tmp"}, "selection.allow: there is no file /tmp"),
        ({"min_age": 3}, "selection: unknown key 'min_age'; did you mean 'min_age_days'?"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, selection, message):
    with pytest.raises(InputError) as error:
        _load(tmp_path, selection)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "selection",
    [
        {"max_age_days": 3},
        {"min_age_days": 0.5},
        {"always_hours": 1},
        {"unknown_age": "drop"},
        {"channel": "channel", "max_per_channel": 3, "channel_keeps": "newest"},
    ],
)
def test_rules_by_age_need_to_know_the_age(tmp_path, selection):
    unknown = {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}}
    with pytest.raises(InputError, match=r"need source.items.columns.published_at"):
        _load(tmp_path, selection, unknown)
    assert _load(tmp_path, selection).selection.model_dump(include=set(selection)) == selection
    _load(tmp_path, {"channel": "channel", "max_per_channel": 3}, unknown)


def test_the_rules_may_change_in_the_life_of_a_work_directory(tmp_path):
    changed = model_fingerprint(_load(tmp_path, {"max_age_days": 3, "required": ["tags"]}))
    assert changed == model_fingerprint(_load(tmp_path, {}))
