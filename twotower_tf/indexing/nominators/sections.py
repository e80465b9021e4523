"""What the configuration says of each kind of nominator; docs/nominators.md tells when which."""

from typing import ClassVar, Literal

from twotower_tf.config.examples import why_no_own_items
from twotower_tf.config.nominators import NominatorSection
from twotower_tf.config.registries import NOMINATORS


@NOMINATORS.made_by("twotower_tf.indexing.nominators.nominator:nothing_beside")
class IndexNominatorSection(NominatorSection):
    """The items whose vectors are nearest to the query's. It is always one of the nominators."""

    kind: Literal["index"] = "index"


@NOMINATORS.made_by("twotower_tf.indexing.nominators.own_items:OwnItems")
class OwnItemsSection(NominatorSection):
    """What the user acted on before, by how often and how long ago: where repeats are normal.

    A request then brings the user's own items (``own_item_ids``, ``own_counts``, ``own_days``).
    It needs ``examples.own_length``, and histories that the build makes.
    """

    inputs: ClassVar[tuple[str, ...]] = ("own_item_ids", "own_counts", "own_days")
    kind: Literal["own_items"] = "own_items"

    def check(self, config) -> None:
        """See ``NominatorSection``."""
        why_not = why_no_own_items(config)
        if why_not is not None:
            raise ValueError(why_not)
