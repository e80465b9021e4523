"""Whole numbers of the configuration end where the types and dates they meet later do."""

import typing

import pytest
from pydantic import TypeAdapter, ValidationError

from twotower_tf.config.registries import ESTIMATORS, INDEX_KINDS, LOSSES, OPTIMIZERS, TOWERS
from twotower_tf.config.section import Section
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

DEMO = "configs/demo.yaml"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def _sections(base: type[Section] = Section) -> list[type[Section]]:
    found = [base] if base.__module__.startswith("twotower_tf.") else []
    return found + [one for section in base.__subclasses__() for one in _sections(section)]


def _is_whole(annotation) -> bool:
    return annotation is int or any(map(_is_whole, typing.get_args(annotation)))


def _whole_numbers() -> list:
    for registry in (ESTIMATORS, INDEX_KINDS, LOSSES, OPTIMIZERS, TOWERS):
        assert registry.sections
    return [
        pytest.param(field, id=f"{section.__name__}.{key}")
        for section in _sections()
        for key, field in section.model_fields.items()
        if _is_whole(field.annotation)
    ]


def test_the_walk_finds_whole_numbers_alone_in_lists_and_optional():
    found = {param.id for param in _whole_numbers()}
    assert {
        "Config.seed",
        "Evaluation.at",
        "ExamplesSection.max_per_user_and_day",
        "SketchSection.buckets",
        "MlpTowerSection.layers",
    } <= found


@pytest.mark.parametrize("field", _whole_numbers())
def test_no_whole_number_is_beyond_int32(field):
    adapter = TypeAdapter(typing.Annotated[field.annotation, field])
    for given in (2**31, [2**31]):
        with pytest.raises(ValidationError):
            adapter.validate_python(given)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=5000000000", "seed: .*less than or equal to 2147483647, got 5000000000"),
        ("seed=1.0", "seed: .*valid integer, got 1.0"),
        ("statistics.days=1000000000", "statistics.days: .*less than or equal to 36500"),
        ("evaluation.baseline_days=40000", "evaluation.baseline_days: .*equal to 36500"),
        ("evaluation.at=[1, 2147483648]", r"evaluation.at\[1\]: .*equal to 2147483647"),
    ],
)
def test_a_number_that_is_too_large_is_named_with_what_is_allowed(override, message):
    with pytest.raises(InputError, match=message):
        load_config(DEMO, [override])


def test_the_largest_seed_is_allowed():
    assert load_config(DEMO, ["seed=2147483647"]).seed == 2**31 - 1
