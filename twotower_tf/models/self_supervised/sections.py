"""What the configuration says of each augmentation (``self_supervised.augmentation``)."""

from typing import ClassVar, Literal

from twotower_tf.config.registries import AUGMENTATIONS
from twotower_tf.config.section import Positive
from twotower_tf.config.self_supervised import AugmentationSection


@AUGMENTATIONS.made_by("twotower_tf.models.self_supervised.correlated:CorrelatedMasks")
class CorrelatedMasksSection(AugmentationSection):
    """One view lacks a feature and those most correlated with it, the other view has only these.

    What one feature says, its correlated ones say too; masked at random, a view would be told by
    such a pair, and learn nothing else. Correlation is mutual information within the catalogue.
    """

    kind: Literal["correlated"] = "correlated"
    sample: Positive = 4096
    """The mutual information is that of at most so many items of the catalogue, the same for the
    same catalogue."""


@AUGMENTATIONS.made_by("twotower_tf.models.self_supervised.augmentation:RandomMasks")
class RandomMasksSection(AugmentationSection):
    """One view lacks a random half of the features, the other view has only this half."""

    kind: Literal["random"] = "random"


@AUGMENTATIONS.made_by("twotower_tf.models.self_supervised.augmentation:WholeItems")
class ValueDropoutSection(AugmentationSection):
    """Both views have all features; they differ by ``value_dropout`` and the tower's dropout."""

    masks: ClassVar[bool] = False

    kind: Literal["dropout"] = "dropout"
