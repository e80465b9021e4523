"""What the configuration says of each loss: a section a ``kind``, which refuses what isn't its own.

What each computes is told in ``docs/losses.md`` and in the file of its name in ``models/losses``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twotower_tf.config.registries import LOSSES
from twotower_tf.config.section import Positive, Section

Temperature = Annotated[float, Field(gt=0.0)]


class SoftmaxLoss(Section):
    """A softmax loss: ``temperature``, tau, divides the cosine."""

    temperature: Temperature = 0.05


class CosineLoss(Section):
    """A loss of the cosine itself: nothing divides it, so ``temperature`` is None, and no key."""

    temperature: ClassVar[None] = None


class CorrectedSoftmaxLoss(SoftmaxLoss):
    """Sampling-bias-corrected, over the distinct items of a batch."""

    kind: Literal["corrected_softmax"] = "corrected_softmax"


class CorrectedSoftmaxByExampleLoss(SoftmaxLoss):
    """Sampling-bias-corrected, every example a candidate, as published."""

    kind: Literal["corrected_softmax_by_example"]


class CorrectedSoftmaxByExampleMaskedLoss(SoftmaxLoss):
    """The same without accidental hits: copies of an example's item are not its negatives."""

    kind: Literal["corrected_softmax_by_example_masked"]


class PlainSoftmaxLoss(SoftmaxLoss):
    """Not corrected: every example a candidate."""

    kind: Literal["plain_softmax"]


class RefinedSoftmaxLoss(SoftmaxLoss):
    """Corrected, with the positive counted as certain instead of sampled."""

    kind: Literal["refined_softmax"]


class MixedSoftmaxLoss(SoftmaxLoss):
    """Corrected, over the batch's items and ``negatives`` uniform draws from the catalogue."""

    kind: Literal["mixed_softmax"]
    negatives: Positive = 1024


class MseGramianLoss(CosineLoss):
    """Squared error of <u, v> against the reward, plus ``gravity`` times <G_u, G_v>.

    ``rate`` is the weight of the newest batch in the moving averages of the Gramians.
    """

    kind: Literal["mse_gramian"]
    gravity: Annotated[float, Field(ge=0.0)] = 1.0
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01


class PointwiseLoss(CosineLoss):
    """Cosine towards +1 for positives, towards -1 for ``negatives`` other items of the batch."""

    kind: Literal["pointwise"]
    negatives: Literal[2, 3] = 2


class PairwiseHingeLoss(CosineLoss):
    """The positive's cosine above every other's by at least ``margin``."""

    kind: Literal["pairwise_hinge"]
    margin: Annotated[float, Field(gt=0.0, le=2.0)] = 0.2


LOSSES.add(CorrectedSoftmaxLoss, "twotower_tf.models.losses.corrected_softmax:CorrectedSoftmax")
LOSSES.add(
    CorrectedSoftmaxByExampleLoss,
    "twotower_tf.models.losses.corrected_softmax_by_example:CorrectedSoftmaxByExample",
)
LOSSES.add(
    CorrectedSoftmaxByExampleMaskedLoss,
    "twotower_tf.models.losses.corrected_softmax_by_example_masked:CorrectedSoftmaxByExampleMasked",
)
LOSSES.add(PlainSoftmaxLoss, "twotower_tf.models.losses.plain_softmax:PlainSoftmax")
LOSSES.add(RefinedSoftmaxLoss, "twotower_tf.models.losses.refined_softmax:RefinedSoftmax")
LOSSES.add(MixedSoftmaxLoss, "twotower_tf.models.losses.mixed_softmax:MixedSoftmax")
LOSSES.add(MseGramianLoss, "twotower_tf.models.losses.mse_gramian:MseGramian")
LOSSES.add(PointwiseLoss, "twotower_tf.models.losses.pointwise:Pointwise")
LOSSES.add(PairwiseHingeLoss, "twotower_tf.models.losses.pairwise_hinge:PairwiseHinge")
