"""The release candidate: both towers, index and item ids in one SavedModel.

It needs TensorFlow alone to be loaded, and ScaNN's ops if its index is ScaNN's. Signatures (every
input may be left out, see ``signatures``; lists [B, L] are padded with ``""`` or 0):

- ``serving_default``: the query's raw features, each a tensor of its name ([B], lists [B, L]);
  ``k``, int32 scalar; ``exclude_ids``, string [B, L], items that may not come -> ``item_ids``
  string [B, k'], ``scores`` float32 [B, k'], best first; k' = min(k, items left), see
  ``retrieval``. As ``k`` has no batch dimension, ask over REST in TensorFlow Serving's columnar
  form: ``{"inputs": {"seed_item_id": ["a"], ..., "k": 10}}``.
- ``embed_query``: the query's raw features -> ``embedding`` float32 [B, d].
- ``embed_item``: an item's raw features -> ``embedding`` float32 [B, d]. Ages that are left out
  get their serving value, which is what the index was built with.
- ``examples``: serialised ``tf.train.Example``, string [B], with the keys ``query/<name>`` of the
  day partitions and, if wanted, ``exclude_ids`` -> as above, k the default.

With nominators beside the index, ``serving_default`` also takes what they ask for, under its own
name, and so does ``examples``.

With ranking there is a fifth:

- ``recommend``: what ``serving_default`` takes, and the user's past impressions and what else the
  ranking model knows of a request (``schema.impression_features``) -> ``item_ids``,
  ``expected_watch_seconds``, ``scores`` and ``sources``, [B, k'], see ``ranking_stage``; k' is at
  most ``ranking.candidates``.
"""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from twotower_tf.config.index import IndexSection
from twotower_tf.examples import value_types
from twotower_tf.examples.schema import RawFeature
from twotower_tf.graph.ragged import demand
from twotower_tf.indexing.candidates import item_hashes
from twotower_tf.indexing.candidates.item_hashes import ItemHashes
from twotower_tf.indexing.kinds.indexes import Index
from twotower_tf.serving import self_test, signatures, variable_files, warm_up
from twotower_tf.serving.blending import Blending
from twotower_tf.serving.fresh_items import FreshItems
from twotower_tf.serving.ranking_stage import RankingStage
from twotower_tf.serving.retrieval import Request, retrieve
from twotower_tf.serving.serving_description import write_serving

K = "k"
EXCLUDE_IDS = "exclude_ids"
# Where the variables of FreshItems are in the SavedModel: ``refresh`` writes these anew.
FRESH = "fresh"
_EXCLUDED = RawFeature(EXCLUDE_IDS, EXCLUDE_IDS, "event", value_types.TextList())
_EXAMPLES = RawFeature("examples", "examples", "event", value_types.Text())


class StitchedModel(tf.Module):
    """The whole way from raw query features to item ids.

    Args:
        query_tower: Maps raw features by name (lists ragged) to unit vectors [B, d].
        candidate_tower: The same for items.
        index: Over the N items.
        items: Their ids, in the index's order, and hashes of their features.
        query_features: The query's raw features (``examples.schema.raw_features``).
        candidate_features: The items'.
        default_k: ``k`` where a request doesn't say.
        dim: d, the length of a vector.
        blending: What is asked beside the index, if anything is.
        ranking: Ranks what all of them propose, if it is done.
        excluded_seed: The query's feature of which the item never comes, None: there is none.

    Raises:
        ValueError: If a query feature has the name of another input.
    """

    def __init__(
        self,
        query_tower: tf.keras.layers.Layer,
        candidate_tower: tf.keras.layers.Layer,
        index: Index,
        items: ItemHashes,
        query_features: Sequence[RawFeature],
        candidate_features: Sequence[RawFeature],
        default_k: int,
        dim: int,
        blending: Blending | None = None,
        ranking: RankingStage | None = None,
        excluded_seed: str | None = None,
    ):
        super().__init__(name="stitched_model")
        self._blending = blending
        self._more_features = blending.inputs if blending is not None else ()
        self._ranking = ranking
        self._ranking_features = _not_asked_already(ranking, query_features)
        more = (*self._more_features, *self._ranking_features)
        taken = {K, EXCLUDE_IDS, *(raw.name for raw in more)}
        for raw in query_features:
            if raw.name in taken:
                raise ValueError(f"a query feature may not be named '{raw.name}'")
        self._query_tower, self._candidate_tower = query_tower, candidate_tower
        # The tower does not own it, see ``models.towers.ItemEncoder``; a release does.
        self._item_features = getattr(query_tower, "item_features", None)
        self._index = index
        self._items = items
        self._query_features = tuple(query_features)
        self._candidate_features = tuple(candidate_features)
        self._default_k, self._excluded_seed = default_k, excluded_seed
        self._item_ids = tf.Variable(
            items.item_ids.to_numpy(zero_copy_only=False),
            dtype=tf.string,
            trainable=False,
            name="item_ids",
        )
        # As attributes they can be called by name, and with inputs left out, once loaded.
        self.serving_default = self._serving_default()
        self.embed_query = self._embedding(query_tower, self._query_features)
        self.embed_item = self._embedding(candidate_tower, self._candidate_features)
        self.examples = self._examples()
        if ranking is not None:
            self.recommend = self._ranked()
            # No signature: what ``refresh`` makes of fresh items.
            self.rows_of_items = self._rows_of_items(ranking)
        rows = ranking.fresh_rows if ranking is not None else ()
        self.fresh = FreshItems(len(items.item_ids), dim, rows)

    def save(self, folder: str, index: IndexSection, extensions: Sequence[str] = ()) -> None:
        """Writes the SavedModel and what goes with it into an empty folder.

        Beside the SavedModel: ``assets.extra`` with ``serving.json``, the warm-up requests, the
        self-test, and what ``refresh`` needs.

        Args:
            folder: Where.
            index: What the index was made of, of its own kind.
            extensions: Modules of the user's own that must be imported before it is loaded.
        """
        names = ["serving_default", "embed_query", "embed_item", "examples"]
        names += ["recommend"] if self._ranking is not None else []
        tf.saved_model.save(
            self,
            folder,
            signatures={name: getattr(self, name) for name in names},
            options=tf.saved_model.SaveOptions(namespace_whitelist=list(index.operations)),
        )
        variable_files.divide(folder, FRESH)
        serving = write_serving(
            folder,
            index.kind,
            [*extensions, *index.needs_modules],
            len(self._items.item_ids),
            self._default_k,
            self._query_features,
            self._candidate_features,
            self._more_features,
            self._ranking_features,
        )
        item_hashes.write(os.path.join(folder, item_hashes.INDEXED_FILE), self._items)
        nominators = self._blending.nominators if self._blending is not None else ()
        features = (*self._query_features, *self._ranking_features)
        queries = self_test.sample_queries(features, self._items.item_ids, nominators)
        warm_up.write_requests(folder, serving, queries)
        self_test.write(folder, serving, queries)

    def _ranked(self) -> tf.types.experimental.GenericFunction:
        features = (
            *self._query_features,
            _EXCLUDED,
            *self._more_features,
            *self._ranking_features,
        )
        inputs = [
            *map(signatures.feature_input, features),
            signatures.Input(tf.TensorSpec([], tf.int32, K), tf.constant(self._default_k)),
        ]

        def recommend(values):
            k = values.pop(K)
            rows = signatures.fill_rows(values, signatures.defaults_of(features))
            # What the impression tells of the history is as long as that.
            impression = signatures.as_trained(rows, (*self._query_features, *self._ranking.inputs))
            query = {raw.name: impression[raw.name] for raw in self._query_features}
            more = signatures.as_trained(rows, self._more_features)
            request = self._request(query, k, rows[EXCLUDE_IDS])
            return self._ranking.recommend(
                self._item_ids, self.fresh, request, query, more, impression
            )

        return signatures.signature(recommend, inputs)

    def _rows_of_items(self, ranking: RankingStage) -> tf.types.experimental.GenericFunction:
        features = self._candidate_features

        def rows_of_items(values):
            rows = signatures.fill_rows(values, signatures.defaults_of(features))
            return ranking.rows_of(signatures.as_trained(rows, features))

        return signatures.signature(rows_of_items, list(map(signatures.feature_input, features)))

    def _serving_default(self) -> tf.types.experimental.GenericFunction:
        default_k = tf.constant(self._default_k)
        inputs = [
            *map(signatures.feature_input, self._query_features),
            signatures.Input(tf.TensorSpec([], tf.int32, K), default_k),
            *map(signatures.feature_input, (_EXCLUDED, *self._more_features)),
        ]
        features = (*self._query_features, _EXCLUDED, *self._more_features)

        def serving_default(values):
            k = values.pop(K)
            rows = signatures.fill_rows(values, signatures.defaults_of(features))
            return self._recommend(rows, k, rows[EXCLUDE_IDS])

        return signatures.signature(serving_default, inputs)

    def _embedding(
        self, tower: tf.keras.layers.Layer, features: Sequence[RawFeature]
    ) -> tf.types.experimental.GenericFunction:
        def embed(values):
            rows = signatures.fill_rows(values, signatures.defaults_of(features))
            return {"embedding": tower(signatures.as_trained(rows, features))}

        return signatures.signature(embed, [signatures.feature_input(raw) for raw in features])

    def _examples(self) -> tf.types.experimental.GenericFunction:
        def examples(values):
            serialised = values["examples"]
            features = {raw.key: raw for raw in self._query_features}
            features |= {raw.name: raw for raw in (_EXCLUDED, *self._more_features)}
            rows = signatures.parse_examples(serialised, features)
            excluded = rows[EXCLUDE_IDS].to_tensor("")
            return self._recommend(rows, tf.constant(self._default_k), excluded)

        return signatures.signature(examples, [signatures.feature_input(_EXAMPLES)])

    def _recommend(
        self, rows: Mapping[str, tf.Tensor], k: tf.Tensor, exclude_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        query = signatures.as_trained(rows, self._query_features)
        request = self._request(query, k, exclude_ids)
        if self._blending is None:
            return retrieve(self._index, self._item_ids, self.fresh, request)
        more = signatures.as_trained(rows, self._more_features)
        return self._blending.retrieve(self._item_ids, self.fresh, request, {**query, **more})

    def _request(
        self, query: Mapping[str, tf.Tensor], k: tf.Tensor, exclude_ids: tf.Tensor
    ) -> Request:
        with tf.control_dependencies([demand(k > 0, "k must be at least 1, got", k)]):
            k = tf.identity(k)
        if self._excluded_seed is not None:
            seeds = query[self._excluded_seed][:, tf.newaxis]
            exclude_ids = tf.concat([exclude_ids, seeds], axis=1)
        return Request.of(self._query_tower(query), k, exclude_ids)


def _not_asked_already(
    ranking: RankingStage | None, query_features: Sequence[RawFeature]
) -> tuple[RawFeature, ...]:
    """Returns what ranking asks of a request that the query does not have, such as the days of a
    history."""
    has = {(raw.name, raw.filled_in) for raw in query_features if raw.filled_in is not None}
    inputs = ranking.inputs if ranking is not None else ()
    return tuple(raw for raw in inputs if (raw.name, raw.column) not in has)
