"""What ranks without a model: how often items were clicked, and how long they were watched."""

import collections
import datetime
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.storage import RANKING, Workdir, for_tensorflow

# An item is as good as the mean of all, until it was shown so often.
_SHRINKAGE = 20.0
_READ_AT_ONCE = 8192
_SPEC = {
    "item_id": tf.io.FixedLenFeature([], tf.string),
    "clicked": tf.io.FixedLenFeature([], tf.float32),
    "watched_seconds": tf.io.FixedLenFeature([], tf.float32),
    "weight": tf.io.FixedLenFeature([], tf.float32),
}


class ItemWatchTimes:
    """Sums of the impressions of each item over the last days, by the weights they stand for.

    Args:
        workdir: Has the ranking examples; those that are trained on are counted.
        days: Over so many days.
    """

    def __init__(self, workdir: Workdir, days: int):
        self._workdir, self._window = workdir, datetime.timedelta(days=days)
        self._days: dict[datetime.date, dict[str, np.ndarray]] = {}
        self._sums: dict[str, np.ndarray] = {}

    def count_to(self, day: datetime.date) -> None:
        """Counts the days up to one, those of the window; others are forgotten."""
        wanted = [one for one in self._workdir.days(RANKING) if day - self._window < one <= day]
        self._days = {one: self._days.get(one) or self._sums_of(one) for one in wanted}
        self._sums = collections.defaultdict(lambda: np.zeros(3))
        for of_day in self._days.values():
            for item, sums in of_day.items():
                self._sums[item] = self._sums[item] + sums

    def clicks(self, items: Sequence[str]) -> np.ndarray:
        """Returns how often items were clicked, float64 [n]."""
        return np.array([self._of(item)[1] for item in items], np.float64)

    def mean_seconds(self, items: Sequence[str]) -> np.ndarray:
        """Returns the watched seconds of an impression of items, float64 [n].

        An item's mean is drawn to that of all: (sum of its seconds + 20 m) / (its impressions + 20)
        with m the mean of all.
        """
        every = sum(self._sums.values(), np.zeros(3))
        mean = every[2] / every[0] if every[0] else 0.0
        found = np.array([self._of(item) for item in items], np.float64).reshape(-1, 3)
        return (found[:, 2] + _SHRINKAGE * mean) / (found[:, 0] + _SHRINKAGE)

    def _of(self, item: str) -> np.ndarray:
        return self._sums[item] if item in self._sums else np.zeros(3)

    def _sums_of(self, day: datetime.date) -> dict[str, np.ndarray]:
        """Returns impressions, clicks and seconds by item, of a day's training examples."""
        partition = self._workdir.partition(RANKING, day)
        paths = [
            for_tensorflow(partition.file(shard["file"]))
            for shard in partition.manifest()["shards"]
            if shard["file"].startswith("train-")
        ]
        sums: dict[str, np.ndarray] = {}
        if not paths:
            return sums
        records = tf.data.TFRecordDataset(paths, "GZIP").batch(_READ_AT_ONCE)
        for batch in records.map(lambda some: tf.io.parse_example(some, _SPEC)):
            weight, clicked = batch["weight"].numpy(), batch["clicked"].numpy()
            columns = [weight, weight * clicked, weight * batch["watched_seconds"].numpy()]
            ids, places = np.unique(batch["item_id"].numpy(), return_inverse=True)
            counted = [np.bincount(places, weights=column) for column in columns]
            for item, of_item in zip(ids, np.stack(counted, axis=1), strict=True):
                key = item.decode()
                sums[key] = sums.get(key, np.zeros(3)) + of_item
        return sums
