"""All that a user's own package can add to, each a ``Registry``.

A package that the configuration names under ``extensions`` is imported before the rest is read,
and adds what it has:

    from twotower_tf.config.registries import LOSSES

    @LOSSES.register(MyLossSection)
    class MyLoss(BatchLoss): ...
"""

from twotower_tf.config.registry import Registry

LOSSES = Registry("loss", "twotower_tf.models.losses.sections", default="corrected_softmax")
FEATURE_KINDS = Registry("feature kind", "twotower_tf.models.features.sections")
