"""The optimisers that a configuration can choose: Keras' own."""

import tensorflow as tf

from twotower_tf.training.optimizer_sections import AdagradSection, AdamSection, SgdSection


def adagrad(section: AdagradSection) -> tf.keras.optimizers.Optimizer:
    """Returns Adagrad with the accumulators that the section says."""
    return tf.keras.optimizers.Adagrad(
        section.learning_rate, initial_accumulator_value=section.initial_accumulator
    )


def adam(section: AdamSection) -> tf.keras.optimizers.Optimizer:
    """Returns Adam with the learning rate of the section, all else as Keras has it."""
    return tf.keras.optimizers.Adam(section.learning_rate)


def sgd(section: SgdSection) -> tf.keras.optimizers.Optimizer:
    """Returns stochastic gradient descent without momentum."""
    return tf.keras.optimizers.SGD(section.learning_rate)
