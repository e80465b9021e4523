"""The second stage of a release: candidates of all nominators, put in order by the ranking model.

Covington et al. 2016, figure 2: candidate generation, then ranking. What the user and the request
are is computed once, the candidates' features are found in compact arrays by their ids.
"""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.schema import (
    NOMINATION_SCORE,
    NOMINATION_SOURCE,
    RawFeature,
    impression_features,
)
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.graph.untracked import Untracked
from twotower_tf.models.features.encoder import RawFeatures
from twotower_tf.models.ranking.impression import NUMBERS_OF_CANDIDATE, OF_CANDIDATE
from twotower_tf.models.ranking.ranking_model import RankingModel
from twotower_tf.serving.candidates import CandidateStage
from twotower_tf.serving.fresh_items import FreshItems
from twotower_tf.serving.retrieval import NO_ITEM, Request, ids_at, width

# Below every score, which is above 0.
_NOT_RANKED = -1.0


def request_features(config: Config) -> list[RawFeature]:
    """Returns what a request says of the impression to be: not what its candidates are, nor where
    they will stand."""
    of_candidates = (*OF_CANDIDATE, *NUMBERS_OF_CANDIDATE)
    return [raw for raw in impression_features(config) if raw.name not in of_candidates]


class RankingStage(tf.Module):
    """Proposes candidates and ranks them.

    Args:
        model: Ranks; it has the features of the catalogue's items.
        candidates: Proposes.
        features: What a request brings for it (``request_features``).

    Attributes:
        inputs: The same.
    """

    def __init__(
        self, model: RankingModel, candidates: CandidateStage, features: Sequence[RawFeature]
    ):
        super().__init__(name="ranking_stage")
        self.inputs = tuple(features)
        self._sources = tuple(candidates.sources)
        self._candidates = candidates
        # They are ``FreshItems``'s, as whose they are saved.
        self._fresh_rows = Untracked(model.item_features.with_newer().components)
        # A release has the weights alone, not what Keras keeps of a model, such as its optimiser.
        self._weights = [*model.variables, *model.item_features.components]
        self._scores, self._rows_of = model.scores, model.item_features.rows_of

    @property
    def fresh_rows(self) -> list[tf.Variable]:
        """Variables for the features of items that come later, see ``ItemFeatures.with_newer``."""
        return self._fresh_rows.value

    def rows_of(self, raw: RawFeatures) -> dict:
        """Returns what is kept of items with these raw features, see ``ItemFeatures.rows_of``."""
        return self._rows_of(raw)

    def recommend(
        self,
        item_ids: tf.Variable,
        fresh: FreshItems,
        request: Request,
        query: RawFeatures,
        more: Mapping[str, tf.RaggedTensor],
        impression: RawFeatures,
    ) -> dict[str, tf.Tensor]:
        """Finds the items that are likely to be watched longest, neither removed nor excluded.

        Args:
            item_ids: string [N].
            fresh: Items beside the index, removed ones.
            request: What is asked.
            query: The query's raw features by name, B rows.
            more: What the request brings for the nominators, by name.
            impression: What it brings for ranking, by name.

        Returns:
            By name, [B, k'] each, best first: ``item_ids``, ``expected_watch_seconds``, ``scores``
            (of retrieval) and ``sources`` (the nominator's name); k' <= k is the most that a row
            has. A row with fewer ends in ``""``, 0, -2 and ``""``.
        """
        found = self._candidates(item_ids, fresh, request, {**query, **more})
        ids = ids_at(item_ids, fresh, found.positions)
        sources = tf.gather(tf.constant(self._sources), found.sources)
        beside = {NOMINATION_SOURCE: sources, NOMINATION_SCORE: found.scores}
        ranked = self._scores(query, fingerprint(ids), {**impression, **beside})
        order = tf.where(found.positions < 0, _NOT_RANKED, ranked.score)
        k = tf.minimum(request.k, tf.shape(order)[1])
        order, columns = tf.math.top_k(order, k)
        is_item = order > _NOT_RANKED
        kept = width(is_item, k)

        def best(values: tf.Tensor, nothing) -> tf.Tensor:
            values = tf.gather(values, columns, batch_dims=1)
            return tf.where(is_item, values, nothing)[:, :kept]

        return {
            "item_ids": best(ids, ""),
            "expected_watch_seconds": best(ranked.expected_watch_seconds, 0.0),
            "scores": best(found.scores, NO_ITEM),
            "sources": best(sources, ""),
        }
