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
    ):
        super().__init__(name="stitched_model")
        self._blending = blending
        self._more_features = blending.inputs if blending is not None else ()
        taken = {K, EXCLUDE_IDS, *(raw.name for raw in self._more_features)}
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
        self._default_k = default_k
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
        self.fresh = FreshItems(len(items.item_ids), dim)

    def save(self, folder: str, index: IndexSection, extensions: Sequence[str] = ()) -> None:
        """Writes the SavedModel and what goes with it into an empty folder.

        Beside the SavedModel: ``assets.extra`` with ``serving.json``, the warm-up requests, the
        self-test, and what ``refresh`` needs.

        Args:
            folder: Where.
            index: What the index was made of, of its own kind.
            extensions: Modules of the user's own that must be imported before it is loaded.
        """
        tf.saved_model.save(
            self,
            folder,
            signatures={
                "serving_default": self.serving_default,
                "embed_query": self.embed_query,
                "embed_item": self.embed_item,
                "examples": self.examples,
            },
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
        )
        item_hashes.write(os.path.join(folder, item_hashes.INDEXED_FILE), self._items)
        nominators = self._blending.nominators if self._blending is not None else ()
        queries = self_test.sample_queries(self._query_features, self._items.item_ids, nominators)
        warm_up.write_requests(folder, serving, queries)
        self_test.write(folder, serving, queries)

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
        with tf.control_dependencies([demand(k > 0, "k must be at least 1, got", k)]):
            k = tf.identity(k)
        raw = signatures.as_trained(rows, self._query_features)
        queries = self._query_tower(raw)
        request = Request.of(queries, k, exclude_ids)
        if self._blending is None:
            return retrieve(self._index, self._item_ids, self.fresh, request)
        more = signatures.as_trained(rows, self._more_features)
        return self._blending.retrieve(self._item_ids, self.fresh, request, {**raw, **more})
