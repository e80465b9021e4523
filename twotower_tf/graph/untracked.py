"""Keeps something out of what a layer or model owns, and so out of its checkpoints."""

from typing import Any


class Untracked:
    """Holds a variable, layer or module of somebody else's, which Keras then does not find.

    Attributes:
        value: What is held.
    """

    def __init__(self, value: Any):
        self.value = value
