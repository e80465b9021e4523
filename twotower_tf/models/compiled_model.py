"""What our models have in common: a step that AutoGraph leaves alone, and being ready for it."""

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf
import tensorflow_recommenders as tfrs

from twotower_tf.graph.dropout import Dropout


class CompiledModel(tfrs.Model):
    """Base of the models: a TFRS model, whose batches are dictionaries.

    Attributes:
        of_loss: Those of its attributes that belong to the loss, which may be another one day.
    """

    of_loss: ClassVar[tuple[str, ...]] = ()

    def make_ready(self, optimizer: tf.keras.optimizers.Optimizer) -> None:
        """Compiles a model whose weights are all there, and builds its optimiser."""
        self.compile(optimizer=optimizer)
        for layer in self.submodules:
            if isinstance(layer, Dropout):
                layer.follow(self.optimizer.iterations)
        # Nor does Keras' own loop around the step need AutoGraph, as long as it is of one step.
        loop = self.make_train_function().python_function
        self.train_tf_function = tf.function(loop, reduce_retracing=True, autograph=False)
        self.train_function = self.train_tf_function
        self.optimizer.build(self.trainable_variables)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, batch: Mapping) -> dict[str, tf.Tensor]:
        """Trains on a batch, see Keras; returns its metrics.

        AutoGraph leaves alone what it calls: no loss, layer or optimiser needs its Python code
        rewritten, which takes longer than a small day's training.
        """
        return super().train_step(batch)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, batch: Mapping) -> dict[str, tf.Tensor]:
        """Evaluates the loss of a batch, see Keras; as ``train_step`` without AutoGraph."""
        return super().test_step(batch)
