"""The item tower's second loss: which of an item's features its two views are made of."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from twotower_tf.config.registries import AUGMENTATIONS
from twotower_tf.config.registry import named
from twotower_tf.config.section import LARGEST, Section

_AboveZero = Annotated[float, Field(gt=0.0)]


class AugmentationSection(Section):
    """Base of the sections of ``AUGMENTATIONS``.

    Attributes:
        masks: Whether a view lacks whole features; if not, only values of lists tell views apart.
    """

    masks: ClassVar[bool] = True


class SelfSupervised(Section):
    """A contrastive loss of items alone, beside the loss of the examples.

    Two views of each item, of different features, are to be nearer to each other than to views of
    other items. The items are drawn uniformly from the catalogue, whether anybody acted on them or
    not: so those of which the log says little learn from their features. [model.md](model.md) says
    what it is worth. Source: Yao et al. 2021.

    ```yaml
    self_supervised: {augmentation: correlated, weight: 0.1, temperature: 0.1}
    ```
    """

    augmentation: Annotated[AUGMENTATIONS.section, BeforeValidator(named)] = Field(
        default_factory=dict, validate_default=True
    )
    """What the views are made of: a section, or the name of a kind alone."""
    weight: _AboveZero = 0.1
    """What the loss is multiplied by before it is added to the loss of the examples."""
    temperature: _AboveZero = 0.1
    """What the cosines of views are divided by."""
    batch_size: Annotated[int, Field(ge=2, le=LARGEST, strict=True)] = 256
    """Items drawn with each batch of examples."""
    value_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """The share of the ids or words of each list that a view lacks, drawn for each view anew."""


def check_self_supervised(config) -> None:
    """Checks that the views of a deployment's items differ; ValueError if they would not."""
    section = config.self_supervised
    if section is None:
        return
    kind, features = section.augmentation.kind, config.candidate.features
    if section.augmentation.masks and len(features) < 2:
        raise ValueError(
            f"self_supervised.augmentation: '{kind}' divides the candidate's features between two "
            "views, and there is one; give it another feature, or choose 'dropout'"
        )
    if not section.augmentation.masks and not section.value_dropout:
        raise ValueError(
            f"self_supervised.value_dropout: with the augmentation '{kind}' views differ by it "
            "alone, it must be above 0"
        )
