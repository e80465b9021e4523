"""All that a user's own package can add to, each a ``Registry``.

A package that the configuration names under ``extensions`` is imported before the rest is read,
and adds what it has (docs/extending.md):

    from twotower_tf.config.registries import LOSSES

    @LOSSES.made_by("my_company.losses:MyLoss")
    class MyLossSection(Section):
        kind: Literal["my_loss"] = "my_loss"
"""

from twotower_tf.config.registry import Registry

LOSSES = Registry("loss", "twotower_tf.models.losses.sections", default="refined_softmax")
TOWERS = Registry("tower", "twotower_tf.models.tower_sections", default="mlp")
ESTIMATORS = Registry("estimator", "twotower_tf.frequency.sections", default="adaptive")
OPTIMIZERS = Registry("optimizer", "twotower_tf.training.optimizer_sections", default="adagrad")
INDEX_KINDS = Registry("index", "twotower_tf.indexing.kinds.sections", default="auto")
NOMINATORS = Registry("nominator", "twotower_tf.indexing.nominators.sections")
FEATURE_KINDS = Registry("feature kind", "twotower_tf.models.features.sections")
HISTORY_ENCODERS = Registry(
    "history encoder", "twotower_tf.models.history.sections", default="recency"
)
AUGMENTATIONS = Registry(
    "augmentation", "twotower_tf.models.self_supervised.sections", default="correlated"
)
BOTTOMS = Registry("bottom", "twotower_tf.models.ranking.sections", default="shared")
