"""The section ``self_supervised``: what it may say, and that nothing changes without it."""

import pytest

from tests.config.test_config import SMALL
from twotower_tf.binding import examples_fingerprint, model_fingerprint
from twotower_tf.config import Config

FEATURES = [*SMALL["candidate"]["features"], {"name": "length", "kind": "dense"}]
VALUES = {**SMALL, "candidate": {**SMALL["candidate"], "features": FEATURES}}


def _config(**section) -> Config:
    return Config.model_validate({**VALUES, "self_supervised": section})


def test_a_kind_may_be_named_alone_and_the_default_is_correlated():
    assert _config().self_supervised.augmentation.kind == "correlated"
    assert _config(augmentation="random").self_supervised.augmentation.kind == "random"
    told = {"kind": "correlated", "sample": 50}
    assert _config(augmentation=told).self_supervised.augmentation.sample == 50


def test_it_may_begin_and_end_in_the_life_of_a_model():
    plain, contrasted = Config.model_validate(VALUES), _config()
    assert model_fingerprint(contrasted) == model_fingerprint(plain)
    assert examples_fingerprint(contrasted) == examples_fingerprint(plain)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"augmentation": "corelated"}, "unknown kind 'corelated'; did you mean 'correlated'"),
        ({"wieght": 1}, "unknown key 'wieght'; did you mean 'weight'"),
        ({"weight": 0}, "greater than 0"),
        ({"features": []}, "at least 1 item"),
        ({"features": ["year", "lenght"]}, "'lenght' must be one of .*; did you mean 'length'"),
        ({"features": ["year", "year"]}, "'year' must be one of .* each once"),
        ({"features": ["year"]}, "'correlated' needs at least 2 features .* got 1"),
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"value_dropout": 1.0}, "less than 1"),
        (
            {"augmentation": "dropout", "value_dropout": 0},
            "self_supervised.value_dropout: .*'dropout'.* must be above 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(section, message):
    with pytest.raises(ValueError, match=message):
        _config(**section)


def test_views_are_made_of_all_features_but_the_id_and_masks_need_two_of_them():
    config = _config()
    assert config.self_supervised.names(config) == ["year", "length"]
    for kind in ("correlated", "random"):
        with pytest.raises(ValueError, match=f"'{kind}' needs at least 2 features .* got 1"):
            Config.model_validate({**SMALL, "self_supervised": {"augmentation": kind}})
    both = Config.model_validate({**SMALL, "self_supervised": {"features": ["item_id", "year"]}})
    assert both.self_supervised.names(both) == ["item_id", "year"]
    Config.model_validate({**SMALL, "self_supervised": {"augmentation": "dropout"}})
