"""What the configuration says of each history encoder (``encoder`` of a feature)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from twotower_tf.config.registries import HISTORY_ENCODERS
from twotower_tf.config.section import Positive, Section, Touches


def _each_once(types: list[str]) -> list[str]:
    for number, one in enumerate(types):
        if one in types[:number]:
            raise ValueError(f"'{one}' is listed twice")
    return types


@HISTORY_ENCODERS.made_by("twotower_tf.models.history.mean:Mean")
class MeanHistory(Section):
    """The mean of the items: taste as a whole. The cheapest; order plays no part."""

    kind: Literal["mean"]


@HISTORY_ENCODERS.made_by("twotower_tf.models.history.mean:Sum")
class SumHistory(Section):
    """The sum of the items: as the mean, but longer histories weigh more beside the rest."""

    kind: Literal["sum"]


class EventsHistory(Section):
    """An encoder that may know of the past events more than which item each was of."""

    times: bool = False
    """Whether it knows how long ago each item was acted on: examples then hold it, and requests
    give it as ``<name>_days``, in days before now."""
    types: Annotated[list[str], AfterValidator(_each_once)] = Field(default_factory=list)
    """What events may be, by ``source.events.columns.event_type``: it learns how much each says,
    and all that are not listed together. Histories and examples then hold the events' types, and
    requests give them as ``<name>_types``. Empty: it doesn't know them."""
    dwell: bool = False
    """Whether it knows how long each event lasted, by ``source.events.columns.dwell``: histories
    and examples then hold it, and requests give it as ``<name>_dwell``."""


@HISTORY_ENCODERS.made_by("twotower_tf.models.history.recency:Recency")
class RecencyHistory(EventsHistory):
    """The mean with a learnt weight for each place from the end: the default.

    For short sessions and long tastes alike, at nearly the cost of the mean.
    """

    kind: Literal["recency"]
    length: Annotated[Positive, Touches.MODEL] = 50
    """So many places from the end have a weight of their own, all before them share one."""


@HISTORY_ENCODERS.made_by("twotower_tf.models.history.attention:Attention")
class AttentionHistory(EventsHistory):
    """The mean with weights that the items themselves decide, beside their places.

    When some items say much of what comes next and others little.
    """

    kind: Literal["attention"]
    length: Annotated[Positive, Touches.MODEL] = 50
    """So many places from the end have a weight of their own, all before them share one."""
    hidden: Annotated[Positive, Touches.MODEL] = 64
    """Width of the layer that scores an item."""


@HISTORY_ENCODERS.made_by("twotower_tf.models.history.gru:Gru")
class GruHistory(EventsHistory):
    """A gated recurrent unit over the items in order: when the order itself tells.

    Needs several passes and long data; costs a step for each place.
    """

    kind: Literal["gru"]
    length: Annotated[Positive, Touches.MODEL] = 50
    """It reads the newest so many items."""


@HISTORY_ENCODERS.made_by("twotower_tf.models.history.transformer:Transformer")
class TransformerHistory(EventsHistory):
    """Causal self-attention over the items and their places, read at the last one (SASRec).

    When what comes next depends on several items together; needs several passes and much data.
    """

    kind: Literal["transformer"]
    length: Annotated[Positive, Touches.MODEL] = 50
    """It reads the newest so many items."""
    blocks: Annotated[Positive, Touches.MODEL] = 1
    """How many blocks, each of attention and a dense layer."""
    heads: Annotated[Positive, Touches.MODEL] = 1
    """Heads of each attention; they divide the length of an item's vector."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0), Touches.NOTHING] = 0.2
    """Share of a block's outputs dropped while training."""
