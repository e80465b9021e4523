"""What the configuration says of each kind of index; docs/index.md compares them."""

from typing import ClassVar, Literal

from twotower_tf.config.index import IndexSection
from twotower_tf.config.registries import INDEX_KINDS
from twotower_tf.config.section import Positive

_KINDS = "twotower_tf.indexing.kinds"


@INDEX_KINDS.made_by(f"{_KINDS}.indexes:chosen_index")
class AutoSection(IndexSection):
    """Brute force for few items, where it is as fast and exact, ``scann`` for more."""

    kind: Literal["auto"] = "auto"
    brute_force_below: Positive = 20_000
    """From so many items on it is ``scann``."""

    def chosen_for(self, items: int) -> str:
        """See ``IndexSection``."""
        return "brute_force" if items < self.brute_force_below else "scann"


@INDEX_KINDS.made_by(f"{_KINDS}.indexes:BruteForceIndex")
class BruteForceSection(IndexSection):
    """Exact: every item is scored."""

    kind: Literal["brute_force"] = "brute_force"


@INDEX_KINDS.made_by(f"{_KINDS}.scann_index:ScannIndex")
class ScannSection(IndexSection):
    """ScaNN, the fastest; who serves it needs ScaNN's operations. Below 16 items brute force."""

    # It learns 16 code words per block of dimensions and crashes the process with fewer items.
    fewest_items: ClassVar[int] = 16
    # Registers the operations.
    needs_modules: ClassVar[tuple[str, ...]] = ("scann",)
    operations: ClassVar[tuple[str, ...]] = ("Scann",)
    kind: Literal["scann"] = "scann"


@INDEX_KINDS.made_by(f"{_KINDS}.portable_index:PortableIndex")
class PortableSection(IndexSection):
    """Needs nothing but TensorFlow where it is served. Below 256 items brute force."""

    # With fewer there are not enough partitions to leave any out.
    fewest_items: ClassVar[int] = 256
    kind: Literal["portable"] = "portable"
