"""What changing a key touches: every key says it, and only what it says is refused."""

import datetime
import random

import pytest

from tests.binding.tiny import DAYS, values
from twotower_tf.binding import bind, examples_fingerprint, model_fingerprint, ranking_fingerprint
from twotower_tf.binding.keys import values as keys
from twotower_tf.binding.settings import Change, changes, settings
from twotower_tf.config import Config
from twotower_tf.config.section import Section, Touches, declared
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir


def _paths(told, path=""):
    if isinstance(told, dict):
        for key, value in told.items():
            yield from _paths(value, f"{path}.{key}" if path else key)
    elif isinstance(told, list) and any(isinstance(one, dict) for one in told):
        for place, value in enumerate(told):
            yield from _paths(value, f"{path}.{place}")
    else:
        yield path


def _leaves(section: Section, path=""):
    yield from _paths(section.model_dump(mode="json"), path)


def _full() -> dict:
    """Returns a configuration with all optional sections."""
    told = values()
    told["source"]["events"]["columns"] = {"dwell": "seconds"}
    told["source"]["users"] = {"path": "users.jsonl"}
    told["source"]["impressions"] = {"path": "impressions.jsonl"}
    told["ranking"] = {"heads": {"click": {}}, "layers": [4]}
    told["candidate"]["features"].append({"name": "tags", "kind": "id_bag"})
    told["self_supervised"] = {}
    told["training"]["retrain"] = {"every_days": 7, "window_days": 30}
    return told


FULL = Config.model_validate(_full())


def test_every_key_of_a_configuration_touches_one_thing():
    found = {one: set(_paths(keys(FULL, [one]))) for one in Touches}
    for path in _leaves(FULL):
        assert [path in some for some in found.values()].count(True) == 1, path


def test_a_section_of_mixed_keys_has_none_that_says_nothing():
    """A key that is added to one of these must say what changing it touches."""
    from twotower_tf.config.examples import ExamplesSection
    from twotower_tf.config.training import Training

    for section in (Config, ExamplesSection, Training):
        for key, field in section.model_fields.items():
            says = declared(field) or key in ("examples", "training")
            assert says, f"{section.__name__}.{key}: say Annotated[..., Touches....]"


def _changed(value):
    """Returns another value of the same kind, None if it is not known how to make one."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else None


@pytest.mark.parametrize("seed", range(12))
def test_a_nightly_key_may_change_and_any_other_is_refused_by_its_name(seed, tmp_path):
    workdir = Workdir(str(tmp_path))
    bind(workdir, FULL)
    for kind in ("examples", "checkpoints", "ranking_checkpoints"):
        with workdir.partition(kind, DAYS[0]).write({}):
            pass
    rng = random.Random(seed)
    nightly = set(_paths(keys(FULL, [Touches.NOTHING])))
    tried = 0
    for path in rng.sample(sorted(_leaves(FULL)), 60):
        told = FULL.model_dump(mode="json")
        *parents, last = path.split(".")
        place = told
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place[key]
        other = _changed(place[last])
        if other is None:
            continue
        place[last] = other
        try:
            config = Config.model_validate(told)
        except ValueError:
            continue
        tried += 1
        if path in nightly:
            bind(workdir, config)
            assert examples_fingerprint(config) == examples_fingerprint(FULL)
            assert model_fingerprint(config) == model_fingerprint(FULL)
            assert ranking_fingerprint(config) == ranking_fingerprint(FULL)
            assert settings(config, [path.split(".")[0]]) != settings(
                FULL, [path.split(".")[0]]
            ) or (last in ("keep_checkpoints", "tensorboard"))
        else:
            with pytest.raises(InputError, match=last):
                bind(workdir, config)
    assert tried > 5


def test_keys_of_ranking_bind_its_checkpoints_alone(tmp_path):
    workdir = Workdir(str(tmp_path))
    bind(workdir, FULL)
    with workdir.partition("checkpoints", DAYS[0]).write({}):
        pass
    told = FULL.model_dump(mode="json")
    told["ranking"]["layers"] = [5]
    bind(workdir, Config.model_validate(told))
    with workdir.partition("ranking_checkpoints", DAYS[0]).write({}):
        pass
    with pytest.raises(InputError, match=r"ranking.layers is \[4\], and the model was .* \[5\]"):
        bind(workdir, FULL)


def test_changes_are_told_with_the_day_that_first_had_them():
    days = [datetime.date(2026, 1, day) for day in range(1, 6)]
    recorded = [None, {"a": 1}, {"a": 1, "b": [2]}, None, {"b": [3]}]
    assert changes(zip(days, recorded, strict=True)) == [
        Change(days[2], "b", None, [2]),
        Change(days[4], "a", 1, None),
        Change(days[4], "b", [2], [3]),
    ]


def test_settings_are_what_may_change_and_is_not_at_its_default():
    tiny = Config.model_validate(values())
    assert settings(tiny, ["loss", "optimizer", "examples", "training"]) == {
        "loss.kind": "corrected_softmax",
        "loss.temperature": 0.1,
        "optimizer.learning_rate": 0.05,
        "examples.shards": 1,
        "examples.reward.column": "stars",
        "examples.reward.high": 3.0,
    }
