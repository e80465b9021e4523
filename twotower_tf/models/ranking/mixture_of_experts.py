"""Several stacks of layers, of which each head has a mixture of its own."""

from collections.abc import Sequence

import tensorflow as tf

from twotower_tf.models.ranking.bottom import Bottom, Stack
from twotower_tf.models.ranking.split_dense import SplitDense


class MixtureOfExperts(Bottom):
    """Head k sees sum_e g_ke f_e(x), g_k = softmax(W_k x) (Ma et al., KDD 2018, equations 5, 6).

    The gates see what the experts see: query and candidate side by side.

    Args:
        widths: Of each expert's ReLU layers, at least one.
        heads: How many there are.
        experts: How many stacks.
        seed: Of the initial weights.
    """

    def __init__(
        self, widths: Sequence[int], heads: int, experts: int, seed: int, name: str | None = None
    ):
        super().__init__(name=name)
        if not widths:
            raise ValueError("experts need at least one layer")
        self._experts = [
            Stack(widths, seed + 100 * (number + 1), name=f"expert_{number}")
            for number in range(experts)
        ]
        self._gates = [
            SplitDense(experts, seed + 2 * number, name=f"gate_{number}") for number in range(heads)
        ]

    @classmethod
    def from_section(cls, section, layers, heads, seed, name):
        """See ``Bottom``."""
        return cls(layers, heads, section.experts, seed, name)

    def call(self, query: tf.Tensor, candidates: tf.Tensor) -> list[tf.Tensor]:
        """See ``Bottom``."""
        experts = tf.stack([expert(query, candidates) for expert in self._experts], axis=-2)
        gates = [tf.nn.softmax(gate((query, candidates)), axis=-1) for gate in self._gates]
        return [tf.reduce_sum(gate[..., tf.newaxis] * experts, axis=-2) for gate in gates]
