"""The section ``self_supervised``: what it may say, and that nothing changes without it."""

import pytest

from tests.config.test_config import SMALL
from twotower_tf.config import Config
from twotower_tf.config_loader import binding_sections, examples_fingerprint, model_fingerprint


def _config(**section) -> Config:
    return Config.model_validate({**SMALL, "self_supervised": section})


def test_a_kind_may_be_named_alone_and_the_default_is_correlated():
    assert _config().self_supervised.augmentation.kind == "correlated"
    assert _config(augmentation="random").self_supervised.augmentation.kind == "random"
    told = {"kind": "correlated", "sample": 50}
    assert _config(augmentation=told).self_supervised.augmentation.sample == 50


def test_it_is_part_of_the_model_and_without_it_nothing_is_said_of_it():
    plain, contrasted = Config.model_validate(SMALL), _config()
    assert "self_supervised" not in binding_sections(plain)
    assert binding_sections(contrasted)["self_supervised"]["weight"] == 0.1
    assert model_fingerprint(contrasted) != model_fingerprint(plain)
    assert examples_fingerprint(contrasted) == examples_fingerprint(plain)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"augmentation": "corelated"}, "unknown kind 'corelated'; did you mean 'correlated'"),
        ({"wieght": 1}, "unknown key 'wieght'; did you mean 'weight'"),
        ({"weight": 0}, "greater than 0"),
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


def test_one_feature_can_not_be_divided_between_two_views():
    features = SMALL["candidate"]["features"][:1]
    values = {**SMALL, "candidate": {**SMALL["candidate"], "features": features}}
    for kind in ("correlated", "random"):
        with pytest.raises(ValueError, match=f"'{kind}' divides .* give it another feature"):
            Config.model_validate({**values, "self_supervised": {"augmentation": kind}})
    Config.model_validate({**values, "self_supervised": {"augmentation": "dropout"}})
