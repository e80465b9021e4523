"""Towers: feature encoders side by side, what comes of them, an L2-normalised end."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.features import BuiltVocabulary, CatalogueVocabulary
from twotower_tf.config.registries import FEATURE_KINDS, TOWERS
from twotower_tf.config.section import Section
from twotower_tf.config.tower import TowerSection
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures
from twotower_tf.models.features.items import ItemsEncoder
from twotower_tf.models.history.item_sequence import ItemSequence
from twotower_tf.models.item_features import ItemFeatures
from twotower_tf.storage.id_lists import read_ids


class Tower(tf.keras.layers.Layer):
    """Base of the towers: raw features to a vector of length 1 (Yi et al. 2019, figure 1).

    A subclass says in ``transform`` what comes of the features' vectors side by side, or in
    ``combine`` what comes of each.

    Args:
        feature_encoders: What turns the raw features into vectors.
        name: ``query_tower`` or ``candidate_tower``.
        items: Of a query tower, what encodes the items that its features name.

    Raises:
        ValueError: Without an encoder; if features name items and there are no ``items``.
    """

    def __init__(
        self,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        name: str | None = None,
        items: "ItemEncoder | None" = None,
    ):
        super().__init__(name=name)
        if not feature_encoders:
            raise ValueError(f"{name} needs at least one feature")
        self._encoders = list(feature_encoders)
        self._items = items
        for encoder in self._of_items:
            if items is None:
                raise ValueError(f"{name}: {encoder.name} names items, and nothing encodes them")
            encoder.build_for(items.dimension)

    @classmethod
    def from_section(
        cls,
        section: TowerSection,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        seed: int,
        name: str,
        items: "ItemEncoder | None" = None,
    ) -> "Tower":
        """Builds the tower that a section of the configuration describes.

        Args:
            section: Of the tower's own kind.
            feature_encoders: Of the section's features, in their order.
            seed: Of the initial weights.
            name: ``query_tower`` or ``candidate_tower``.
            items: Of a query tower, what encodes the items that its features name.
        """
        raise NotImplementedError

    def transform(self, x: tf.Tensor) -> tf.Tensor:
        """Maps the features' vectors, float32 [batch, all their lengths], to [batch, d]."""
        raise NotImplementedError

    def combine(self, vectors: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Maps the features' vectors by name, float32 [batch, ...] each, to [batch, d]."""
        return self.transform(tf.concat(list(vectors.values()), axis=-1))

    def call(self, raw: RawFeatures, training: bool = False) -> tf.Tensor:
        """Returns float32 [batch, d] with rows of length 1."""
        return tf.math.l2_normalize(self.combine(self.vectors(raw, training), training), axis=-1)

    def vectors(self, raw: RawFeatures, training: bool = False) -> dict[str, tf.Tensor]:
        """Returns each feature's vector by its name, float32 [batch, ...]."""
        sequences = self._sequences(raw, training)
        return {
            encoder.name: encoder(sequences[encoder.name], training=training)
            if encoder.name in sequences
            else encoder(raw)
            for encoder in self._encoders
        }

    def of_rows(self, rows: Mapping, training: bool = False) -> tf.Tensor:
        """Returns float32 [batch, d], not normalised, of what the encoders' ``rows`` returned."""
        return self.combine(self.vectors_of_rows(rows), training)

    def vectors_of_rows(self, rows: Mapping) -> dict[str, tf.Tensor]:
        """Returns ``vectors`` of what the encoders' ``rows`` returned."""
        return {encoder.name: encoder.embed(rows[encoder.name]) for encoder in self._encoders}

    @property
    def item_features(self) -> ItemFeatures | None:
        """The features of the items that queries name, which whoever saves the tower must own."""
        return None if self._items is None else self._items.features

    @property
    def encoders(self) -> list[tf.keras.layers.Layer]:
        """What turns the raw features into vectors, in their order."""
        return list(self._encoders)

    @property
    def adaptable(self) -> list[FeatureEncoder]:
        """The encoders whose statistics must be set before the first step."""
        ours = [one for one in self._encoders if isinstance(one, FeatureEncoder)]
        return [one for one in ours if one.has_statistics]

    def adapt(self, raw: Mapping[str, np.ndarray]) -> None:
        """Sets the statistics of the features that need some from a sample of their values."""
        for encoder in self.adaptable:
            encoder.adapt(raw[encoder.name])

    @property
    def _of_items(self) -> list[ItemsEncoder]:
        return [encoder for encoder in self._encoders if isinstance(encoder, ItemsEncoder)]

    def _sequences(self, raw: RawFeatures, training: bool) -> dict[str, ItemSequence]:
        """Returns the items of each feature that names some; each distinct one is encoded once."""
        lists = [encoder.ids(raw) for encoder in self._of_items]
        if not lists:
            return {}
        every = fingerprint(tf.concat([ids.flat_values for ids in lists], axis=0))
        distinct, places = tf.unique(every)
        vectors = self._items(distinct, training)
        sizes = [tf.size(ids.flat_values) for ids in lists]
        return {
            encoder.name: ItemSequence(
                vectors, of_feature, ids.row_splits, **encoder.beside(raw, ids)
            )
            for encoder, ids, of_feature in zip(
                self._of_items, lists, tf.split(places, sizes), strict=True
            )
        }


class ItemEncoder:
    """Encodes items by their ids alone, as the candidate tower does by their features.

    It is no layer, so that the query tower, which uses it, does not own the candidate tower.

    Args:
        tower: The candidate tower.
        features: The features of the catalogue's items.
        dimension: d, the length of the tower's vectors.
    """

    def __init__(self, tower: Tower, features: ItemFeatures, dimension: int):
        self._tower, self.features, self.dimension = tower, features, dimension

    def __call__(self, prints: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns float32 [n, d], not normalised, of items by their ids' fingerprints."""
        return self._tower.of_rows(self.features(prints), training)


def build_tables(config: Config, seed: int | None = None) -> dict[str, EmbeddingTable]:
    """Returns the shared embedding tables of a configuration by name.

    Args:
        config: The configuration.
        seed: Of their initial values; None: the configuration's.
    """
    seed = config.seed if seed is None else seed
    return {
        name: EmbeddingTable(
            table.buckets,
            table.dim,
            vocabulary=_vocabulary(table.vocabulary),
            seed=seed + 1000 + number,
            name=f"table_{name}",
        )
        for number, (name, table) in enumerate(sorted(config.tables.items()))
    }


def build_tower(
    section: TowerSection,
    tables: Mapping[str, EmbeddingTable],
    seed: int,
    name: str,
    items: ItemEncoder | None = None,
) -> Tower:
    """Returns the tower a configuration describes, on the tables given."""
    made = [
        FEATURE_KINDS.make(feature, tables, seed + 100 + number)
        for number, feature in enumerate(section.features)
    ]
    # A tower of somebody's own needs to know of items only if features name some.
    more = {} if items is None else {"items": items}
    return TOWERS.make(section, made, seed, name, **more)


def _vocabulary(given: str | Section | None) -> list[str] | int:
    """Returns the ids of a file, or how many the build or the catalogue will give."""
    if given is None:
        return []
    if isinstance(given, BuiltVocabulary):
        return given.built
    if isinstance(given, CatalogueVocabulary):
        return given.rows
    return read_ids(given, "vocabulary")
