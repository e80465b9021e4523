"""Augmentations: which features each of an item's two views has."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf


class Augmentation:
    """Base of the augmentations: says which features the two views of a batch's items have.

    All items of a batch have views of the same features, so that no view is told from the others
    by what it is made of (Yao et al. 2021, section 3.3). A feature that a view lacks is a vector of
    zeros, which is what an empty list or a missing vector is to the tower already: a learnt
    default would be a weight that only this loss sees.

    A subclass defines ``kept``.

    Args:
        features: The names of the candidate's features, k of them.
        seed: Of the draws.

    Attributes:
        sample: Of how many items of the catalogue ``set_items`` is to be given the rows; 0: none.
    """

    sample: int = 0

    def __init__(self, features: Sequence[str], seed: int):
        self.features, self.seed = list(features), seed

    @classmethod
    def from_section(cls, section: Any, features: Sequence[str], seed: int) -> "Augmentation":
        """Builds the augmentation that a section of the configuration describes."""
        return cls(features, seed)

    def set_items(self, rows: Mapping[str, Any]) -> None:
        """Takes a sample of the catalogue's items, before the first step on a day.

        Args:
            rows: By feature what its encoder's ``rows`` returns.
        """

    def kept(self, step: tf.Tensor) -> tf.Tensor:
        """Returns bool [2, k]: which features the views have.

        Args:
            step: int64 scalar, the number of the training step, which all draws depend on.
        """
        raise NotImplementedError

    def seed_of(self, step: tf.Tensor) -> tf.Tensor:
        """Returns int64 [2], the seed of a step's stateless draws."""
        return tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])


class RandomMasks(Augmentation):
    """One view lacks a random half of the features, the other view has only this half.

    Of an odd number the half is the smaller one. Source: Yao et al. 2021, section 3.3, "random
    feature masking", with the complement as the other view.

    Raises:
        ValueError: For less than two features.
    """

    def __init__(self, features: Sequence[str], seed: int):
        super().__init__(features, seed)
        if len(features) < 2:
            raise ValueError(f"masks need at least two features, got {len(features)}")

    def kept(self, step: tf.Tensor) -> tf.Tensor:
        """See ``Augmentation.kept``."""
        number = len(self.features)
        order = tf.argsort(tf.random.stateless_uniform([number], self.seed_of(step)), stable=True)
        half = tf.range(number) < number // 2
        masked = tf.scatter_nd(order[:, tf.newaxis], half, [number])
        return tf.stack([tf.logical_not(masked), masked])


class WholeItems(Augmentation):
    """Both views have all features."""

    def kept(self, step: tf.Tensor) -> tf.Tensor:
        """See ``Augmentation.kept``."""
        return tf.ones([2, len(self.features)], tf.bool)
