"""Masks of features that say much of each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from twotower_tf.models.self_supervised.augmentation import RandomMasks
from twotower_tf.models.self_supervised.mutual_information import (
    Values,
    binned,
    listed,
    mutual_information,
    projected,
    single,
)


class CorrelatedMasks(RandomMasks):
    """One view lacks a random feature and its most correlated ones, the other has only these.

    They are half of the features, of an odd number the smaller half; correlation is the mutual
    information of the features' values in a sample of the catalogue (numbers in ten bins), and of
    two with the same the first one counts. Until there is a sample, the order of the features
    decides. Source: Yao et al. 2021, section 3.3, "correlated feature masking"; there the features
    beside the random one are half as many as all, which of few leaves a view next to nothing.

    Args:
        features: See ``Augmentation``.
        seed: See ``Augmentation``.
        sample: See ``Augmentation``.
    """

    def __init__(self, features: Sequence[str], seed: int, sample: int = 4096):
        super().__init__(features, seed)
        self.sample = sample
        groups = _groups(np.zeros([len(features)] * 2))
        # Of no checkpoint: each day's catalogue gives it anew.
        self._groups = tf.Variable(groups, trainable=False, name="correlated_features")

    @classmethod
    def from_section(cls, section: Any, features: Sequence[str], seed: int) -> "CorrelatedMasks":
        """See ``Augmentation.from_section``."""
        return cls(features, seed, section.sample)

    def set_items(self, rows: Mapping[str, Any]) -> None:
        """See ``Augmentation.set_items``."""
        self._groups.assign(_groups(self.correlations(rows)))

    def correlations(self, rows: Mapping[str, Any]) -> np.ndarray:
        """Returns float64 [k, k], the mutual information of all features, in nats.

        Args:
            rows: See ``Augmentation.set_items``.
        """
        values = [_values(rows[name], self.seed) for name in self.features]
        information = np.zeros([len(values)] * 2)
        for at, one in enumerate(values):
            for to, other in enumerate(values[: at + 1]):
                information[at, to] = information[to, at] = mutual_information(one, other)
        return information

    def kept(self, step: tf.Tensor) -> tf.Tensor:
        """See ``Augmentation.kept``."""
        drawn = tf.random.stateless_uniform(
            [], self.seed_of(step), maxval=len(self.features), dtype=tf.int32
        )
        masked = self._groups.read_value()[drawn]
        return tf.stack([tf.logical_not(masked), masked])


def _groups(correlations: np.ndarray) -> np.ndarray:
    """Returns bool [k, k]: which features are masked together with each, and itself."""
    number = len(correlations)
    others = correlations.astype(np.float64)
    np.fill_diagonal(others, np.inf)
    chosen = np.argsort(-others, axis=1, kind="stable")[:, : number // 2]
    groups = np.zeros((number, number), bool)
    np.put_along_axis(groups, chosen, True, axis=1)
    return groups


def _values(rows: Any, seed: int) -> Values:
    """Returns the values that an encoder's ``rows`` stand for; of a nest its first part's."""
    part = tf.nest.flatten(rows)[0]
    if isinstance(part, tf.RaggedTensor):
        return listed(part.flat_values.numpy(), part.row_splits.numpy())
    numbers = part.numpy()
    if numbers.ndim > 1:
        return projected(numbers.reshape(len(numbers), -1), seed)
    return binned(numbers) if np.issubdtype(numbers.dtype, np.floating) else single(numbers)
