"""The held-out examples of a day: queries, and what they should find."""

import dataclasses
import datetime
import math

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.counts import seed_item_history
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.examples.schema import has_own_items, own_features
from twotower_tf.storage import Workdir


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The held-out examples of a day that have a reward.

    Attributes:
        batches: Raw query features, a dictionary a batch.
        own: Of each batch the users' own items (``schema.own_features``), ragged; empty
            dictionaries where they are not counted.
        item_ids: [Q] str, the items that were acted on.
        seed_ids: [Q] str, what the after-seed baseline goes by; ``""``: nothing.
        user_ids: [Q] str, who acted.
        times: int64 [Q], when, in Unix seconds.
    """

    batches: list[dict]
    own: list[dict]
    item_ids: list[str]
    seed_ids: list[str]
    user_ids: list[str]
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.item_ids)


class HeldOutReader:
    """Reads held-out examples.

    Args:
        config: The features; the size of a batch.
        workdir: Where the examples are.
    """

    def __init__(self, config: Config, workdir: Workdir):
        self._workdir = workdir
        self._batch_size = config.evaluation.batch_size
        self._reader = ExampleReader(config)
        self._history = seed_item_history(config)
        self._own = [raw.name for raw in own_features()] if has_own_items(config) else []

    def read(self, day: datetime.date, most: float = math.inf) -> HeldOut:
        """Returns a day's; the first ones if there are more than ``most``, whole batches.

        Raises:
            InputError: If the day has no examples.
        """
        partition = self._workdir.partition("examples", day)
        batches, own, item_ids, seed_ids, user_ids = [], [], [], [], []
        times = [np.zeros(0, np.int64)]
        for batch in self._reader.read(partition, "eval", self._batch_size):
            keep = np.flatnonzero(batch["reward"].numpy() > 0)
            batches.append({name: tf.gather(raw, keep) for name, raw in batch["query"].items()})
            own.append({name: tf.gather(batch[name], keep) for name in self._own})
            item_ids += _texts(batch["item_id"].numpy()[keep])
            seed_ids += _texts(self._seed_items(batch)[keep])
            user_ids += _texts(batch["user_id"].numpy()[keep])
            times.append(batch["timestamp"].numpy()[keep])
            if len(item_ids) >= most:
                break
        return HeldOut(batches, own, item_ids, seed_ids, user_ids, np.concatenate(times))

    def _seed_items(self, batch: dict) -> np.ndarray:
        """The item on screen or, where the log does not say, the last one acted on before."""
        seed_items = batch["seed_item_id"].numpy()
        if self._history is None:
            return seed_items
        history = batch["query"][self._history.name]
        last = history[:, -1:].to_tensor(default_value="", shape=[None, 1])[:, 0].numpy()
        return np.where(seed_items == b"", last, seed_items)


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode() for value in values.tolist()]
