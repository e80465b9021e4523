"""The ranking model of Covington et al. (RecSys 2016, section 4) as a TFRS model."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.ranking import Heads, Ranking
from twotower_tf.config.registries import BOTTOMS, FEATURE_KINDS, OPTIMIZERS
from twotower_tf.examples.schema import POSITION, impression_features
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.replicas import sum_over_replicas
from twotower_tf.graph.untracked import Untracked
from twotower_tf.models.compiled_model import CompiledModel
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.encoder import RawFeatures
from twotower_tf.models.inference import blank_features
from twotower_tf.models.item_features import ItemFeatures
from twotower_tf.models.ranking.impression import (
    NUMBERS_OF_CANDIDATE,
    OF_CANDIDATE,
    OF_REQUEST,
    embedded,
    impression_tables,
)
from twotower_tf.models.ranking.interactions import ITEM, LAST_WATCH, Interactions, LikeKey
from twotower_tf.models.ranking.numbers import Numbers
from twotower_tf.models.ranking.watch_time import (
    expected_watch_seconds,
    safe,
    weighted_logistic_loss,
)
from twotower_tf.models.towers import ItemEncoder, Tower, build_tables, build_tower
from twotower_tf.storage import Workdir

# So many impressions say well enough how numbers are distributed.
_SAMPLE = 65_536
_SEED = 50_000


class Ranked(NamedTuple):
    """What is predicted of candidates.

    Attributes:
        score: float32 [B, C], finite and above 0: the higher, the better.
        expected_watch_seconds: float32 [B, C], finite and above 0.
        click_probability: float32 [B, C]; None where it is not learnt.
    """

    score: tf.Tensor
    expected_watch_seconds: tf.Tensor
    click_probability: tf.Tensor | None


class RankingModel(CompiledModel):
    """Scores what was nominated by features of user, item, both together and the impression.

    A batch is a dictionary, its first dimension the impressions: ``query``, ``candidate`` and
    ``impression`` (raw features by name), ``item_id`` (string), ``clicked`` (float32, 0 or 1),
    ``watched_seconds`` and ``weight`` (float32, >= 0).

    The embedding tables are its own, of the names and sizes of the configuration: the impression's
    item and those of the history share one (Covington et al. 2016, 4.1). An item of the history is
    encoded as the candidate tower of its own would encode it; the impression's item by its
    features' vectors side by side, and that vector beside.

    Args:
        config: The configuration, which has ``ranking``.
        candidate_tower: Its encoders keep their features as rows.
        query_vectors: The query's encoders; its ``vectors`` are taken, not what it combines.
        features: Of the catalogue's items, with the ``likes``.
        likes: What items have in common.

    Attributes:
        tables: The embedding tables by name, of a model made ``from_config``.
    """

    def __init__(
        self,
        config: Config,
        candidate_tower: Tower,
        query_vectors: Tower,
        features: ItemFeatures,
        likes: Sequence[LikeKey],
    ):
        super().__init__(name="ranking")
        self.candidate_tower, self.query_tower = candidate_tower, query_vectors
        self.tables: dict[str, EmbeddingTable] = {}
        self._settings, self._likes = Untracked(config.ranking), Untracked(list(likes))
        self._item_features = Untracked(features)
        interactions = Interactions(config, list(likes), features)
        self._interactions = Untracked(interactions)
        seed = config.seed + _SEED
        self._values = impression_tables(config, seed + 200)
        section: Ranking = config.ranking
        self._query_numbers = Numbers([LAST_WATCH], section.powers, name="query_numbers")
        has = {raw.name for raw in impression_features(config)}
        logged = [name for name in NUMBERS_OF_CANDIDATE if name in has]
        self.candidate_numbers = Numbers(
            [*interactions.names, *logged], section.powers, name="candidate_numbers"
        )
        heads = ["watch_time", *(["click"] if section.heads.click else [])]
        self._bottom = BOTTOMS.make(
            section.bottom, section.layers, len(heads), seed + 300, name="bottom"
        )
        self._heads = [
            tf.keras.layers.Dense(
                1,
                kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed + 400 + number),
                name=name,
            )
            for number, name in enumerate(heads)
        ]
        self.mean_loss = tf.keras.metrics.Mean("mean_loss")
        self.mean_click_loss = tf.keras.metrics.Mean("click_loss") if len(heads) > 1 else None

    @classmethod
    def from_config(cls, config: Config) -> "RankingModel":
        """Builds the model a configuration describes, compiled with its optimiser, and built."""
        seed = config.seed + _SEED
        tables = build_tables(config, seed)
        candidate = build_tower(config.candidate, tables, seed + 3000, "ranking_candidate_tower")
        candidate(blank_features(config, "candidate"))
        likes = [LikeKey(name) for name in config.ranking.likes]
        features = ItemFeatures.from_config(config, candidate.encoders, likes)
        encoders = [
            FEATURE_KINDS.make(feature, tables, seed + 2100 + number)
            for number, feature in enumerate(config.query.features)
        ]
        items = ItemEncoder(candidate, features, config.candidate.dimension)
        query = Tower(encoders, "ranking_query_tower", items)
        model = cls(config, candidate, query, features, likes)
        model.tables = tables
        model.logits(blank_batch(config))
        model.make_ready(OPTIMIZERS.make(config.ranking.optimizer))
        return model

    @property
    def heads(self) -> Heads:
        """What is predicted, and how each counts."""
        return self._settings.value.heads

    @property
    def interactions(self) -> Interactions:
        """What counts a user's past."""
        return self._interactions.value

    @property
    def item_features(self) -> ItemFeatures:
        """The features of the items, which whoever saves the model must own."""
        return self._item_features.value

    def set_day(self, workdir: Workdir, config: Config, day: datetime.date) -> None:
        """Takes the features of items from the catalogue of a day."""
        self.item_features.set_day(workdir, config, day)

    def scores(self, query: RawFeatures, items: tf.Tensor, impression: RawFeatures) -> Ranked:
        """Scores candidates of requests: what is the user's is computed once a request.

        Items are found by their ids' fingerprints among ``item_features``; one that is not there
        is what an empty row of the catalogue is. The position is that of the first place.

        Args:
            query: The query's raw features by name, B rows, as examples have them.
            items: int64 [B, C], fingerprints of the candidates' ids.
            impression: Of ``schema.impression_features``: the user's and the request's, [B] or
                lists of B rows; ``nomination_source`` (string) and ``nomination_score`` (float32)
                are [B, C]. ``position`` is not looked at.

        Returns:
            What is predicted, [B, C] each.
        """
        shape = tf.shape(items)
        flat = tf.reshape(items, [-1])
        rows = self.item_features(flat)
        keys = {ITEM: items}
        for like in self._likes.value:
            keys[like.feature] = tf.reshape(rows[like.name], shape)
        vectors = self._vectors_of_candidates(rows)
        vectors = tf.reshape(vectors, [shape[0], shape[1], vectors.shape[-1]])
        impression = self._at_first_position(impression, shape)
        return self._ranked(self._logits(query, keys, vectors, impression))

    def logits(self, batch: Mapping) -> list[tf.Tensor]:
        """Returns each head's logit of a batch's impressions, float32 [batch]."""
        keys, impression = self._as_requests(batch)
        vectors = self._vectors_of_candidates(
            {one.name: one.rows(batch["candidate"]) for one in self.candidate_tower.encoders}
        )
        logits = self._logits(batch["query"], keys, vectors[:, tf.newaxis], impression)
        return [one[:, 0] for one in logits]

    def predict_batch(self, batch: Mapping) -> Ranked:
        """Returns what is predicted of a batch's impressions, [batch] each, as it was shown."""
        return self._ranked(self.logits(batch))

    def at_first_position(self, batch: Mapping) -> dict:
        """Returns a batch as if each impression were at the first position, as when served."""
        impression = self._at_first_position(batch["impression"], tf.shape(batch["item_id"]))
        return {**batch, "impression": impression}

    def _at_first_position(self, impression: RawFeatures, shape: tf.Tensor) -> dict:
        if POSITION not in self.candidate_numbers.names:
            return dict(impression)
        first = tf.fill(shape, self.candidate_numbers.least(POSITION))
        return {**impression, POSITION: first}

    def compute_loss(self, batch: Mapping, training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, a scalar: the mean over its impressions by their weights.

        Run by replicas, each returns its part of the loss of the whole batch.
        """
        clicked, weight = batch["clicked"], batch["weight"]
        logits = self.logits(batch)
        seconds = batch["watched_seconds"]
        if not self._settings.value.weight_by_watch_time:
            seconds = tf.ones_like(seconds)
        own = tf.cast(tf.size(weight), tf.float32)
        count = sum_over_replicas(own)
        exact = self._settings.value.exact_odds
        losses = weighted_logistic_loss(logits[0], clicked, seconds, exact)
        watching = tf.reduce_sum(weight * losses)
        self.mean_loss.update_state(tf.math.divide_no_nan(watching, own), own)
        loss = self.heads.watch_time.loss * watching
        if self.mean_click_loss is not None:
            each = tf.nn.sigmoid_cross_entropy_with_logits(labels=clicked, logits=logits[1])
            clicking = tf.reduce_sum(weight * each)
            self.mean_click_loss.update_state(tf.math.divide_no_nan(clicking, own), own)
            loss += self.heads.click.loss * clicking
        return loss / count

    def adapt(self, batches: Iterable[Mapping]) -> None:
        """Sets, before the first step, what the first batches say of all: see ``Numbers``.

        The heads' biases become the logarithm of the odds of all impressions together.
        """
        numbers = tf.function(self._numbers_of, autograph=False, reduce_retracing=True)
        seen: list[dict[str, np.ndarray]] = []
        sums, count = np.zeros(3), 0
        for batch in batches:
            seen.append({name: value.numpy() for name, value in numbers(batch).items()})
            sums += self._sums(batch)
            count += len(batch["weight"])
            if count >= _SAMPLE:
                break
        if not seen:
            return
        for layer in (self._query_numbers, self.candidate_numbers):
            layer.adapt({n: np.concatenate([one[n] for one in seen]) for n in layer.names})
        watched, clicks, others = sums
        shown = others + clicks if self._settings.value.exact_odds else others
        odds = [(watched, shown), (clicks, others)]
        for head, (positive, ones) in zip(self._heads, odds, strict=False):
            if positive > 0 and ones > 0:
                head.bias.assign([np.log(positive / ones)])

    def _sums(self, batch: Mapping) -> np.ndarray:
        """Returns the weights of positives in the loss, those of clicks, those of all others."""
        weight, clicked = batch["weight"].numpy(), batch["clicked"].numpy()
        seconds = batch["watched_seconds"].numpy()
        if not self._settings.value.weight_by_watch_time:
            seconds = np.ones_like(seconds)
        clicks = weight * clicked
        return np.array([(clicks * seconds).sum(), clicks.sum(), (weight * (1 - clicked)).sum()])

    def _numbers_of(self, batch: Mapping) -> dict[str, tf.Tensor]:
        """Returns all numbers of a batch's impressions as they are, float32 [batch] by name."""
        keys, impression = self._as_requests(batch)
        of_query, found = self.interactions(batch["query"], impression, keys)
        found |= {name: impression[name] for name in NUMBERS_OF_CANDIDATE if name in impression}
        return of_query | {name: values[:, 0] for name, values in found.items()}

    def _as_requests(self, batch: Mapping) -> tuple[dict[str, tf.Tensor], dict]:
        """Returns keys and impression of a batch as requests of one candidate each, [batch, 1]."""
        keys = {ITEM: fingerprint(batch["item_id"])}
        keys |= {one.feature: one.rows(batch["candidate"]) for one in self._likes.value}
        impression = dict(batch["impression"])
        for name in (*OF_CANDIDATE, *NUMBERS_OF_CANDIDATE):
            if name in impression:
                impression[name] = impression[name][:, tf.newaxis]
        return {name: values[:, tf.newaxis] for name, values in keys.items()}, impression

    def _vectors_of_candidates(self, rows: Mapping) -> tf.Tensor:
        """Returns the features' vectors side by side, and the item's own, float32 [n, width]."""
        vectors = self.candidate_tower.vectors_of_rows(rows)
        return tf.concat([*vectors.values(), self.candidate_tower.combine(vectors)], axis=-1)

    def _logits(self, query, keys, vectors: tf.Tensor, impression) -> list[tf.Tensor]:
        """Returns each head's logits, float32 [B, C], of candidates' vectors [B, C, width]."""
        of_query, of_candidates = self.interactions(query, impression, keys)
        of_candidates |= {
            name: impression[name] for name in NUMBERS_OF_CANDIDATE if name in impression
        }
        request = [
            *self.query_tower.vectors(query).values(),
            *embedded(self._values, impression, OF_REQUEST),
            self._query_numbers(of_query),
        ]
        candidates = [
            vectors,
            *embedded(self._values, impression, OF_CANDIDATE),
            self.candidate_numbers(of_candidates),
        ]
        seen = self._bottom(tf.concat(request, axis=-1), tf.concat(candidates, axis=-1))
        return [head(x)[..., 0] for head, x in zip(self._heads, seen, strict=True)]

    def _ranked(self, logits: Sequence[tf.Tensor]) -> Ranked:
        watch, *click = map(safe, logits)
        log_score = self.heads.watch_time.weight * watch
        if click:
            log_score += self.heads.click.weight * tf.math.log_sigmoid(click[0])
        probability = tf.sigmoid(click[0]) if click else None
        return Ranked(tf.exp(safe(log_score)), expected_watch_seconds(watch), probability)


def blank_batch(config: Config) -> dict:
    """Returns a batch of one impression of which nothing is known."""
    return {
        "query": blank_features(config, "query"),
        "candidate": blank_features(config, "candidate"),
        "impression": {raw.name: raw.type.blank for raw in impression_features(config)},
        "item_id": tf.constant([""]),
    }
