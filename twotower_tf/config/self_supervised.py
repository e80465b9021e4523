"""The item tower's second loss: which of an item's features its two views are made of."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from twotower_tf.config.registries import AUGMENTATIONS
from twotower_tf.config.registry import named
from twotower_tf.config.section import LARGEST, Section, nearest

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
    not. It may help items of few examples; [model.md](model.md#items-of-few-examples) has what was
    measured. Source: Yao et al. 2021.

    ```yaml
    self_supervised: {augmentation: correlated, weight: 0.1, temperature: 0.1}
    ```
    """

    augmentation: Annotated[AUGMENTATIONS.section, BeforeValidator(named)] = Field(
        default_factory=dict, validate_default=True
    )
    """What the views are made of: a section, or the name of a kind alone."""
    features: Annotated[list[str] | None, Field(min_length=1)] = None
    """The candidate's features that the views are made of; the others are in none. By default all
    but the item's own id: it tells an item from all others at once, and says nothing of it."""
    weight: _AboveZero = 0.1
    """What the loss is multiplied by before it is added to the loss of the examples."""
    temperature: _AboveZero = 0.1
    """What the cosines of views are divided by."""
    batch_size: Annotated[int, Field(ge=2, le=LARGEST, strict=True)] = 256
    """Items drawn with each batch of examples."""
    value_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """The share of the ids or words of each list that a view lacks, drawn for each view anew."""

    def names(self, config) -> list[str]:
        """Returns ``features``, or what they are by default in a deployment."""
        if self.features is not None:
            return self.features
        item_id = config.source.items.columns.item_id
        return [one.name for one in config.candidate.features if one.column != item_id]


def check_self_supervised(config) -> None:
    """Checks that the views of a deployment's items differ; ValueError if they would not."""
    section = config.self_supervised
    if section is None:
        return
    kind, names = section.augmentation.kind, section.names(config)
    known = [one.name for one in config.candidate.features]
    for number, name in enumerate(names):
        if name not in known or name in names[:number]:
            raise ValueError(
                f"self_supervised.features: '{name}' must be one of the candidate's features, each "
                f"once: {', '.join(known)}{nearest(name, known)}"
            )
    fewest = 2 if section.augmentation.masks else 1
    if len(names) < fewest:
        raise ValueError(
            f"self_supervised.augmentation: '{kind}' needs at least {fewest} features of the "
            f"candidate beside its id, or named in self_supervised.features; got {len(names)}"
        )
    if not section.augmentation.masks and not section.value_dropout:
        raise ValueError(
            f"self_supervised.value_dropout: with the augmentation '{kind}' views differ by it "
            "alone, it must be above 0"
        )
