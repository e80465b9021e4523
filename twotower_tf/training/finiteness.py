"""Whether training has spoilt a model: a loss or weights that are not finite, and what to do."""

import math
from typing import Any

import tensorflow as tf


def what_is_wrong(what: str, loss: float, model: tf.keras.Model) -> str | None:
    """Says what is not finite after training, None if all is.

    Args:
        what: It was trained on, for the message.
        loss: The mean over its examples.
        model: As it is now. Its last step may have spoilt what no loss has seen yet.
    """
    if not math.isfinite(loss):
        return f"the loss of {what} is {loss}"
    for weight in model.trainable_variables:
        # A sum with infinities or NaN in it is one itself.
        if not math.isfinite(float(tf.reduce_sum(weight))):
            return f"after {what} the weight {weight.name} is not finite"
    return None


def calmer(section: Any, path: str) -> str:
    """Returns how to train more carefully, in the same work directory.

    Args:
        section: Of the optimiser.
        path: Where it is in the configuration.
    """
    flags = f"--set {path}.learning_rate={section.learning_rate / 10:g}"
    if getattr(section, "clipnorm", 0) is None:
        flags += f", or --set {path}.clipnorm=1"
    return f"run it again with {flags} (the rate is {section.learning_rate:g})"
