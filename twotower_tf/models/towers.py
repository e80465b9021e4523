"""Towers: feature encoders side by side, what comes of them, an L2-normalised end."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.features import BuiltVocabulary
from twotower_tf.config.registries import FEATURE_KINDS, TOWERS
from twotower_tf.config.tower import TowerSection
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import FeatureEncoder, RawFeatures
from twotower_tf.storage import open_input


class Tower(tf.keras.layers.Layer):
    """Base of the towers: raw features to a vector of length 1 (Yi et al. 2019, figure 1).

    A subclass says in ``transform`` what comes of the features' vectors.

    Args:
        feature_encoders: What turns the raw features into vectors; these are concatenated.
        name: ``query_tower`` or ``candidate_tower``.

    Raises:
        ValueError: Without an encoder.
    """

    def __init__(self, feature_encoders: Sequence[tf.keras.layers.Layer], name: str | None = None):
        super().__init__(name=name)
        if not feature_encoders:
            raise ValueError(f"{name} needs at least one feature")
        self._encoders = list(feature_encoders)

    @classmethod
    def from_section(
        cls,
        section: TowerSection,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        seed: int,
        name: str,
    ) -> "Tower":
        """Builds the tower that a section of the configuration describes.

        Args:
            section: Of the tower's own kind.
            feature_encoders: Of the section's features, in their order.
            seed: Of the initial weights.
            name: ``query_tower`` or ``candidate_tower``.
        """
        raise NotImplementedError

    def transform(self, x: tf.Tensor) -> tf.Tensor:
        """Maps the features' vectors, float32 [batch, all their lengths], to [batch, d]."""
        raise NotImplementedError

    def call(self, raw: RawFeatures) -> tf.Tensor:
        """Returns float32 [batch, d] with rows of length 1."""
        x = tf.concat([encode(raw) for encode in self._encoders], axis=-1)
        return tf.math.l2_normalize(self.transform(x), axis=-1)

    @property
    def adaptable(self) -> list[FeatureEncoder]:
        """The encoders whose statistics must be set before the first step."""
        ours = [one for one in self._encoders if isinstance(one, FeatureEncoder)]
        return [one for one in ours if one.has_statistics]

    def adapt(self, raw: Mapping[str, np.ndarray]) -> None:
        """Sets the statistics of the features that need some from a sample of their values."""
        for encoder in self.adaptable:
            encoder.adapt(raw[encoder.name])


class MlpTower(Tower):
    """Fully connected layers.

    Args:
        feature_encoders: See ``Tower``.
        layers: Widths of the layers; ReLU after all but the last.
        seed: Of the initial weights.
        name: See ``Tower``.

    Raises:
        ValueError: Without an encoder or a layer.
    """

    def __init__(
        self,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        layers: Sequence[int],
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(feature_encoders, name=name)
        if not layers:
            raise ValueError(f"{name} needs at least one layer")
        self._layers = [
            tf.keras.layers.Dense(
                width,
                activation=None if number == len(layers) - 1 else "relu",
                kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed + number),
                name=f"dense_{number}",
            )
            for number, width in enumerate(layers)
        ]

    @classmethod
    def from_section(
        cls,
        section: TowerSection,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        seed: int,
        name: str,
    ) -> "MlpTower":
        """See ``Tower.from_section``."""
        return cls(feature_encoders, section.layers, seed, name)

    def transform(self, x: tf.Tensor) -> tf.Tensor:
        """See ``Tower.transform``."""
        for layer in self._layers:
            x = layer(x)
        return x


def build_tables(config: Config) -> dict[str, EmbeddingTable]:
    """Returns the shared embedding tables of a configuration by name."""
    return {
        name: EmbeddingTable(
            table.buckets,
            table.dim,
            vocabulary=_vocabulary(table.vocabulary),
            seed=config.seed + 1000 + number,
            name=f"table_{name}",
        )
        for number, (name, table) in enumerate(sorted(config.tables.items()))
    }


def build_tower(
    section: TowerSection, tables: Mapping[str, EmbeddingTable], seed: int, name: str
) -> Tower:
    """Returns the tower a configuration describes, on the tables given."""
    made = [
        FEATURE_KINDS.make(feature, tables, seed + 100 + number)
        for number, feature in enumerate(section.features)
    ]
    return TOWERS.make(section, made, seed, name)


def _vocabulary(given: str | BuiltVocabulary | None) -> list[str] | int:
    """Returns the ids of a file, or how many the build will give."""
    if given is None:
        return []
    if isinstance(given, BuiltVocabulary):
        return given.built
    with io.TextIOWrapper(open_input(given), encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip()]
