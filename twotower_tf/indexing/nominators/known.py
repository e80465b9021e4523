"""What a nominator may learn: what is known at the end of a day."""

import datetime
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue import KIND
from twotower_tf.examples.items.catalogue_reader import read_columns
from twotower_tf.examples.values import SECONDS_PER_DAY
from twotower_tf.storage import Workdir


class Known:
    """The training examples up to a day, and the items that are ranked.

    Args:
        workdir: Has the catalogue.
        counts: Of the training examples.
        day: The last day that is known.
        item_ids: The N items, each once; what is told of items is in their order.
        calendar: Tells when the day ends.
    """

    def __init__(
        self,
        workdir: Workdir,
        counts: Counts,
        day: datetime.date,
        item_ids: Sequence[str],
        calendar: Calendar,
    ):
        self._workdir = workdir
        self._counts = counts
        self.day = day
        self.item_ids = item_ids
        self._end = calendar.end_of(day)
        self._popularity: dict[int, np.ndarray] = {}

    @functools.cached_property
    def _ids(self) -> pa.Array:
        return pa.array(self.item_ids, pa.string())

    def popularity(self, days: int) -> np.ndarray:
        """Returns log(1 + n), n the examples of each item in the last days: float32 [N]."""
        if days not in self._popularity:
            counts = self._counts.items_until(self.day, days)
            at = pc.fill_null(pc.index_in(self._ids, counts["item_id"]), -1).to_numpy()
            # The last place is where what was never seen looks.
            examples = np.append(counts["examples"].to_numpy(), 0)[at]
            self._popularity[days] = np.log1p(examples).astype(np.float32)
        return self._popularity[days]

    def pairs(self, days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns how often items followed seed items in the last days.

        Returns:
            Of each pair, sorted: the place of the seed item and that of the item, both among the
            N, and its examples; int64 [n] each.
        """
        pairs = self._counts.pairs_until(self.day, days)
        columns = (pairs[name].cast(pa.string()) for name in ("seed_item_id", "item_id"))
        seeds, items = (pc.fill_null(pc.index_in(one, self._ids), -1).to_numpy() for one in columns)
        there = (seeds >= 0) & (items >= 0)
        width = max(1, len(self.item_ids))
        keys = seeds[there].astype(np.int64) * width + items[there]
        keys, at = np.unique(keys, return_inverse=True)
        examples = np.zeros(len(keys), np.int64)
        np.add.at(examples, at, pairs["examples"].to_numpy()[there])
        return *np.divmod(keys, width), examples

    def ages(self) -> np.ndarray:
        """Returns how many days ago each item was published, at the end of the day: float64 [N].

        It is negative for what is published later, NaN where that is not known.
        """
        catalogue = self._workdir.latest(KIND, self.day)
        if catalogue is None:
            return np.full(len(self.item_ids), np.nan)
        rows = read_columns(catalogue, ["item_id", "published_at"])
        # Of several rows with the same id the last one holds.
        rows = rows.take(pa.array(np.arange(len(rows))[::-1]))
        at = pc.fill_null(pc.index_in(self._ids, rows["item_id"]), -1).to_numpy()
        published = pc.fill_null(rows["published_at"].cast(pa.float64()), np.nan).to_numpy()
        return (self._end - np.append(published, np.nan)[at]) / SECONDS_PER_DAY
