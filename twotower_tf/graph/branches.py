"""Branches of the graph that are seldom taken."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def rarely(condition: tf.Tensor, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """Does what ``tf.cond`` does, for a condition that seldom holds.

    A session puts both branches of a condition into its one graph, and marks each operation of the
    one that is not taken as not to be run: of a long branch that costs more than a short one that
    is. Here the rare branch stays a function, one operation; taken, it costs a call.

    Args:
        condition: bool scalar.
        then, otherwise: Return the same structure of tensors of the same types.
    """
    apart = tf.function(then, autograph=False, experimental_attributes={"_noinline": True})
    return tf.cond(condition, apart, otherwise)
