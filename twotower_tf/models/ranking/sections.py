"""What the configuration says of what a ranking model's heads have in common."""

from typing import ClassVar, Literal

from twotower_tf.config.registries import BOTTOMS
from twotower_tf.config.section import Positive, Section

_HERE = "twotower_tf.models.ranking"


class BottomSection(Section):
    """Base of the bottoms' sections.

    Attributes:
        needs_layers: Whether ``ranking.layers`` may not be empty.
    """

    needs_layers: ClassVar[bool] = False


@BOTTOMS.made_by(f"{_HERE}.shared_bottom:SharedBottom")
class SharedBottomSection(BottomSection):
    """One stack of ``ranking.layers``, which all heads see."""

    kind: Literal["shared"] = "shared"


@BOTTOMS.made_by(f"{_HERE}.mixture_of_experts:MixtureOfExperts")
class MixtureOfExpertsSection(BottomSection):
    """Several stacks of ``ranking.layers``, of which each head has a mixture of its own.

    Multi-gate mixture-of-experts (Ma et al. 2018; Zhao et al. 2019): for heads that want different
    things.

    ```yaml
    ranking:
      bottom: {kind: mmoe, experts: 4}
      heads: {click: {weight: 0.5}}
    ```
    """

    needs_layers: ClassVar[bool] = True

    kind: Literal["mmoe"]
    experts: Positive = 4
    """How many stacks."""
