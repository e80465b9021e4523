"""The two-tower retrieval model of Yi et al. (RecSys 2019) as a TFRS model."""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tensorflow_recommenders as tfrs

from twotower_tf.config import Config
from twotower_tf.examples.schema import raw_features
from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.frequency.base import FrequencyEstimator
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator
from twotower_tf.models.losses import LOSSES
from twotower_tf.models.losses.in_batch import distinct_items
from twotower_tf.models.towers import build_tables, build_tower

_ESTIMATORS = {"adaptive": AdaptiveFrequencyEstimator, "paper": StreamingFrequencyEstimator}


class TwoTowerModel(tfrs.Model):
    """Two encoders trained on in-batch negatives, corrected by each item's frequency.

    A batch is a dictionary: ``query`` and ``candidate`` (raw features by name, first dimension
    the batch), ``item_id`` (string [batch]) and ``reward`` (float32 [batch], >= 0).

    Args:
        query_tower: Maps ``query`` to unit vectors [batch, d].
        candidate_tower: Maps ``candidate`` to unit vectors [batch, d].
        loss: One of ``models.losses``.
        estimator: Estimates how probable an item is in a batch; needed if the loss says so.

    Raises:
        ValueError: If the loss needs an estimator and there is none.
    """

    def __init__(
        self,
        query_tower: tf.keras.layers.Layer,
        candidate_tower: tf.keras.layers.Layer,
        loss: Callable[..., tf.Tensor],
        estimator: FrequencyEstimator | None = None,
    ):
        super().__init__(name="two_tower")
        if loss.needs_probabilities and estimator is None:
            raise ValueError(f"{type(loss).__name__} needs a FrequencyEstimator")
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.estimator = estimator
        self._loss = loss
        self.mean_loss = tf.keras.metrics.Mean("mean_loss")
        self.distinct_share = tf.keras.metrics.Mean("distinct_share")

    @classmethod
    def from_config(cls, config: Config) -> "TwoTowerModel":
        """Builds the model a configuration describes, compiled with its optimiser, and built."""
        tables = build_tables(config)
        model = cls(
            build_tower(config.query, tables, config.seed + 2000, "query_tower"),
            build_tower(config.candidate, tables, config.seed + 3000, "candidate_tower"),
            LOSSES[config.loss.kind](config.loss.temperature),
            _ESTIMATORS[config.estimator.kind](
                buckets=config.estimator.buckets,
                hashes=config.estimator.hashes,
                alpha=config.estimator.alpha,
                initial_gap=config.estimator.initial_gap,
                seed=config.seed,
            ),
        )
        for tower in ("query", "candidate"):
            getattr(model, f"{tower}_tower")(blank_features(config, tower))
        model.compile(optimizer=_build_optimizer(config))
        model.optimizer.build(model.trainable_variables)
        return model

    def compute_loss(self, batch: Mapping, training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, a scalar; while training the estimator sees the batch.

        The candidate tower and the logits are computed on the batch's distinct items only.
        """
        positives, first = distinct_items(batch["item_id"])
        distinct = tf.gather(batch["item_id"], first)
        candidates = {name: tf.gather(raw, first) for name, raw in batch["candidate"].items()}
        probabilities = None
        if self.estimator is not None:
            if training:
                self.estimator.update(distinct)
            probabilities = self.estimator.probabilities(distinct)
        loss = self._loss(
            self.query_tower(batch["query"]),
            self.candidate_tower(candidates),
            positives,
            batch["reward"],
            probabilities,
        )
        examples = tf.cast(tf.size(positives), tf.float32)
        self.mean_loss.update_state(loss, sample_weight=examples)
        self.distinct_share.update_state(
            tf.math.divide_no_nan(tf.cast(tf.size(first), tf.float32), examples), examples
        )
        return loss


def blank_features(config: Config, tower: str) -> dict[str, tf.Tensor]:
    """Returns one row of raw features at their defaults, lists empty: what a missing query is."""
    blank = {}
    for raw in raw_features(config, tower):
        if raw.is_list:
            dtype = tf.string if raw.dtype == "bytes" else tf.float32
            blank[raw.name] = tf.zeros([1, 0], dtype)
        else:
            blank[raw.name] = tf.constant([raw.default])
    return blank


def _build_optimizer(config: Config) -> tf.keras.optimizers.Optimizer:
    settings = config.optimizer
    if settings.kind == "adagrad":
        return tf.keras.optimizers.Adagrad(
            settings.learning_rate, initial_accumulator_value=settings.initial_accumulator
        )
    if settings.kind == "adam":
        return tf.keras.optimizers.Adam(settings.learning_rate)
    return tf.keras.optimizers.SGD(settings.learning_rate)
