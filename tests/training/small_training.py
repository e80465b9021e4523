"""A small model and its days of training, for the tests of this folder."""

import datetime

from twotower_tf.config import Config
from twotower_tf.storage import Workdir, checksum

FIRST = datetime.date(2026, 3, 1)
DAYS = [FIRST + datetime.timedelta(days=number) for number in range(5)]
VALUES = {
    "name": "tiny",
    "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
    "tables": {"items": {"buckets": 64, "dim": 4}},
    "query": {
        "features": [{"name": "history", "kind": "id_bag", "table": "items"}],
        "layers": [6, 4],
        "dropout": 0.2,
    },
    "candidate": {
        "features": [{"name": "item_id", "kind": "id", "table": "items"}],
        "layers": [4],
    },
    "estimator": {"buckets": 1000},
}


def small_config(optimizer=None, **training) -> Config:
    """Returns the configuration, with keys of its section ``training``."""
    training = {"batch_size": 16, "tensorboard": False, **training}
    return Config.model_validate({**VALUES, "training": training, "optimizer": optimizer or {}})


def weights_of(workdir: Workdir, day: datetime.date) -> list[str]:
    """Returns the checksums of the values in a day's checkpoint."""
    partition = workdir.partition("checkpoints", day)
    return [
        checksum(partition.file(one["file"]))
        for one in partition.manifest()["files"]
        if "data" in one["file"]
    ]


def kill_in_pass(monkeypatch, killed_in: int) -> None:
    """Lets the next training be killed as it begins a pass, once."""
    from twotower_tf.training.day_trainer import DayTrainer

    real, killed = DayTrainer._pass_over, []

    def pass_over(self, partitions, number, settings):
        if number == killed_in and not killed:
            killed.append(number)
            raise KeyboardInterrupt
        return real(self, partitions, number, settings)

    monkeypatch.setattr(DayTrainer, "_pass_over", pass_over)
