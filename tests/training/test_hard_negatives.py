"""Hard negatives: which, against brute force; how old; the same again after a resume."""

import datetime
import doctest
import os

import numpy as np
import pytest

from tests.example_records import example_record
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.examples.items import catalogue as catalogues
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.training import hard_negatives
from twotower_tf.training.hard_negatives import HardNegatives, Taken, draw
from twotower_tf.training.sequence import train_days
from twotower_tf.training.trainer import Trainer

A_DAY = 86_400
ITEMS = 40
CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "source": {
            "events": {"path": "e.csv", "columns": {"seed_item_id": "seed"}},
            "items": {"path": "i.jsonl"},
        },
        "tables": {"items": {"buckets": 64, "dim": 4}, "users": {"buckets": 64, "dim": 4}},
        "query": {
            "features": [
                {"name": "history", "kind": "id_bag", "table": "items"},
                {"name": "user", "kind": "id", "table": "users"},
            ],
            "layers": [4],
        },
        "candidate": {
            "features": [
                {"name": "item_id", "kind": "id", "table": "items"},
                {"name": "age", "kind": "age", "since": "published_at", "serving_days": 2},
            ],
            "layers": [4],
        },
        "estimator": {"buckets": 1000},
        "training": {"batch_size": 8, "tensorboard": False},
        "negatives": {"hard": {"count": 3, "from_rank": 3, "to_rank": 9}},
    }
)
IDS = np.array([f"item {n}" for n in range(ITEMS)], object)
CATALOGUE = Catalogue(
    IDS,
    {"item_id": IDS, "age": np.full(ITEMS, 2.0, np.float32)},
    {"age": np.arange(ITEMS) * float(A_DAY)},
)
EXAMPLES = 20


def batches():
    """20 examples in batches of 8; the last item of each history is not in the catalogue."""
    rng = np.random.default_rng(1)
    items = rng.integers(0, ITEMS, (EXAMPLES, 5))
    histories = [[f"item {n}" for n in row] + ["gone"] for row in items[:, 2:]]
    whole = {
        "item_id": tf.constant([f"item {n}" for n in items[:, 0]]),
        "seed_item_id": tf.constant([f"item {n}" for n in items[:, 1]]),
        "timestamp": tf.constant(A_DAY * (50 + np.arange(EXAMPLES)), tf.int64),
        "query": {
            "history": tf.ragged.constant(histories),
            "user": tf.constant([f"u{n}" for n in range(EXAMPLES)]),
        },
    }
    return tf.data.Dataset.from_tensor_slices(whole).batch(8)


def test_of_all_ranks_those_are_drawn_that_the_user_does_not_know():
    model = TwoTowerModel.from_config(CONFIG)
    # At the serving age, as a release embeds them.
    v = model.candidate_tower(
        {"item_id": tf.constant(IDS, tf.string), "age": tf.fill([ITEMS], 2.0)}
    )
    found, ranks = HardNegatives(CONFIG, model), set()
    for step in range(1, 15):
        for batch in found.add_to(batches(), EXAMPLES, CATALOGUE, step):
            scores = model.query_tower(batch["query"]).numpy() @ v.numpy().T
            raw, places, _ = batch["hard_negatives"].values()
            names = raw["item_id"].numpy()
            assert len(set(names)) == len(names)
            for i, own in enumerate(places.numpy()):
                order = np.argsort(-scores[i], kind="stable").tolist()
                known = {batch["item_id"].numpy()[i], batch["seed_item_id"].numpy()[i]}
                known |= set(batch["query"]["history"][i].numpy())
                drawn = [names[place] for place in own if place >= 0]
                allowed = {IDS[row].encode() for row in order[2:9]} - known
                assert len(drawn) == len(set(drawn)) == min(3, len(allowed))
                assert set(drawn) <= allowed
                ranks |= {1 + order.index(int(name.split()[1])) for name in drawn}
    assert ranks == set(range(3, 10))


def test_they_are_as_old_as_at_the_time_of_the_first_example_that_has_them():
    model = TwoTowerModel.from_config(CONFIG)
    for batch in HardNegatives(CONFIG, model).add_to(batches(), EXAMPLES, CATALOGUE, 1):
        raw, places, _ = batch["hard_negatives"].values()
        days = batch["timestamp"].numpy() // A_DAY
        for place, (name, age) in enumerate(zip(raw["item_id"].numpy(), raw["age"], strict=True)):
            first = np.flatnonzero((places.numpy() == place).any(axis=1))[0]
            assert float(age) == max(0, days[first] - int(name.split()[1]))


def drawn(step, seed=17):
    config = CONFIG.model_copy(update={"seed": seed})
    added = HardNegatives(config, TwoTowerModel.from_config(CONFIG)).add_to(
        batches(), EXAMPLES, CATALOGUE, step
    )
    assert int(added.cardinality()) == 3
    return [
        tf.gather(batch["hard_negatives"]["candidate"]["item_id"], place).numpy().tolist()
        for batch in added
        for place in batch["hard_negatives"]["places"]
    ]


def test_the_same_model_seed_and_step_draw_the_same():
    assert drawn(4) == drawn(4)
    assert drawn(4) != drawn(5)
    assert drawn(4) != drawn(4, seed=18)


def test_a_catalogue_with_fewer_items_than_the_first_rank_gives_none():
    found = HardNegatives(CONFIG, TwoTowerModel.from_config(CONFIG))
    for batch in found.add_to(batches(), EXAMPLES, CATALOGUE.take(np.arange(2)), 1):
        assert (batch["hard_negatives"]["places"].numpy() == -1).all()


def test_draws_are_as_likely_for_all_that_are_allowed():
    nearest = np.tile(np.arange(6, dtype=np.int32), (6000, 1))
    taken = Taken(np.arange(6000), np.full(6000, 2))
    rows = draw(nearest, taken, np.random.default_rng(0), 2)
    counts = np.bincount(rows.ravel(), minlength=6)
    assert counts[2] == 0
    np.testing.assert_allclose(counts[counts > 0], 12_000 / 5, rtol=0.1)
    assert (rows[:, 0] != rows[:, 1]).all()


def test_documented_examples_run():
    result = doctest.testmod(hard_negatives)
    assert result.attempted > 0
    assert result.failed == 0


DAYS = [datetime.date(2026, 1, day) for day in range(1, 4)]


def publish(workdir: Workdir, folder) -> Workdir:
    """Publishes a catalogue and three days of examples."""
    source = folder / "i.jsonl"
    source.write_text("".join(f'{{"item_id": "{name}"}}\n' for name in IDS))
    parsed = catalogues.parse_catalogue([SourceFile(str(source), "jsonl")], str(folder), CONFIG)
    manifest = {"shards": [{"file": catalogues.FILE}]}
    with workdir.partition(catalogues.KIND, DAYS[0]).write(manifest) as staging:
        catalogues.write_catalogue(parsed, os.path.join(staging, catalogues.FILE))
    for day in DAYS:
        rng = np.random.default_rng(day.day)
        records = [
            example_record(
                {
                    "user_id": [b"u"],
                    "item_id": [b"item %d" % own],
                    "seed_item_id": [b""],
                    "candidate/item_id": [b"item %d" % own],
                    "query/history": [b"item %d" % n for n in rng.integers(0, ITEMS, 2)],
                    "query/user": [b"u%d" % rng.integers(5)],
                },
                {"reward": [1.0], "candidate/age": [1.0]},
                {"timestamp": [0]},
            )
            for own in rng.integers(0, ITEMS, EXAMPLES)
        ]
        shards = [
            {"file": f"train-{n:05d}-of-00002.tfrecord.gz", "records": EXAMPLES // 2}
            for n in range(2)
        ]
        manifest = {"counts": {"examples": EXAMPLES}, "shards": shards}
        with workdir.partition("examples", day).write(manifest) as staging:
            for number, shard in enumerate(shards):
                write_records(os.path.join(staging, shard["file"]), records[number::2])
    return workdir


@pytest.fixture
def workdir(tmp_path):
    return publish(Workdir(str(tmp_path / "work")), tmp_path)


def weights(trainer):
    return [one.numpy().tobytes() for one in trainer.model.variables]


@pytest.mark.long
def test_a_model_that_is_loaded_each_day_equals_one_trained_in_one_go(workdir, tmp_path):
    config = CONFIG.model_copy(
        update={"training": CONFIG.training.model_copy(update={"replay": 1.0})}
    )
    list(train_days(config, workdir, DAYS))
    other = publish(Workdir(str(tmp_path / "other")), tmp_path)
    for day in DAYS:
        list(train_days(config, other, [day]))
    assert weights(Trainer(config, workdir)) == weights(Trainer(config, other))


@pytest.mark.long
def test_the_first_day_has_none_and_the_next_ones_learn_from_them(workdir, tmp_path):
    without = CONFIG.model_copy(
        update={"negatives": CONFIG.negatives.model_copy(update={"hard": None})}
    )
    other = publish(Workdir(str(tmp_path / "other")), tmp_path)
    for days, same in ((DAYS[:1], True), (DAYS[1:2], False)):
        list(train_days(CONFIG, workdir, days))
        list(train_days(without, other, days))
        found = weights(Trainer(CONFIG, workdir)), weights(Trainer(without, other))
        assert (found[0] == found[1]) == same


def test_shuffled_examples_come_in_the_same_order_each_time_they_are_read(workdir):
    partitions = [workdir.partition("examples", day) for day in DAYS]
    shuffled, _ = ExampleReader(CONFIG).read_shuffled(partitions[:2], 8, (1, 2), partitions[2:], 9)
    once, again = ([batch["item_id"].numpy().tolist() for batch in shuffled] for _ in range(2))
    assert once == again
