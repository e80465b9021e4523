"""The nominator of what people act on after an item: a table of counts, its best rows kept."""

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.counts import seed_item_history
from twotower_tf.examples.schema import SEED_ITEM_ID, raw_features
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.indexing.nominators.nominator import Find, Nominated, Nominator, Request
from twotower_tf.indexing.nominators.sections import CoVisitationSection

# As if each item had been followed so often more, by nothing: of an item that was hardly seen, what
# came after it says little.
_SHRINKAGE = 10


class CoVisitation(Nominator):
    """Proposes the items most often acted on after the seed item, and after the last items.

    The seed item is, as in the counts, the one on screen, or else the last one acted on; the last
    items are those before it. Of an item i that n examples followed, n_j of them of item j, what
    speaks for j is log(1 + 100 n_j / (n + 10)): the logarithm of a share in percent, which is 0
    without any. After the seed item and after the last items are features of their own, the
    latter added up over the items.

    Args:
        seed: The feature of the query with the item on screen, if it has one.
        history: That with the history, if it has one.
        days: The window of the counts.
        items: How many are kept of each item at most.
        last: How many of the last items count.
    """

    kind = "co_visitation"

    def __init__(self, seed: str | None, history: str | None, days: int, items: int, last: int):
        super().__init__(name=self.kind)
        self._seed, self._history = seed, history
        self._days, self._items, self._last = days, items, last if history is not None else 0
        self.features = ("after_seed", "after_last")[: 2 if self._last else 1]
        self.prior = (0.5, 0.2)[: len(self.features)]

    @classmethod
    def from_section(cls, section: CoVisitationSection, config: Config) -> "CoVisitation":
        """Makes the nominator that is configured."""
        raws = raw_features(config, "query")
        seeds = [raw.name for raw in raws if raw.filled_in == SEED_ITEM_ID and not raw.type.is_list]
        history = seed_item_history(config)
        return cls(
            seeds[0] if seeds else None,
            history.name if history is not None else None,
            section.days,
            section.items,
            section.last,
        )

    def learn(self, known: Known) -> None:
        """See ``Nominator``."""
        seeds, items, examples = known.pairs(self._days)
        number = len(known.item_ids)
        order = np.lexsort((items, -examples, seeds))
        seeds, items, examples = seeds[order], items[order], examples[order]
        starts = np.searchsorted(seeds, np.arange(number + 1))
        totals = np.bincount(seeds, examples, number)
        kept = np.arange(len(seeds)) - starts[seeds] < self._items
        shares = examples / (totals[seeds] + _SHRINKAGE)
        starts = np.searchsorted(seeds[kept], np.arange(number + 1))
        # The last one is nothing: there is always one to gather.
        items, values = np.append(items[kept], -1), np.append(np.log1p(100 * shares[kept]), 0.0)
        self._starts, self._followers, self._values = (
            tf.Variable(value.astype(dtype), trainable=False, name=name)
            for value, dtype, name in (
                (starts, np.int32, "starts"),
                (items, np.int32, "followers"),
                (values, np.float32, "values"),
            )
        )

    def nominate(self, request: Request, find: Find) -> Nominated:
        """See ``Nominator``."""
        seeds, last = self._looked_up(request)
        positions, values = self._after(find(seeds))
        if not self._last:
            return Nominated(positions, values[..., tf.newaxis])
        more, of_last = self._after(find(last))
        features = [
            tf.concat([values, tf.zeros_like(of_last)], 1),
            tf.concat([tf.zeros_like(values), of_last], 1),
        ]
        return Nominated(tf.concat([positions, more], 1), tf.stack(features, axis=-1))

    def _looked_up(self, request: Request) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the ids of the seed items [B, 1] and of the last items [B, last]; "": none."""
        wanted = self._last + 1
        if self._history is None:
            return request[self._seed][:, tf.newaxis], tf.zeros([0, 0], tf.string)
        # The latest first, and as many as are wanted.
        latest = request[self._history][:, ::-1][:, :wanted]
        latest = latest.to_tensor("", shape=[None, wanted])
        if self._seed is None:
            return latest[:, :1], latest[:, 1:]
        seed = request[self._seed][:, tf.newaxis]
        on_screen = seed != ""
        last = tf.where(on_screen, latest[:, : self._last], latest[:, 1:])
        return tf.where(on_screen, seed, latest[:, :1]), last

    def _after(self, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what comes after items, [B, L] places, and its values: [B, L * W] each."""
        number = tf.shape(self._starts)[0] - 1
        there = (places >= 0) & (places < number)
        places = tf.where(there, places, 0)
        starts = tf.gather(self._starts, places)
        ends = tf.where(there, tf.gather(self._starts, tf.minimum(places + 1, number)), starts)
        widest = tf.reduce_max(tf.concat([[0], tf.reshape(ends - starts, [-1])], 0))
        at = starts[..., tf.newaxis] + tf.range(widest)
        nothing = tf.shape(self._followers)[0] - 1
        at = tf.where(at < ends[..., tf.newaxis], at, nothing)
        shape = [tf.shape(places)[0], tf.shape(places)[1] * widest]
        return (
            tf.reshape(tf.gather(self._followers, at), shape),
            tf.reshape(tf.gather(self._values, at), shape),
        )
