"""What a work directory is bound to: those of all earlier versions open, and what is refused."""

import json
import pathlib

import pytest

from tests.binding.tiny import DAYS, WORKDIRS, unpack, values, write_source
from twotower_tf import storage
from twotower_tf.binding import bind
from twotower_tf.binding.workdirs import _forget_sizes
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir, read_json, write_json


def changed(path: str, value) -> Config:
    """Returns the tiny configuration with another value of a key."""
    told = values()
    *parents, last = path.split(".")
    place = told
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[last] = value
    return Config.model_validate(told)


@pytest.fixture
def tiny() -> Config:
    return Config.model_validate(values())


@pytest.fixture
def workdir(tmp_path, tiny) -> Workdir:
    """A bound work directory with a day of examples and a checkpoint."""
    made = Workdir(str(tmp_path / "work"))
    bind(made, tiny)
    for kind in ("examples", "checkpoints"):
        with made.partition(kind, DAYS[0]).write({}):
            pass
    return made


@pytest.mark.parametrize("archive", WORKDIRS, ids=lambda path: path.name)
def test_a_work_directory_of_any_earlier_version_opens_and_is_brought_to_this_one(
    archive, tiny, tmp_path
):
    opened = Workdir(unpack(archive, tmp_path))
    bind(opened, tiny)
    bound = read_json(opened.configuration)
    assert bound["schema"] == 1
    assert bound["examples"]["examples"]["history_length"] == 3
    assert bound["model"]["tables"] == {"items": {"buckets": 8, "dim": 2, "vocabulary": None}}
    assert "loss" not in json.dumps(bound)
    bind(opened, tiny)
    assert read_json(opened.configuration) == bound
    for key, made_with in {"examples.history_length": 3, "tables.items.dim": 2}.items():
        with pytest.raises(InputError, match=f"{key} is 4, and the .* made with {made_with}"):
            bind(opened, changed(key, 4))
        assert read_json(opened.configuration) == bound


@pytest.mark.long
@pytest.mark.parametrize("archive", WORKDIRS, ids=lambda path: path.name)
def test_a_work_directory_of_any_earlier_version_goes_on(archive, tiny, tmp_path):
    import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
    from twotower_tf.examples.building.build import build_examples
    from twotower_tf.training.sequence import train_days

    opened = Workdir(unpack(archive, tmp_path / "work"))
    bind(opened, tiny)
    build_examples(tiny, opened, write_source(tmp_path / "source"), DAYS[:2])
    ((day, metrics),) = train_days(tiny, opened, DAYS[:2])
    assert (day, metrics["last_step"]) == (DAYS[1], 6)


def test_a_newer_version_is_named_and_a_damaged_file_too(workdir, tiny):
    bound = read_json(workdir.configuration)
    write_json(workdir.configuration, bound | {"schema": 99})
    with pytest.raises(InputError, match=r"configuration.json has the schema 99, .* up to 1"):
        bind(workdir, tiny)
    storage.write_text(workdir.configuration, "{")
    with pytest.raises(InputError, match=r"configuration.json is damaged"):
        bind(workdir, tiny)


def test_what_a_newer_version_of_the_package_adds_with_a_default_changes_nothing(workdir, tiny):
    bound = read_json(workdir.configuration)
    del bound["examples"]["examples"]["own_length"]
    del bound["examples"]["query"]["features"][0]["separator"]
    del bound["model"]["candidate"]["layer_norm"]
    del bound["model"]["estimator"]["kind"]
    write_json(workdir.configuration, bound)
    bind(workdir, tiny)
    with pytest.raises(InputError, match=r"examples.own_length is 9, .* made with unset"):
        bind(workdir, changed("examples.own_length", 9))


def test_a_default_that_another_version_changes_is_named(workdir, tiny):
    bound = read_json(workdir.configuration)
    bound["examples"]["examples"]["own_length"] = 300
    write_json(workdir.configuration, bound)
    with pytest.raises(InputError, match=r"own_length is 500, and the examples were made with 300"):
        bind(workdir, tiny)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("source.items.format", "jsonl", r'source.items.format is "jsonl", .* with "auto"'),
        ("query.features.0.max_length", 2, r"query.features\[0\].max_length is 2, .* null: "),
        ("query.features.0.encoder", "mean", r"query.features\[0\].encoder.kind is \"mean\""),
        ("source.users", {"path": "u"}, r"source.users.* the examples were made with null"),
        ("query.layers", [3, 2], r"query.layers is \[3, 2\], and the model was made with \[2\]: "),
        ("tables.words", {"buckets": 3}, r"tables.words.buckets is 3, and .* with unset"),
        ("estimator.kind", "paper", r'estimator.kind is "paper"'),
    ],
)
def test_a_key_that_binds_is_refused_with_both_values(workdir, key, value, message):
    with pytest.raises(InputError, match=message) as refused:
        bind(workdir, changed(key, value))
    assert str(refused.value).startswith(f"--workdir={workdir.root}: ")


def test_several_keys_are_counted(workdir):
    told = values()
    told["seed"], told["estimator"]["buckets"], told["examples"]["history_length"] = 1, 9, 4
    message = r"examples.history_length is 4, .*made with 3 \(estimator.buckets, seed differ, too\)"
    with pytest.raises(InputError, match=message):
        bind(workdir, Config.model_validate(told))


def test_a_model_that_was_not_started_may_be_another_and_sizes_are_chosen_anew(workdir, tiny):
    workdir.partition("checkpoints", DAYS[0]).remove()
    write_json(workdir.path("sizes.json"), {})
    bind(workdir, changed("tables.items.dim", 4))
    assert not pathlib.Path(workdir.path("sizes.json")).exists()
    with pytest.raises(InputError, match=r"history_length"):
        bind(workdir, changed("examples.history_length", 4))
    workdir.partition("examples", DAYS[0]).remove()
    bind(workdir, changed("examples.history_length", 4))
    assert read_json(workdir.configuration)["examples"]["examples"]["history_length"] == 4


def test_sizes_of_a_trained_model_stay_when_the_other_one_may_change(workdir, tiny):
    for name in ("sizes.json", "ranking_sizes.json"):
        write_json(workdir.path(name), {})
    _forget_sizes(workdir)
    assert pathlib.Path(workdir.path("sizes.json")).exists()
    assert not pathlib.Path(workdir.path("ranking_sizes.json")).exists()
