"""The own items of held-out examples, encoded (see ``schema`` for the keys).

Only held-out examples have them: they would make the files that are trained on several times as
large, and nothing is trained on them.
"""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.encoding.list_columns import Ranges, TextLists, float_bytes
from twotower_tf.examples.encoding.wire_format import BINARY, FeatureColumns
from twotower_tf.examples.schema import OWN
from twotower_tf.examples.shards import choice
from twotower_tf.examples.shards.own_items import OwnItems, OwnWalk
from twotower_tf.examples.shards.shard_joins import OrderedExamples
from twotower_tf.examples.shards.timeline import group_starts
from twotower_tf.examples.values import SECONDS_PER_DAY


class OwnFeatures:
    """Encodes the own items of a shard's held-out examples, which come day by day.

    Args:
        own: What the own items are counted from.
    """

    def __init__(self, own: OwnItems):
        self._own = own
        self._walk = OwnWalk(own)
        self._ids = TextLists()

    def of(self, examples: OrderedExamples) -> pa.LargeBinaryArray:
        """Returns the features of some examples, [n], empty of those that are trained on.

        Args:
            examples: None of a day before one that was asked for.
        """
        held_out = np.flatnonzero(examples.splits == choice.EVAL)
        bounds = [*group_starts(examples.days[held_out]).tolist(), len(held_out)]
        parts = [pa.array([], BINARY)]
        for start, end in itertools.pairwise(bounds):
            some = held_out[start:end]
            rows = examples.rows[some]
            parts.append(self._encoded(int(examples.days[some[0]]), rows, examples))
        # -1 is the place of nothing.
        place = np.full(len(examples), -1)
        place[held_out] = np.arange(len(held_out))
        encoded = pa.concat_arrays(parts).take(pa.array(place, mask=place < 0))
        return pc.fill_null(encoded, pa.scalar(b"", BINARY))

    def _encoded(
        self, day: int, rows: np.ndarray, examples: OrderedExamples
    ) -> pa.LargeBinaryArray:
        times = examples.events.time[rows]
        items, offsets = self._walk.before(day, examples.events.user[rows], times)
        ids = pa.DictionaryArray.from_arrays(pa.array(items.item), self._own.item_ids)
        days = (times[items.owner] - items.last) / SECONDS_PER_DAY
        columns = FeatureColumns(len(rows))
        starts, ends = offsets[:-1], offsets[1:]
        ids_key, counts_key, days_key = OWN
        columns.add_text_lists(ids_key, self._ids.encoded(Ranges(ids, starts, ends)))
        for key, numbers in ((counts_key, items.count), (days_key, days)):
            lists = Ranges(pa.array(numbers), starts, ends)
            columns.add_float_lists(key, float_bytes(lists))
        return columns.features()
