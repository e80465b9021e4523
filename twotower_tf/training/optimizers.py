"""The optimisers that a configuration can choose: Keras' own, Adagrad with a rate for layers."""

import tensorflow as tf

from twotower_tf.training.optimizer_sections import AdagradSection, AdamSection, SgdSection


class Adagrad(tf.keras.optimizers.Adagrad):
    """Adagrad (Duchi et al. 2011) with a rate of its own for weights that every batch moves.

    While the sums of squares are small, Adagrad moves a weight by the whole rate, however small
    its gradient. Rows of tables, seen a few times in all, need that; it scrambles the weights of
    layers, which are seen in every batch, before they have learnt anything. What has a sparse
    gradient is taken for a table.

    Args:
        learning_rate: Of tables.
        initial_accumulator_value: Where the sums of squares start.
        layer_rate: The share of the rate that dense gradients go at.
        options: Further ones, of Keras'.
    """

    def __init__(
        self,
        learning_rate: float,
        initial_accumulator_value: float,
        layer_rate: float = 1.0,
        **options,
    ):
        super().__init__(learning_rate, initial_accumulator_value, **options)
        self._layer_rate = layer_rate

    def update_step(self, grad, variable):
        """Updates a variable by its gradient."""
        if isinstance(grad, tf.IndexedSlices):
            super().update_step(grad, variable)
            return
        sums = self._accumulators[self._index_dict[self._var_key(variable)]]
        sums.assign_add(grad * grad)
        rate = self._layer_rate * tf.cast(self.learning_rate, variable.dtype)
        variable.assign_sub(rate * grad / tf.sqrt(sums + self.epsilon))

    def get_config(self) -> dict:
        """Returns the arguments."""
        return super().get_config() | {"layer_rate": self._layer_rate}


def adagrad(section: AdagradSection) -> tf.keras.optimizers.Optimizer:
    """Returns Adagrad as the section says."""
    return Adagrad(
        section.learning_rate,
        section.initial_accumulator,
        section.layer_rate,
        clipnorm=section.clipnorm,
    )


def adam(section: AdamSection) -> tf.keras.optimizers.Optimizer:
    """Returns Adam with the learning rate of the section, the rest as Keras has it."""
    return tf.keras.optimizers.Adam(section.learning_rate, clipnorm=section.clipnorm)


def sgd(section: SgdSection) -> tf.keras.optimizers.Optimizer:
    """Returns stochastic gradient descent without momentum."""
    return tf.keras.optimizers.SGD(section.learning_rate, clipnorm=section.clipnorm)
