"""What the configuration says of each optimiser."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twotower_tf.config.registries import OPTIMIZERS
from twotower_tf.config.section import NotNegative, Section

_MAKERS = "twotower_tf.training.optimizers"


class OptimizerSection(Section):
    """Base of the optimisers' sections.

    Attributes:
        slots: How many numbers are kept for each weight beside it.
    """

    slots: ClassVar[int]

    learning_rate: Annotated[float, Field(gt=0.0)] = 0.1
    """How far a step goes."""


class KerasOptimizerSection(OptimizerSection):
    """Base of the sections of Keras' own."""

    clipnorm: Annotated[float | None, Field(gt=0.0)] = None
    """The gradient of a weight, of a table that of the rows of each look-up, is made no longer than
    this (its L2 norm), so that no batch throws the model off. Without it there is no limit."""


@OPTIMIZERS.made_by(f"{_MAKERS}:adagrad")
class AdagradSection(KerasOptimizerSection):
    """Adagrad: each weight's rate falls with the squared gradients it has had."""

    slots: ClassVar[int] = 1

    kind: Literal["adagrad"] = "adagrad"
    layer_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Weights that every batch moves, those of layers, go at so much of the rate; rows of tables,
    which few batches touch, at all of it. 1: all alike, as in Keras."""
    initial_accumulator: NotNegative = 1e-6
    """Where the sums of squared gradients start. The loss is a mean over the batch, so an
    embedding's gradients are of the order of 1 / batch: from the usual 0.1, rows that are seen a
    few times hardly move."""


@OPTIMIZERS.made_by(f"{_MAKERS}:adam")
class AdamSection(KerasOptimizerSection):
    """Keras' Adam, with its own momenta."""

    slots: ClassVar[int] = 2

    kind: Literal["adam"] = "adam"


@OPTIMIZERS.made_by(f"{_MAKERS}:sgd")
class SgdSection(KerasOptimizerSection):
    """Plain gradient descent."""

    slots: ClassVar[int] = 0

    kind: Literal["sgd"] = "sgd"
