"""The loss of items alone: two views of each through the candidate tower, told from all others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.registries import AUGMENTATIONS
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.replicas import gather_from_replicas, replica_count, rows_before
from twotower_tf.graph.untracked import Untracked
from twotower_tf.models.candidates import distinct_items
from twotower_tf.models.features.encoder import RawFeatures
from twotower_tf.models.inference import CatalogueRows
from twotower_tf.models.losses.info_nce import info_nce
from twotower_tf.models.self_supervised.augmentation import Augmentation
from twotower_tf.models.towers import Tower

_SEED = 5000


class ItemContrast:
    """The self-supervised loss of a batch of items (Yao et al. 2021, equation 1).

    Both views go through the candidate tower, which has no weights beside those that the main
    loss trains. An item that was drawn twice counts once; one of which a view holds nothing (all
    that it has is missing in the catalogue) is left out. It is no layer, and has nothing that a
    checkpoint or a release would hold.

    Args:
        tower: The candidate tower.
        augmentation: Which features the views have; those that it doesn't know are in none.
        weight: What the loss counts beside the main one.
        temperature: What cosines are divided by.
        batch_size: How many items are to be drawn for each batch.
        value_dropout: The share of the values of lists that a view lacks.
        seed: Of the draws.
    """

    def __init__(
        self,
        tower: Tower,
        augmentation: Augmentation,
        weight: float = 0.1,
        temperature: float = 0.1,
        batch_size: int = 256,
        value_dropout: float = 0.0,
        seed: int = 0,
    ):
        self._tower, self._augmentation = tower, augmentation
        self.weight, self.batch_size = weight, batch_size
        self._temperature, self._value_dropout, self.seed = temperature, value_dropout, seed
        self._step = Untracked(None)

    @classmethod
    def from_config(cls, config: Config, tower: Tower) -> "ItemContrast | None":
        """Returns what a configuration describes; None if it does not."""
        section = config.self_supervised
        if section is None:
            return None
        seed = config.seed + _SEED
        features = section.names(config)
        return cls(
            tower,
            AUGMENTATIONS.make(section.augmentation, features, seed),
            section.weight,
            section.temperature,
            section.batch_size,
            section.value_dropout,
            seed + 100,
        )

    def follow(self, step: tf.Variable) -> None:
        """Gives it the number of the step, which belongs to the optimiser."""
        self._step = Untracked(step)

    def set_catalogue(self, catalogue: Catalogue) -> None:
        """Takes the items of a day, for augmentations that go by them."""
        size = min(self._augmentation.sample, len(catalogue))
        if not size:
            return
        rng = np.random.default_rng(self.seed)
        some = catalogue.take(np.sort(rng.choice(len(catalogue), size, replace=False)))
        since = [times[np.isfinite(times)] for times in some.since.values()]
        # Ages at a time at which none is 0: whose they are differs then.
        now = int(max((times.max() for times in since if len(times)), default=0)) + 1
        raw = CatalogueRows(some).at(tf.range(size, dtype=tf.int64), tf.fill([size], np.int64(now)))
        self._augmentation.set_items({one.name: one.rows(raw) for one in self._tower.encoders})

    def __call__(self, drawn: Mapping, training: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of items, not weighted, and which share of the whole batch's it is.

        Run by replicas, each on items of its own, the losses are parts that add up, and the items
        of all are told from each other.

        Args:
            drawn: ``item_id`` (string [draws]) and ``candidate`` (raw features), uniform draws.
            training: Whether the tower drops values of its layers.
        """
        prints = fingerprint(drawn["item_id"])
        _, first = distinct_items(prints)
        raw = {name: tf.gather(values, first) for name, values in drawn["candidate"].items()}
        (anchors, views), told = self.views(raw, training)
        anchors, views, own = _of_all_replicas(
            anchors, views, tf.gather(tf.gather(prints, first), told)
        )
        count, total = tf.size(own), tf.shape(views)[0]
        loss = info_nce(anchors, views, own, self._temperature, total)
        share = tf.math.divide_no_nan(tf.cast(count, tf.float32), tf.cast(total, tf.float32))
        return loss, share

    def views(
        self, raw: RawFeatures, training: bool = True
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Returns both views of items, float32 [m, d] each, and which of the n items: int64 [m].

        Args:
            raw: The candidate tower's raw features by name, n rows each.
            training: See ``__call__``.
        """
        kept = tf.cast(self._augmentation.kept(self._step_now()), tf.float32)
        has = dict(zip(self._augmentation.features, tf.unstack(kept, axis=1), strict=True))
        vectors = {
            encoder.name: self._both(encoder, raw, number, has.get(encoder.name, tf.zeros([2])))
            for number, encoder in enumerate(self._tower.encoders)
        }
        held = [tf.reduce_any(vector != 0.0, axis=-1) for vector in vectors.values()]
        both = tf.reduce_all(tf.reshape(tf.reduce_any(held, axis=0), [2, -1]), axis=0)
        told = tf.where(both)[:, 0]
        rows = tf.concat([told, told + tf.size(both, tf.int64)], axis=0)
        # Both at once: the tower's own dropout, which goes by the row, differs between them.
        vectors = {name: tf.gather(vector, rows) for name, vector in vectors.items()}
        made = self._tower.combine(vectors, training)
        # Of half an item all units of a layer may be 0, where a length has no gradient.
        some = tf.reduce_any(made != 0.0, axis=-1, keepdims=True)
        made = tf.where(some, tf.math.l2_normalize(made, axis=-1), 0.0)
        return (made[: tf.size(told)], made[tf.size(told) :]), told

    def _both(
        self, encoder: tf.keras.layers.Layer, raw: RawFeatures, number: int, kept: tf.Tensor
    ) -> tf.Tensor:
        """Returns the vectors of a feature, float32 [2 n, width]: all first views, all second."""
        rows = tf.nest.map_structure(
            lambda part: tf.concat([part, part], axis=0), encoder.rows(raw)
        )
        if self._value_dropout:
            # The items themselves are drawn with the seed as it is.
            seed = tf.stack([tf.constant(self.seed + 1 + number, tf.int64), self._step_now()])
            rows = drop_values(rows, self._value_dropout, seed)
        vectors = encoder.embed(rows)
        return vectors * tf.repeat(kept, tf.shape(vectors)[0] // 2)[:, tf.newaxis]

    def _step_now(self) -> tf.Tensor:
        step = self._step.value
        return tf.zeros([], tf.int64) if step is None else tf.cast(step, tf.int64)


def _of_all_replicas(
    anchors: tf.Tensor, views: tf.Tensor, prints: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns this replica's anchors, the views of all replicas, and which belongs to which.

    An item that several replicas hold is an anchor, and has a view, of the first one.
    """
    places = tf.range(tf.size(prints))
    if replica_count() == 1:
        return anchors, views, places
    items, first = distinct_items(gather_from_replicas(prints))
    places += rows_before(tf.size(prints))
    own = tf.gather(items, places)
    is_first = tf.gather(first, own) == places
    every = tf.gather(gather_from_replicas(views), first)
    return tf.boolean_mask(anchors, is_first), every, tf.boolean_mask(own, is_first)


def drop_values(rows: Any, rate: float, seed: tf.Tensor) -> Any:
    """Drops values of lists: each with a probability, alike in all lists of the same item.

    Args:
        rows: What an encoder's ``rows`` returned; what is no list stays as it is.
        rate: The probability.
        seed: int64 [2].

    Returns:
        The same, with shorter lists.
    """

    def dropped(part: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        if not isinstance(part, tf.RaggedTensor):
            return part
        # The same seed and shape, the same draws: an id's weight goes with the id.
        drawn = tf.random.stateless_uniform([tf.size(part.flat_values)], seed)
        return tf.ragged.boolean_mask(part, part.with_flat_values(drawn >= rate))

    return tf.nest.map_structure(dropped, rows)
