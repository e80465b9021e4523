"""The sequential trainer on examples written here: order, resuming, refusals, repeatability."""

import datetime
import shutil
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from tests.example_records import example_record
from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples import statistics
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.examples.hashes import mixed
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.examples.reader import ExampleReader
from twotower_tf.training.sequence import train_days
from twotower_tf.training.trainer import Trainer

_DAYS = [datetime.date(2026, 1, day) for day in range(1, 6)]
_CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
        "statistics": {"days": 2},
        "tables": {"items": {"buckets": 64, "dim": 4, "vocabulary": {"built": 6}}},
        "query": {
            "features": [
                {"name": "history", "kind": "id_bag", "table": "items"},
                {"name": "hour", "kind": "dense"},
            ],
            "layers": [4],
        },
        "candidate": {
            "features": [{"name": "item_id", "kind": "id", "table": "items"}],
            "layers": [4],
        },
        "estimator": {"buckets": 1000},
        "training": {"batch_size": 8, "keep_checkpoints": 2, "tensorboard": False},
    }
)


def _write_day(
    workdir: Workdir, day: datetime.date, examples: int = 50, shards: int = 2
) -> list[bytes]:
    """Publishes random examples of a day; returns their item ids in the order of reading."""
    item_ids, hours = _values(day, examples)
    rng = np.random.default_rng(0)
    records = [
        example_record(
            {
                "user_id": [b"u"],
                "item_id": [item_id],
                "seed_item_id": [b""],
                "candidate/item_id": [item_id],
                "query/history": [b"i%d" % one for one in rng.integers(0, 20, 3)],
            },
            {"reward": [1.0], "query/hour": [hour]},
            {"timestamp": [0]},
        )
        for item_id, hour in zip(item_ids, hours, strict=True)
    ]
    measured = statistics.of_shard(
        {"query/hour": hours},
        {"items": [pa.array(item_ids, pa.binary()).cast(pa.string())]},
        mixed(np.arange(examples, dtype=np.uint64) + np.uint64(day.toordinal() << 20)),
    )
    with workdir.partition(statistics.KIND, day).write({}) as folder:
        statistics.write(f"{folder}/{statistics.FILE}", measured)
    manifest = {"counts": {"examples": examples}, "shards": []}
    with workdir.partition("examples", day).write(manifest) as folder:
        for shard in range(shards):
            name = f"train-{shard:05d}-of-{shards:05d}.tfrecord.gz"
            count = write_records(f"{folder}/{name}", records[shard::shards])
            manifest["shards"].append({"file": name, "records": count})
    return item_ids


def _values(day: datetime.date, examples: int = 50) -> tuple[list[bytes], np.ndarray]:
    """Returns the item ids and hours of a day's examples."""
    rng = np.random.default_rng(day.toordinal())
    item_ids = [b"i%d" % (item + day.day) for item in rng.zipf(1.5, examples) % 20]
    return item_ids, rng.integers(0, 24, examples) + 30.0 * day.day


def _write_days(root) -> Workdir:
    """Publishes five days; the third has no examples."""
    made = Workdir(str(root / "work"))
    for day in _DAYS:
        _write_day(made, day, examples=0 if day == _DAYS[2] else 50)
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Workdir:
    """A work directory of examples, in which nothing was trained; to be read, not changed."""
    return _write_days(tmp_path_factory.mktemp("written"))


def _copy(workdir: Workdir, root) -> Workdir:
    shutil.copytree(workdir.root, root / "work")
    return Workdir(str(root / "work"))


@pytest.fixture
def workdir(written, tmp_path) -> Workdir:
    """A copy of it, to be trained in."""
    return _copy(written, tmp_path)


class Trained(NamedTuple):
    """Five days trained in one go; to be read, not changed.

    Attributes:
        workdir: As it is after them.
        after_three: As it was after the first three.
        metrics: By day.
    """

    workdir: Workdir
    after_three: Workdir
    metrics: dict[datetime.date, dict]


@pytest.fixture(scope="module")
def trained(written, tmp_path_factory) -> Trained:
    workdir, metrics = _copy(written, tmp_path_factory.mktemp("trained")), {}
    for day, measured in train_days(_CONFIG, workdir, _DAYS):
        metrics[day] = measured
        if day == _DAYS[2]:
            after_three = _copy(workdir, tmp_path_factory.mktemp("three"))
    return Trained(workdir, after_three, metrics)


@pytest.fixture(scope="module")
def late(written, tmp_path_factory) -> Workdir:
    """Of its days only the second was trained; to be read, not changed."""
    made = _copy(written, tmp_path_factory.mktemp("late"))
    list(train_days(_CONFIG, made, [_DAYS[1]]))
    return made


def _variables(workdir: Workdir, day: datetime.date) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(workdir.partition("checkpoints", day).file("checkpoint"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_batches_take_a_record_of_each_shard_in_turn_and_nothing_is_lost(tmp_path, shards):
    made = Workdir(str(tmp_path))
    item_ids = _write_day(made, _DAYS[0], examples=21, shards=shards)
    batches = list(ExampleReader(_CONFIG).read(made.partition("examples", _DAYS[0]), "train", 8))
    assert [len(batch["item_id"]) for batch in batches] == [8, 8, 5]
    assert [x for batch in batches for x in batch["item_id"].numpy()] == item_ids
    assert batches[0]["query"]["history"].shape == (8, None)


@pytest.mark.long
def test_days_one_by_one_end_with_the_same_checkpoint_to_the_bit_as_in_one_go(trained, tmp_path):
    other = Workdir(str(tmp_path / "other"))
    for day in _DAYS:
        _write_day(other, day, examples=0 if day == _DAYS[2] else 50)
        list(train_days(_CONFIG, other, [day]))
    one_go, one_by_one = _variables(trained.workdir, _DAYS[-1]), _variables(other, _DAYS[-1])
    assert set(one_go) == set(one_by_one)
    assert any("estimator/word" in name for name in one_go)
    for name, value in one_go.items():
        assert np.array_equal(value, one_by_one[name]), name


def test_checkpoint_holds_step_sketch_optimiser_and_last_day(trained):
    values = _variables(trained.after_three, _DAYS[1])
    by_end = {name.split("/.ATTRIBUTES")[0]: value for name, value in values.items()}
    assert by_end["last_day"] == b"2026-01-02"
    assert by_end["optimizer/_iterations"] == 14
    assert by_end["model/estimator/step"] == 14
    assert by_end["model/estimator/word"].any()
    manifest = trained.after_three.partition("checkpoints", _DAYS[1]).manifest()
    assert manifest["step"] == 14
    assert manifest["days_trained"] == ["2026-01-01", "2026-01-02"]


def test_a_day_without_examples_is_passed_over_but_done(trained):
    metrics = trained.metrics
    assert metrics[_DAYS[2]]["examples"] == 0
    assert metrics[_DAYS[2]]["loss"] is None
    assert metrics[_DAYS[2]]["last_step"] == metrics[_DAYS[1]]["last_step"] == 14
    assert Trainer(_CONFIG, trained.after_three).last_day == _DAYS[2]


def test_a_trained_day_is_not_trained_again_and_a_day_passed_over_is_refused(late):
    assert list(train_days(_CONFIG, late, [_DAYS[1]])) == []
    with pytest.raises(InputError, match="2026-01-02 is not after 2026-01-02"):
        Trainer(_CONFIG, late).train_day(_DAYS[1])
    with pytest.raises(InputError, match="2026-01-01 is before 2026-01-02, the last day trained"):
        list(train_days(_CONFIG, late, _DAYS[:2]))


def test_a_day_without_a_partition_is_refused_before_anything_is_trained(workdir):
    with pytest.raises(InputError, match="no examples of 2026-01-06"):
        list(train_days(_CONFIG, workdir, [*_DAYS, datetime.date(2026, 1, 6)]))
    assert workdir.days("checkpoints") == []


def test_only_the_newest_checkpoints_are_kept(trained):
    assert trained.after_three.days("checkpoints") == _DAYS[1:3]
    assert trained.workdir.days("checkpoints") == _DAYS[-2:]


def test_a_loss_that_is_not_finite_trains_nothing(workdir):
    wild = _CONFIG.model_copy(
        update={"optimizer": _CONFIG.optimizer.model_copy(update={"learning_rate": 1e38})}
    )
    with pytest.raises(JobError, match=r"the loss of 2026-01-01 is .*optimizer.learning_rate"):
        list(train_days(wild, workdir, _DAYS[:1]))
    assert workdir.days("checkpoints") == []


def test_a_learned_temperature_is_in_the_metrics_of_each_day_and_in_the_checkpoint(workdir):
    learned = {"temperature": {"learned": True, "start": 0.2}}
    config = Config.model_validate({**_CONFIG.model_dump(), "loss": learned})
    found = [metrics["temperature"] for _, metrics in train_days(config, workdir, _DAYS[:2])]
    assert len({0.2, *found}) == 3
    assert Trainer(config, workdir).model.batch_loss.temperature == found[-1]


def test_a_checkpoint_of_another_model_is_refused(trained):
    other = _CONFIG.model_copy(update={"seed": 99})
    with pytest.raises(InputError, match="made by another configuration"):
        Trainer(other, trained.workdir)


def _hours_and_vocabulary(*days: datetime.date) -> tuple[np.ndarray, set[bytes]]:
    """Returns the quantiles of the hours, and the 6 most frequent items, of days."""
    values = [_values(day) for day in days]
    hours = np.concatenate([hours for _, hours in values])
    counts = Counter(item_id for item_ids, _ in values for item_id in item_ids)
    ordered = sorted(counts, key=lambda item_id: (-counts[item_id], item_id))
    return np.quantile(hours, np.linspace(0, 1, 101)), set(ordered[:6])


def _frozen(workdir: Workdir, day: datetime.date) -> tuple[np.ndarray, set[bytes]]:
    """Returns the same as the checkpoint of a day has it."""
    model = Trainer(_CONFIG, workdir, at_or_before=day).model
    (encoder,) = model.query_tower.adaptable
    item_ids = [b"i%d" % item for item in range(40)]
    rows = model.tables["items"].rows(tf.constant(item_ids)).numpy()
    own = {item_id for item_id, row in zip(item_ids, rows, strict=True) if row < 6}
    return encoder.statistics.numpy(), own


def _assert_same(found: tuple, expected: tuple) -> None:
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    assert found[1] == expected[1]


def test_statistics_and_vocabulary_are_those_of_the_window_and_stay(late, tmp_path):
    """The window ends with the first day trained, though later days are there already."""
    expected = _hours_and_vocabulary(_DAYS[0], _DAYS[1])
    assert expected[1] != _hours_and_vocabulary(_DAYS[1])[1]
    _assert_same(_frozen(late, _DAYS[1]), expected)
    later = _copy(late, tmp_path)
    list(train_days(_CONFIG, later, _DAYS[3:]))
    _assert_same(_frozen(later, _DAYS[4]), expected)


def test_only_the_most_frequent_ids_have_a_vector_if_there_are_no_buckets(workdir):
    items = {"buckets": 0, "dim": 4, "vocabulary": {"built": 6}}
    config = Config.model_validate({**_CONFIG.model_dump(), "tables": {"items": items}})
    list(train_days(config, workdir, _DAYS[:2]))
    frequent = _hours_and_vocabulary(_DAYS[0])[1]
    others = {*_values(_DAYS[0])[0], *_values(_DAYS[1])[0], b"new"} - frequent
    table = Trainer(config, workdir).model.tables["items"]
    assert table.embeddings.shape == (6, 4)
    assert table(tf.constant(sorted(frequent))).numpy().all()
    assert not table(tf.constant(sorted(others))).numpy().any()


def test_a_model_that_begins_with_an_empty_day_starts_from_the_first_with_examples(workdir):
    list(train_days(_CONFIG, workdir, _DAYS[2:]))
    _assert_same(_frozen(workdir, _DAYS[4]), _hours_and_vocabulary(_DAYS[3]))


def test_a_model_does_not_start_without_statistics_but_goes_on_without(trained, tmp_path):
    workdir = _copy(trained.after_three, tmp_path)
    shutil.rmtree(workdir.path(statistics.KIND))
    list(train_days(_CONFIG, workdir, _DAYS[3:4]))
    assert workdir.days("checkpoints")[-1] == _DAYS[3]
    shutil.rmtree(workdir.path("checkpoints"))
    with pytest.raises(InputError, match="no statistics of 2026-01-01"):
        list(train_days(_CONFIG, workdir, _DAYS[:1]))
    assert workdir.days("checkpoints") == []
