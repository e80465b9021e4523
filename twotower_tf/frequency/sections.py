"""What the configuration says of each frequency estimator."""

from typing import Annotated, Literal

from pydantic import Field

from twotower_tf.config.registries import ESTIMATORS
from twotower_tf.config.section import Positive, Section


class SketchSection(Section):
    """Base of the estimators' sections: size H, m hash functions, rate alpha, first gap."""

    buckets: Positive = 1_000_000
    """Buckets of 8 bytes per hash function."""
    hashes: Annotated[int, Field(ge=1, le=16)] = 1
    """Hash functions."""
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    """The weight of the newest gap in the moving average (of ``adaptive``: the least weight)."""
    initial_gap: Annotated[float, Field(ge=1.0)] = 100.0
    """The gap, in steps, assumed of an item never seen."""


@ESTIMATORS.made_by("twotower_tf.frequency.adaptive:AdaptiveFrequencyEstimator")
class AdaptiveEstimatorSection(SketchSection):
    """Ours: knows its items, averages plainly at first, notices jumps."""

    kind: Literal["adaptive"] = "adaptive"


@ESTIMATORS.made_by("twotower_tf.frequency.estimator:StreamingFrequencyEstimator")
class PaperEstimatorSection(SketchSection):
    """Algorithms 2 and 3 of Yi et al. 2019 to the letter."""

    kind: Literal["paper"] = "paper"
