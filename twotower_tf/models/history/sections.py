"""What the configuration says of each history encoder (``encoder`` of a feature)."""

from typing import Annotated, Literal

from pydantic import Field

from twotower_tf.config.registries import HISTORY_ENCODERS
from twotower_tf.config.section import Positive, Section

_HERE = "twotower_tf.models.history"


class MeanHistory(Section):
    """The mean of the items: taste as a whole. The cheapest; order plays no part."""

    kind: Literal["mean"]


class SumHistory(Section):
    """The sum of the items: as the mean, but longer histories weigh more beside the rest."""

    kind: Literal["sum"]


class RecencyHistory(Section):
    """The mean with a learnt weight for each place from the end: the default.

    For short sessions and long tastes alike, at nearly the cost of the mean.
    """

    kind: Literal["recency"]


class AttentionHistory(Section):
    """The mean with weights that the items themselves decide, beside their places.

    When some items say much of what comes next and others little.
    """

    kind: Literal["attention"]
    hidden: Positive = Field(64, description="Width of the layer that scores an item.")


class GruHistory(Section):
    """A gated recurrent unit over the items in order: when the order itself tells.

    Needs several passes and long data; costs a step for each place.
    """

    kind: Literal["gru"]


class TransformerHistory(Section):
    """Causal self-attention over the items and their places, read at the last one (SASRec).

    When what comes next depends on several items together; needs several passes and much data.
    """

    kind: Literal["transformer"]
    blocks: Positive = Field(1, description="How many blocks of attention and a dense layer.")
    heads: Positive = Field(1, description="Heads of each attention; they divide the width.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.2, description="Share of a block's outputs dropped while training."
    )


HISTORY_ENCODERS.add(MeanHistory, f"{_HERE}.mean:Mean")
HISTORY_ENCODERS.add(SumHistory, f"{_HERE}.mean:Sum")
HISTORY_ENCODERS.add(RecencyHistory, f"{_HERE}.recency:Recency")
HISTORY_ENCODERS.add(AttentionHistory, f"{_HERE}.attention:Attention")
HISTORY_ENCODERS.add(GruHistory, f"{_HERE}.gru:Gru")
HISTORY_ENCODERS.add(TransformerHistory, f"{_HERE}.transformer:Transformer")
