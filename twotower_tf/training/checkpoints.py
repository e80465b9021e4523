"""Checkpoints: model, optimiser, sketch, step and last day done, as one atomic unit a day."""

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from twotower_tf import storage
from twotower_tf.binding import is_same
from twotower_tf.errors import InputError
from twotower_tf.models.compiled_model import CompiledModel
from twotower_tf.storage import Partition, Workdir
from twotower_tf.training.backfill import Passes
from twotower_tf.training.carrying import read_into

_PASSES = {storage.CHECKPOINTS: "backfill", storage.RANKING_CHECKPOINTS: "ranking_backfill"}
_PREFIX = "checkpoint"


class Checkpoints:
    """Saves and restores a compiled model after each day of training.

    A checkpoint is a partition, ``checkpoints/dt=DAY``, like any other: there with its manifest, or
    not at all. The manifest also lists the days the model was trained on.

    Attributes:
        days_trained: Oldest first.
        fresh_since: The last day on which a fresh model was started, or tried in its place.
        caught_up: Whether the model was started from several days at once.

    Args:
        workdir: Where they are.
        model: A built and compiled model; its variables are saved and restored in place.
        fingerprint: Of the configuration the model was built from.
        keep: How many of the newest stay; older ones are removed.
        kind: Of the partitions they are.
        settings: How the model is trained: a backfill goes on after passes trained like that.
    """

    def __init__(
        self,
        workdir: Workdir,
        model: CompiledModel,
        fingerprint: str,
        keep: int,
        kind: str = storage.CHECKPOINTS,
        settings: Mapping[str, Any] | None = None,
    ):
        self._workdir = workdir
        self._model = model
        self._settings = dict(settings or {})
        self._fingerprint = fingerprint
        self._keep = keep
        self._kind = kind
        # Where the model after each pass of the backfill is kept until all are made.
        self._passes = _PASSES[kind]
        self._last_day = tf.Variable("", dtype=tf.string, trainable=False, name="last_day")
        self._state = tf.train.Checkpoint(
            model=model, optimizer=model.optimizer, last_day=self._last_day
        )
        self.days_trained: list[datetime.date] = []
        self.fresh_since: datetime.date | None = None
        self.caught_up = False

    def restore(self, at_or_before: datetime.date | None = None) -> datetime.date | None:
        """Restores the newest checkpoint, or the newest up to a day.

        Returns:
            Its day; None if there is none, and then nothing changes.

        Raises:
            InputError: If it was made by another configuration.
        """
        partition = self._workdir.latest(self._kind, at_or_before or datetime.date.max)
        if partition is None:
            return None
        manifest = partition.manifest()
        if not is_same(manifest["configuration"], self._fingerprint):
            raise InputError(f"{partition.path} was made by another configuration")
        self._read(partition)
        self.days_trained = [datetime.date.fromisoformat(day) for day in manifest["days_trained"]]
        # Checkpoints of before there was retraining don't say: a backfill was then the only way.
        since = manifest.get("fresh_since")
        self.fresh_since = since and datetime.date.fromisoformat(since)
        self.caught_up = manifest.get("caught_up", True)
        return partition.day

    def save(self, days: Sequence[datetime.date], step: int) -> Partition:
        """Saves the model as it is after some more days, then removes what is not kept.

        That is checkpoints beyond ``keep``, and the passes of a backfill.
        """
        self._last_day.assign(days[-1].isoformat())
        self.days_trained += days
        partition = self._workdir.partition(self._kind, days[-1])
        manifest = {
            "configuration": self._fingerprint,
            "step": step,
            "days_trained": [one.isoformat() for one in self.days_trained],
            "fresh_since": self.fresh_since and self.fresh_since.isoformat(),
            "caught_up": self.caught_up,
        }
        self._write(partition, manifest)
        for old in self._workdir.days(self._kind)[: -self._keep]:
            self._workdir.partition(self._kind, old).remove()
        storage.remove_folder(self._workdir.path(self._passes))
        return partition

    def save_pass(self, days: Sequence[datetime.date], passes: Passes) -> None:
        """Saves the model as it is after a pass over the days of the backfill."""
        manifest = {
            "configuration": self._fingerprint,
            "days": [one.isoformat() for one in days],
            "settings": self._settings,
            **dataclasses.asdict(passes),
        }
        self._write(self._pass(days, passes.done), manifest)

    def restore_last_pass(self, days: Sequence[datetime.date]) -> Passes:
        """Restores the last pass that was saved, of these days; returns what was made so far."""
        passes = Passes()
        while (partition := self._pass(days, passes.done + 1)).exists():
            manifest = partition.manifest()
            given = [one.isoformat() for one in days]
            told = [manifest.get(key) for key in ("configuration", "days", "settings")]
            if told != [self._fingerprint, given, self._settings]:
                break
            passes = Passes(manifest["done"], manifest["recalls"])
        if passes.done:
            self._read(self._pass(days, passes.done))
        return passes

    def restore_pass(self, days: Sequence[datetime.date], number: int) -> None:
        """Restores the model as it was after a pass, counted from 1."""
        self._read(self._pass(days, number))

    def _pass(self, days: Sequence[datetime.date], number: int) -> Partition:
        return self._workdir.partition(os.path.join(self._passes, f"pass-{number:03d}"), days[-1])

    def _read(self, partition: Partition) -> None:
        path = storage.for_tensorflow(partition.file(_PREFIX))
        read_into(self._model, self._last_day, path)

    def _write(self, partition: Partition, manifest: dict) -> None:
        with partition.write(manifest) as folder:
            self._state.write(storage.for_tensorflow(os.path.join(folder, _PREFIX)))
            manifest["files"] = [
                {"file": name, "sha256": storage.checksum(os.path.join(folder, name))}
                for name in storage.names(folder)
            ]
