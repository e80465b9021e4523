"""What the configuration says of each kind of tower."""

from typing import Annotated, Literal

from pydantic import Field

from twotower_tf.config.registries import TOWERS
from twotower_tf.config.section import Positive
from twotower_tf.config.tower import TowerSection


@TOWERS.made_by("twotower_tf.models.towers:MlpTower")
class MlpTowerSection(TowerSection):
    """The features side by side, then fully connected layers, ReLU after all but the last."""

    kind: Literal["mlp"] = "mlp"
    layers: Annotated[list[Positive], Field(min_length=1)]
    """Widths of the layers. The last is the length of the embedding, which is normalised to 1."""

    @property
    def dimension(self) -> int:
        """See ``TowerSection``."""
        return self.layers[-1]
