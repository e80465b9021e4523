"""The two-tower retrieval model of Yi et al. (RecSys 2019) as a TFRS model."""

import datetime
import inspect
from collections.abc import Mapping

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.registries import ESTIMATORS, LOSSES, OPTIMIZERS
from twotower_tf.frequency.base import FrequencyEstimator
from twotower_tf.graph.replicas import sum_over_replicas
from twotower_tf.graph.untracked import Untracked
from twotower_tf.models.candidates import (
    Candidates,
    RawCandidates,
    of_all_replicas,
    raw_candidates,
)
from twotower_tf.models.compiled_model import CompiledModel
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.inference import blank_features
from twotower_tf.models.item_features import ItemFeatures
from twotower_tf.models.losses.batch_loss import BatchLoss
from twotower_tf.models.losses.in_batch import probability_by_either_route
from twotower_tf.models.losses.query_negatives import QueryNegatives
from twotower_tf.models.self_supervised.item_contrast import ItemContrast
from twotower_tf.models.towers import ItemEncoder, Tower, build_tables, build_tower
from twotower_tf.storage import Workdir


class TwoTowerModel(CompiledModel):
    """Two encoders trained on in-batch negatives, corrected by each item's frequency.

    A batch is a dictionary: ``query`` and ``candidate`` (raw features by name, first dimension
    the batch), ``item_id`` (string [batch]) and ``reward`` (float32 [batch], >= 0). Losses that
    need them take ``uniform_negatives``, drawn uniformly from the catalogue: a dictionary of
    ``item_id`` (string [draws]), ``candidate`` (raw features, first dimension the draws) and
    ``catalogue_size`` (int64 scalar, the items drawn from). Of the same form are the
    ``contrasted_items`` that a model with a loss of items alone takes while training. Losses that
    take them may have ``hard_negatives``: ``candidate`` (raw features, first dimension H, of any
    items), ``places`` (int32 [batch, m] in [0, H), those of each example; -1: it has no more) and
    ``weight`` (float32 scalar, of each one's term).

    Args:
        query_tower: Maps ``query`` to unit vectors [batch, d].
        candidate_tower: Maps ``candidate`` to unit vectors [batch, d].
        loss: One of ``models.losses``.
        estimator: Estimates how probable an item is in a batch; needed if the loss says so.
        explicit: The weight of an example of reward 0 as a negative of its query; 0: none is.
        contrast: A loss of items alone, which is added to that of the examples.

    Attributes:
        tables: The embedding tables by name, of a model made ``from_config``.

    Raises:
        ValueError: If the loss needs an estimator and there is none, or takes no explicit
            negatives and there are some.
    """

    of_loss = ("_loss", "_learned_temperature", "mean_contrast_loss")

    def __init__(
        self,
        query_tower: tf.keras.layers.Layer,
        candidate_tower: tf.keras.layers.Layer,
        loss: BatchLoss,
        estimator: FrequencyEstimator | None = None,
        explicit: float = 0.0,
        contrast: ItemContrast | None = None,
    ):
        super().__init__(name="two_tower")
        if loss.needs_probabilities and estimator is None:
            raise ValueError(f"{type(loss).__name__} needs a FrequencyEstimator")
        if explicit and not loss.takes_query_negatives:
            raise ValueError(f"{type(loss).__name__} takes no explicit negatives")
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.estimator = estimator
        self.tables: dict[str, EmbeddingTable] = {}
        self._item_features = Untracked(None)
        self._contrast = Untracked(contrast)
        self._loss = loss
        self._explicit = explicit
        # A weight of the model, if there is one.
        self._learned_temperature = loss.learned_temperature
        self.mean_loss = tf.keras.metrics.Mean("mean_loss")
        self.mean_contrast_loss = None
        if contrast is not None:
            self.mean_contrast_loss = tf.keras.metrics.Mean("self_supervised_loss")
        self.distinct_share = tf.keras.metrics.Mean("distinct_share")

    @classmethod
    def from_config(cls, config: Config) -> "TwoTowerModel":
        """Builds the model a configuration describes, compiled with its optimiser, and built."""
        tables = build_tables(config)
        candidate = build_tower(config.candidate, tables, config.seed + 3000, "candidate_tower")
        candidate(blank_features(config, "candidate"))
        items = _item_encoder(config, candidate)
        model = cls(
            build_tower(config.query, tables, config.seed + 2000, "query_tower", items),
            candidate,
            LOSSES.make(config.loss, config.candidate.dimension),
            ESTIMATORS.make(config.estimator, config.seed),
            config.negatives.explicit,
            ItemContrast.from_config(config, candidate),
        )
        model.query_tower(blank_features(config, "query"))
        model.tables = tables
        model._item_features = Untracked(items and items.features)
        model.make_ready(OPTIMIZERS.make(config.optimizer))
        if model.contrast is not None:
            model.contrast.follow(model.optimizer.iterations)
        return model

    @property
    def item_features(self) -> ItemFeatures | None:
        """The features of the items that queries may name; None where queries name none."""
        return self._item_features.value

    def set_day(self, workdir: Workdir, config: Config, day: datetime.date) -> None:
        """Takes the features of the items that queries name from the catalogue of a day."""
        if self.item_features is not None:
            self.item_features.set_day(workdir, config, day)

    @property
    def batch_loss(self) -> BatchLoss:
        """The loss; ``loss`` is Keras' own name for what it compiles."""
        return self._loss

    @property
    def contrast(self) -> ItemContrast | None:
        """The loss of items alone, which is added to that of the examples; None without one."""
        return self._contrast.value

    def compute_loss(self, batch: Mapping, training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, a scalar; while training the estimator sees the batch.

        While training, the weighted loss of items alone is added, if the model has one.

        The candidate tower and the logits are computed on the batch's distinct items only.

        Run by replicas (``tf.distribute``), each on a share of the batch, it returns the share's
        part of the loss of the whole batch, in which the items of all replicas are candidates:
        the parts, and so their gradients, add up to what one replica would compute.

        Raises:
            ValueError: If the loss needs ``uniform_negatives``, or that of items alone its
                ``contrasted_items``, and the batch has none.
        """
        if self._loss.needs_negatives:
            _demand(batch, "uniform_negatives", self._loss)
        contrasts = training and self.contrast is not None
        if contrasts:
            _demand(batch, "contrasted_items", self.contrast)
        raw = raw_candidates(batch, bool(self._loss.needs_negatives))
        probabilities = self._probabilities(raw, training)
        candidates = of_all_replicas(
            raw, _run(self.candidate_tower, raw.features, training), probabilities
        )
        if self._loss.needs_negatives:
            candidates = self._either_route(candidates, batch["uniform_negatives"])
        loss = self._loss(
            _run(self.query_tower, batch["query"], training),
            candidates.embeddings,
            candidates.positives,
            batch["reward"],
            candidates.probabilities,
            candidates.whole,
            training,
            self._query_negatives(batch, training),
        )
        self._measure(loss, candidates)
        if contrasts:
            loss += self._contrast_loss(batch["contrasted_items"])
        return loss

    def _probabilities(self, raw: RawCandidates, training: bool) -> tf.Tensor | None:
        if self.estimator is None:
            return None
        if training:
            # Negatives that were drawn were not seen.
            self.estimator.update(raw.item_id[: raw.in_batch])
        return self.estimator.probabilities(raw.item_id)

    def _query_negatives(self, batch: Mapping, training: bool) -> QueryNegatives | None:
        explicit = None
        if self._explicit:
            reward = batch["reward"]
            explicit = tf.where(reward > 0, tf.zeros_like(reward), self._explicit)
        hard = batch.get("hard_negatives")
        if hard is None:
            return None if explicit is None else QueryNegatives(explicit)
        vectors = _run(self.candidate_tower, hard["candidate"], training)
        return QueryNegatives(explicit, vectors, hard["places"], hard["weight"])

    def _either_route(self, candidates: Candidates, negatives: Mapping) -> Candidates:
        draws = sum_over_replicas(tf.size(negatives["item_id"]))
        either = probability_by_either_route(
            candidates.probabilities, draws, negatives["catalogue_size"]
        )
        return candidates._replace(probabilities=either)

    def _contrast_loss(self, drawn: Mapping) -> tf.Tensor:
        loss, share = self.contrast(drawn)
        self.mean_contrast_loss.update_state(tf.math.divide_no_nan(loss, share), share)
        return self.contrast.weight * loss

    def _measure(self, loss: tf.Tensor, candidates: Candidates) -> None:
        whole = candidates.whole
        # A replica adds its share of the whole batch's loss to what all have in common.
        own = tf.cast(tf.size(candidates.positives), tf.float32)
        examples = tf.cast(whole.examples, tf.float32)
        share = tf.math.divide_no_nan(own, examples)
        self.mean_loss.update_state(tf.math.divide_no_nan(loss, share), sample_weight=own)
        distinct = tf.reduce_sum(tf.cast(whole.counts > 0, tf.float32))
        self.distinct_share.update_state(tf.math.divide_no_nan(distinct, examples), own)


def _demand(batch: Mapping, key: str, user: object) -> None:
    if key not in batch:
        raise ValueError(
            f"{type(user).__name__} needs {key} in the batch: "
            "see training.uniform_items.with_uniform_items"
        )


def _run(tower: tf.keras.layers.Layer, raw: Mapping, training: bool) -> tf.Tensor:
    """Returns a tower's vectors; one that is the same in training need not be told."""
    if "training" in inspect.signature(tower.call).parameters:
        return tower(raw, training=training)
    return tower(raw)


def _item_encoder(config: Config, candidate: Tower) -> ItemEncoder | None:
    """Returns what encodes the items that queries name, if features of theirs do."""
    if not any(getattr(feature, "is_item", False) for feature in config.query.features):
        return None
    features = ItemFeatures.from_config(config, candidate.encoders)
    return ItemEncoder(candidate, features, config.candidate.dimension)
