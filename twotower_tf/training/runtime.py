"""Makes TensorFlow repeatable: same seed, same input, same result to the bit on CPU."""

import tensorflow as tf


def make_deterministic(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and chooses TensorFlow's deterministic kernels."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
