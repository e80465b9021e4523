"""Items that a query names, as the item encoder encodes them: the last one, those of a history."""

from collections.abc import Mapping

import tensorflow as tf

from twotower_tf.config.registries import HISTORY_ENCODERS
from twotower_tf.graph.ragged import as_ragged
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures
from twotower_tf.models.history.item_sequence import ItemSequence


class ItemsEncoder(FeatureEncoder):
    """One item or a list of items, of whose vectors a history encoder makes one.

    The vectors are the item encoder's, of the items' ids and features alike (``models.towers``):
    what an item is in a history and what it is as a candidate are one thing, and what is learnt
    of one serves the other.

    Args:
        feature: Its name.
        section: Of a history encoder.
        seed: Of the initial values of weights of its own.
        beside: The raw features that say more of each item's event, by the field of
            ``ItemSequence`` that takes them.
    """

    def __init__(self, feature: str, section, seed: int, beside: Mapping[str, str] | None = None):
        super().__init__(name=feature)
        self._feature, self._section, self._seed = feature, section, seed
        self._beside = dict(beside or {})
        self._history: tf.keras.layers.Layer | None = None

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        return cls(section.name, section.history_encoder, seed, section.beside)

    def build_for(self, dim: int) -> None:
        """Makes the history encoder, for items' vectors of so many numbers."""
        self._history = HISTORY_ENCODERS.make(
            self._section, dim, seed=self._seed, name=f"{self._feature}_encoder"
        )

    def beside(self, raw: RawFeatures, ids: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """Returns what is known of each item's event, [values], by field of ``ItemSequence``."""
        found = {}
        for field, name in self._beside.items():
            lists = raw[name]
            if not isinstance(lists, tf.RaggedTensor):
                lists = tf.RaggedTensor.from_tensor(lists, lengths=ids.row_lengths())
            found[field] = lists.flat_values
        return found

    def ids(self, raw: RawFeatures) -> tf.RaggedTensor:
        """Returns the ids of the items, oldest first: text [batch, (items)]."""
        values = raw[self._feature]
        if not isinstance(values, tf.RaggedTensor) and values.shape.rank == 1:
            values = values[:, tf.newaxis]
        return as_ragged(values)

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Returns float32 [batch, dim]."""
        return self._history(items, training=training)
