"""A temperature that is learnt with the model."""

import math

import tensorflow as tf


class LearnedTemperature(tf.Module):
    """tau = exp(theta), of which theta is a weight like any other, kept within bounds.

    Its logarithm is learnt, so that a step of the optimiser changes tau by a share of itself and
    tau stays positive (CLIP, Radford et al., ICML 2021, section 2.4). After each step theta is put
    back between its bounds: a temperature near 0 makes logits that overflow, and one that has gone
    past a bound would have no gradient to come back by.

    Args:
        start: tau before the first step.
        least: The lowest tau.
        most: The highest tau.

    Raises:
        ValueError: If not 0 < least <= start <= most < infinity.

    >>> import twotower_tf
    >>> temperature = LearnedTemperature(start=0.1, least=0.01, most=1.0)
    >>> print(f"{float(temperature):.2f}")
    0.10
    """

    def __init__(self, start: float, least: float, most: float):
        super().__init__(name="temperature")
        if not 0.0 < least <= start <= most < float("inf"):
            raise ValueError(
                "a learned temperature needs 0 < least <= start <= most, "
                f"got {least!r}, {start!r} and {most!r}"
            )
        low, high = math.log(least), math.log(most)
        self.logarithm = tf.Variable(
            math.log(start),
            dtype=tf.float32,
            name="log_temperature",
            constraint=lambda theta: tf.clip_by_value(theta, low, high),
        )

    def __call__(self) -> tf.Tensor:
        """Returns tau, a scalar with a gradient to theta."""
        return tf.exp(self.logarithm)

    def __float__(self) -> float:
        """Returns tau as it is now; outside of a graph."""
        return float(self())
