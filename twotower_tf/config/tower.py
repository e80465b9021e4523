"""What every kind of tower is told."""

from typing import Annotated

from pydantic import Field, field_validator

from twotower_tf.config.registries import FEATURE_KINDS
from twotower_tf.config.section import Section, Touches


class TowerSection(Section):
    """Base of the sections of ``TOWERS``: its features, and what comes of them."""

    features: Annotated[list[FEATURE_KINDS.section], Field(min_length=1), Touches.EXAMPLES]
    """What the tower sees. Names differ within a tower; a query feature may not be called ``k``
    or ``exclude_ids``."""

    @property
    def dimension(self) -> int:
        """The length of the tower's vectors; both towers must have the same."""
        raise NotImplementedError

    @field_validator("features")
    @classmethod
    def _names_once(cls, features):
        names = [feature.name for feature in features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feature names must differ, but these come twice: {', '.join(twice)}")
        return features
