"""Work directories with random examples."""

import datetime

import numpy as np
import pytest

from tests.example_records import example_record
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.storage import Workdir


@pytest.fixture
def workdir(tmp_path) -> Workdir:
    return Workdir(str(tmp_path / "work"))


@pytest.fixture
def other_workdir(tmp_path) -> Workdir:
    return Workdir(str(tmp_path / "other"))


@pytest.fixture
def write_examples(workdir):
    """The function that publishes a day's random examples, whose users' ids say day and number."""

    def write(day: datetime.date, count: int, place: Workdir = workdir) -> None:
        rng = np.random.default_rng(day.toordinal())
        records = [
            example_record(
                {
                    "user_id": [f"{day}-{number}".encode()],
                    "item_id": [item := b"i%d" % rng.integers(20)],
                    "seed_item_id": [b""],
                    "candidate/item_id": [item],
                    "query/history": [b"i%d" % one for one in rng.integers(0, 20, 3)],
                },
                {"reward": [1.0]},
                {"timestamp": [0]},
            )
            for number in range(count)
        ]
        manifest = {"counts": {"examples": count}, "shards": []}
        with place.partition("examples", day).write(manifest) as folder:
            for shard in range(2):
                name = f"train-{shard:05d}-of-00002.tfrecord.gz"
                write_records(f"{folder}/{name}", records[shard::2])
                part = {"file": name, "records": len(records[shard::2])}
                manifest["shards"].append(part)

    return write
