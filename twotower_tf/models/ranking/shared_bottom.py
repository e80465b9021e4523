"""One stack of layers that all heads see."""

from collections.abc import Sequence

import tensorflow as tf

from twotower_tf.models.ranking.bottom import Bottom, Stack


class SharedBottom(Bottom):
    """All heads see the same (Caruana 1997, "Multitask Learning").

    Args:
        widths: Of the ReLU layers.
        heads: How many there are.
        seed: Of the initial weights.
    """

    def __init__(self, widths: Sequence[int], heads: int, seed: int, name: str | None = None):
        super().__init__(name=name)
        self._heads, self._stack = heads, Stack(widths, seed, name="stack")

    @classmethod
    def from_section(cls, section, layers, heads, seed, name):
        """See ``Bottom``."""
        return cls(layers, heads, seed, name)

    def call(self, query: tf.Tensor, candidates: tf.Tensor) -> list[tf.Tensor]:
        """See ``Bottom``."""
        return [self._stack(query, candidates)] * self._heads
