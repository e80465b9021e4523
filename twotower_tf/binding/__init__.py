"""What a work directory is bound to, and what was changed in it from one night to the next."""

from twotower_tf.binding.fingerprints import (
    examples_fingerprint,
    is_same,
    model_fingerprint,
    ranking_fingerprint,
)
from twotower_tf.binding.workdirs import bind

__all__ = [
    "bind",
    "examples_fingerprint",
    "is_same",
    "model_fingerprint",
    "ranking_fingerprint",
]
