"""What the configuration says of each loss, and which class computes it.

What each computes is told in ``docs/losses.md`` and in the docstring of its class.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from twotower_tf.config.registries import LOSSES
from twotower_tf.config.section import NotNegative, Section

_IN_BATCH = "twotower_tf.models.losses.in_batch"
_COSINE = "twotower_tf.models.losses.cosine"


class LossSection(Section):
    """Base of our losses' sections.

    Attributes:
        uniform_negatives: Whether the loss takes ``negatives.uniform``.
        query_negatives: Whether it takes ``negatives.explicit`` and ``negatives.hard``.
    """

    uniform_negatives: ClassVar[bool] = False
    query_negatives: ClassVar[bool] = False


class LearnedTemperatureSection(Section):
    """The temperature is a weight of the model, learnt with the others.

    ```yaml
    loss: {kind: refined_softmax, temperature: {learned: true, start: 0.07}}
    ```
    """

    learned: Literal[True]
    """Says that it is learnt."""
    start: Annotated[float, Field(gt=0.0)] = 0.07
    """Before the first step."""
    least: Annotated[float, Field(gt=0.0)] = 0.01
    """It goes no lower."""
    most: Annotated[float, Field(gt=0.0)] = 1.0
    """It goes no higher."""

    @model_validator(mode="after")
    def _check_bounds(self):
        if not self.least <= self.start <= self.most:
            raise ValueError(
                f"start must lie between least and most, got {self.start:g}, "
                f"{self.least:g} and {self.most:g}"
            )
        return self


def _kind_of_temperature(value) -> str:
    return "learned" if isinstance(value, dict | LearnedTemperatureSection) else "number"


_Temperature = Annotated[
    Annotated[float, Field(gt=0.0), Tag("number")]
    | Annotated[LearnedTemperatureSection, Tag("learned")],
    Discriminator(_kind_of_temperature),
]


class SoftmaxSection(LossSection):
    """Base of the softmax losses' sections."""

    query_negatives: ClassVar[bool] = True

    temperature: Annotated[_Temperature, Field(title="number > 0, or section")] = 0.07
    """Divides the cosine. ``{learned: true}``: it is learnt, see below."""


@LOSSES.made_by(f"{_IN_BATCH}:CorrectedSoftmax")
class CorrectedSoftmaxSection(SoftmaxSection):
    """Sampling-bias-corrected, over the distinct items of a batch."""

    kind: Literal["corrected_softmax"] = "corrected_softmax"


@LOSSES.made_by(f"{_IN_BATCH}:CorrectedSoftmaxByExample")
class CorrectedSoftmaxByExampleSection(SoftmaxSection):
    """Sampling-bias-corrected, every example a candidate, as published."""

    kind: Literal["corrected_softmax_by_example"] = "corrected_softmax_by_example"


@LOSSES.made_by(f"{_IN_BATCH}:CorrectedSoftmaxByExampleMasked")
class CorrectedSoftmaxByExampleMaskedSection(SoftmaxSection):
    """The same without accidental hits: copies of an example's item are not its negatives."""

    kind: Literal["corrected_softmax_by_example_masked"] = "corrected_softmax_by_example_masked"


@LOSSES.made_by(f"{_IN_BATCH}:PlainSoftmax")
class PlainSoftmaxSection(SoftmaxSection):
    """Not corrected: every example a candidate."""

    kind: Literal["plain_softmax"] = "plain_softmax"


@LOSSES.made_by("twotower_tf.models.losses.refined_softmax:RefinedSoftmax")
class RefinedSoftmaxSection(SoftmaxSection):
    """Corrected, with the positive counted as certain instead of sampled."""

    kind: Literal["refined_softmax"] = "refined_softmax"


@LOSSES.made_by(f"{_IN_BATCH}:MixedSoftmax")
class MixedSoftmaxSection(SoftmaxSection):
    """Corrected, over the batch's items and uniform draws from the catalogue."""

    uniform_negatives: ClassVar[bool] = True

    kind: Literal["mixed_softmax"] = "mixed_softmax"


@LOSSES.made_by("twotower_tf.models.losses.mse_gramian:MseGramian")
class MseGramianSection(LossSection):
    """Squared error of <u, v> against the reward, and <u, v> near 0 for all other pairs."""

    kind: Literal["mse_gramian"] = "mse_gramian"
    gravity: NotNegative = 1.0
    """The weight of the mean square over all pairs."""
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    """The weight of the newest batch in the moving averages."""


@LOSSES.made_by(f"{_COSINE}:Pointwise")
class PointwiseSection(LossSection):
    """Cosine towards +1 for positives, towards -1 for other items of the batch."""

    kind: Literal["pointwise"] = "pointwise"
    negatives: Literal[2, 3] = 2
    """Other items of the batch per example."""


@LOSSES.made_by(f"{_COSINE}:PairwiseHinge")
class PairwiseHingeSection(LossSection):
    """The positive's cosine above every other's."""

    kind: Literal["pairwise_hinge"] = "pairwise_hinge"
    margin: Annotated[float, Field(gt=0.0, le=2.0)] = 0.2
    """By at least so much."""
