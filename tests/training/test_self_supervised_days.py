"""Days with a loss of items alone: the same bits on every way, and no trace where there is none."""

import datetime
import json
import os

import numpy as np
import pytest

from tests.example_records import example_record
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.examples.items import catalogue
from twotower_tf.storage import Workdir, read_json

# isort: split
import tensorflow as tf

from twotower_tf.training.sequence import train_days

_DAYS = [datetime.date(2026, 1, day) for day in (1, 2, 3)]
_VALUES = {
    "name": "tiny",
    "source": {
        "events": {"path": "e.csv"},
        "items": {"path": "i.jsonl", "columns": {"published_at": "published"}},
    },
    "tables": {"items": {"buckets": 64, "dim": 4}, "words": {"buckets": 64, "dim": 4}},
    "query": {
        "features": [{"name": "history", "kind": "id_bag", "table": "items"}],
        "layers": [4],
    },
    "candidate": {
        "features": [
            {"name": "item_id", "kind": "id", "table": "items"},
            {"name": "tags", "kind": "id_bag", "table": "words"},
            {"name": "age", "kind": "age", "since": "published"},
        ],
        "layers": [4],
        "vector_dropout": 0.2,
    },
    "estimator": {"buckets": 1000},
    "training": {"batch_size": 8, "tensorboard": False},
}
_OFF = Config.model_validate(_VALUES)
_ON = Config.model_validate({**_VALUES, "self_supervised": {"batch_size": 6}})


def _tags(item: int, day: datetime.date) -> list[str]:
    return [f"t{item % 3}", f"u{item % 5}"] + (["new"] if day > _DAYS[1] else [])


def _write_day(workdir: Workdir, folder, day: datetime.date) -> None:
    """Publishes thirty examples of a day and, on all but the second day, another catalogue."""
    rng = np.random.default_rng(day.toordinal())
    records = [
        example_record(
            {
                "user_id": [b"u"],
                "item_id": [b"i%d" % item],
                "seed_item_id": [b""],
                "candidate/item_id": [b"i%d" % item],
                "candidate/tags": [tag.encode() for tag in _tags(item, day)],
                "query/history": [b"i%d" % one for one in rng.integers(0, 20, 3)],
            },
            {"reward": [1.0], "candidate/age": [float(item)]},
            {"timestamp": [1_767_225_600 + int(item)]},
        )
        for item in rng.integers(0, 10, 30)
    ]
    name = "train-00000-of-00001.tfrecord.gz"
    manifest = {"counts": {"examples": 30}, "shards": [{"file": name, "records": 30}]}
    with workdir.partition("examples", day).write(manifest) as staging:
        write_records(f"{staging}/{name}", records)
    if day == _DAYS[1]:
        return
    items = [
        {"item_id": f"i{item}", "tags": _tags(item, day), "published": 1_767_000_000 + item * 3600}
        for item in range(20)
    ]
    source = folder / f"{day}.jsonl"
    source.write_text("".join(json.dumps(item) + "\n" for item in items))
    parsed = catalogue.parse_catalogue([SourceFile(str(source), "jsonl")], str(folder), _ON)
    manifest = {"shards": [{"file": catalogue.FILE}]}
    with workdir.partition(catalogue.KIND, day).write(manifest) as staging:
        catalogue.write_catalogue(parsed, os.path.join(staging, catalogue.FILE))


@pytest.fixture
def workdir_of(tmp_path):
    def make(name: str) -> Workdir:
        made = Workdir(str(tmp_path / name))
        for day in _DAYS:
            _write_day(made, tmp_path, day)
        return made

    return make


def _variables(workdir: Workdir) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(
        workdir.partition("checkpoints", _DAYS[-1]).file("checkpoint")
    )
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.long
def test_days_one_by_one_end_with_the_same_model_as_in_one_go_and_the_loss_is_measured(workdir_of):
    one_go, one_by_one = workdir_of("one_go"), workdir_of("one_by_one")
    metrics = [metrics for _, metrics in train_days(_ON, one_go, _DAYS)]
    again = [dict(train_days(_ON, one_by_one, [day]))[day] for day in _DAYS]
    losses = [one["self_supervised_loss"] for one in metrics]
    assert losses == [one["self_supervised_loss"] for one in again]
    assert len(set(losses)) == 3
    # Between all views alike and a cosine of -1 with the own one, at temperature 0.1.
    assert all(0 < loss < 20 + np.log(6) for loss in losses)
    written = read_json(one_go.metrics_path("train", _DAYS[2]))
    assert written["self_supervised_loss"] == losses[2]
    ours, theirs = _variables(one_go), _variables(one_by_one)
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        assert np.array_equal(value, theirs[name]), name


@pytest.mark.long
def test_without_it_checkpoints_and_metrics_have_no_trace_of_it(workdir_of):
    plain, contrasted = workdir_of("plain"), workdir_of("contrasted")
    metrics = dict(train_days(_OFF, plain, _DAYS))
    list(train_days(_ON, contrasted, _DAYS))
    assert "self_supervised_loss" not in metrics[_DAYS[2]]
    ours, theirs = _variables(plain), _variables(contrasted)
    assert {name for name in theirs if name not in ours and "contrast" not in name} == set()
    assert not [name for name in ours if "contrast" in name]
    table = next(name for name in ours if name.startswith("model/tables/items/embeddings"))
    assert (ours[table] != theirs[table]).any()
