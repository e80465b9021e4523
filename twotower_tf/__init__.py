"""Production two-tower retrieval for TensorFlow: the public API.

The names below are loaded when first used, so that ``import twotower_tf`` costs nothing:
a job that only prints its ``--help`` never pays for TensorFlow.

>>> from twotower_tf import StreamingFrequencyEstimator
"""

import importlib
import os
import sys

__version__ = "0.1.0"

# The parts that work alone, and the module each one lives in.
_PUBLIC = {
    "AdaptiveFrequencyEstimator": "twotower_tf.frequency.adaptive",
    "StreamingFrequencyEstimator": "twotower_tf.frequency.estimator",
    "TwoTowerModel": "twotower_tf.models.two_tower",
    "CorrectedSoftmax": "twotower_tf.models.losses.in_batch",
    "PlainSoftmax": "twotower_tf.models.losses.in_batch",
    "load_config": "twotower_tf.config_loader",
}
__all__ = sorted(_PUBLIC)


def _require_keras_2() -> None:
    """Chooses Keras 2 (tf-keras), which tensorflow-recommenders needs, before TensorFlow loads.

    Raises:
        ImportError: If TensorFlow was imported before and has already picked Keras 3.
    """
    chosen = os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    too_late = "tensorflow" in sys.modules and "keras.src.backend" in sys.modules
    if chosen != "1" or too_late:
        raise ImportError(
            "twotower_tf needs Keras 2 (tf-keras), but Keras 3 was already picked: set "
            "TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, or import twotower_tf first"
        )


_require_keras_2()


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'twotower_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
