"""What a user and an item have had to do with each other: the lists of an example, counted."""

from collections.abc import Mapping

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.schema import (
    HISTORY_DAYS,
    HISTORY_DWELL,
    SHOWN,
    history_feature,
    impression_features,
)
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.ragged import as_long_as, as_ragged
from twotower_tf.models.features.encoder import RawFeatures
from twotower_tf.models.item_features import ItemFeatures
from twotower_tf.models.ranking.counters import Past, counters, days_since

# What items themselves are compared by, beside their features in ``ranking.likes``.
ITEM = "item"
LAST_WATCH = "last_watch_days"
# Of things that are not there; no key that is compared.
_NONE = 0


class LikeKey:
    """The key that two items have in common when a feature of theirs is the same.

    Kept of each item like the rows of an encoder (``ItemFeatures``), in 4 bytes: two of a thousand
    channels have the same key with probability 1e-4. Items without the feature have none in common.

    Args:
        feature: The raw feature's name.
    """

    def __init__(self, feature: str):
        self.feature, self.name = feature, f"like/{feature}"

    def rows(self, raw: RawFeatures) -> tf.Tensor:
        """Returns int32 [n], 0 where there is none."""
        texts = raw[self.feature]
        return tf.where(texts == "", _NONE, tf.cast(fingerprint(texts), tf.int32))


class Interactions:
    """Counts what of a user's past was of an item, or of others like it.

    Args:
        config: What is counted.
        likes: Of ``ranking.likes``.
        features: Of the items of the past; they keep the ``likes``.
    """

    def __init__(self, config: Config, likes: list[LikeKey], features: ItemFeatures):
        self._history = history_feature(config).name
        named = {raw.column: raw.name for raw in impression_features(config)}
        self._days, self._dwell = (named.get(column) for column in (HISTORY_DAYS, HISTORY_DWELL))
        self._churn, self._likes, self._features = config.ranking.churn, likes, features

    def __call__(
        self, query: RawFeatures, impression: RawFeatures, candidates: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Counts for each candidate of each of B users.

        Args:
            query: Raw features, B rows.
            impression: Raw features, B rows of those that are the user's.
            candidates: int [B, C] by name: keys of the candidates, from ``keys_of_items`` or alike.

        Returns:
            ``LAST_WATCH``, float32 [B]; and the counters by name, float32 [B, C]: ``watched_`` and,
            with churn, ``in_vain_`` before those of ``counters.counters``.
        """
        watched = self._watched(query, impression)
        found = {
            f"watched_{name}": values for name, values in counters(candidates, watched).items()
        }
        if self._churn:
            in_vain = counters(candidates, self._in_vain(impression))
            found |= {f"in_vain_{name}": values for name, values in in_vain.items()}
        last = days_since(watched.days, watched.counts[ITEM])
        return {LAST_WATCH: last}, found

    @property
    def names(self) -> list[str]:
        """Of the counters, in their order."""
        kinds = ["count", "days", *([] if self._dwell is None else ["amount"])]
        compared = [ITEM, *(like.feature for like in self._likes)]
        names = [f"watched_{what}_{kind}" for what in compared for kind in kinds]
        if self._churn:
            names += [f"in_vain_{what}_{kind}" for what in compared for kind in kinds[:2]]
        return names

    def keys_of_items(self, prints: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what items are compared by: int [n] by name, of fingerprints of ids, [n]."""
        rows = self._features(prints) if self._likes else {}
        return {ITEM: prints, **{like.feature: rows[like.name] for like in self._likes}}

    def _watched(self, query: RawFeatures, impression: RawFeatures) -> Past:
        values = query[self._history]
        if values.shape.rank == 1:
            values = values[:, tf.newaxis]
        ids = as_ragged(values)
        days = as_long_as(ids, impression[self._days], self._days)
        dwell = None
        if self._dwell is not None:
            dwell = _amounts(as_long_as(ids, impression[self._dwell], self._dwell))
        return self._past(ids, days, tf.ones_like(ids.flat_values, tf.bool), dwell)

    def _in_vain(self, impression: RawFeatures) -> Past:
        ids_name, days_name, clicked_name = SHOWN
        ids = as_ragged(impression[ids_name])
        days = as_long_as(ids, impression[days_name], days_name)
        clicked = as_long_as(ids, impression[clicked_name], clicked_name)
        return self._past(ids, days, clicked.flat_values <= 0, None)

    def _past(self, ids: tf.RaggedTensor, days, counts: tf.Tensor, amount) -> Past:
        """Returns the past that lists tell: ``counts`` says of each value whether it counts."""
        flat = ids.flat_values
        keys = self.keys_of_items(fingerprint(flat))
        counts &= flat != ""
        past_days = tf.where(tf.math.is_finite(days.flat_values), days.flat_values, 0.0)
        return Past(
            {name: _padded(ids, values) for name, values in keys.items()},
            {
                name: _padded(ids, counts if name == ITEM else counts & (values != _NONE))
                for name, values in keys.items()
            },
            _padded(ids, tf.maximum(past_days, 0.0)),
            amount,
        )


def _amounts(lists: tf.RaggedTensor) -> tf.Tensor:
    """Returns amounts of at least 0, what is not finite as 0: [B, L], padded."""
    flat = lists.flat_values
    return _padded(lists, tf.maximum(tf.where(tf.math.is_finite(flat), flat, 0.0), 0.0))


def _padded(lists: tf.RaggedTensor, values: tf.Tensor) -> tf.Tensor:
    """Returns values of lists, [values], in rows: [B, L], zeros or False after each row's end."""
    return lists.with_flat_values(values).to_tensor()
