"""Asks a loaded release: queries as plain values in, item ids and scores out."""

from collections.abc import Mapping, Sequence

import numpy as np

from twotower_tf.examples.schema import RawFeature
from twotower_tf.examples.value_types.lists import padded

Query = Mapping[str, object]


def feature_rows(queries: Sequence[Query], features: Sequence[RawFeature]) -> dict[str, np.ndarray]:
    """Returns the signatures' inputs for some queries.

    Args:
        queries: B times raw features by name: texts, numbers, lists of them; missing ones get
            their defaults.
        features: Those there are.

    Returns:
        By name: [B], or of lists [B, L], padded; objects (str) or float32.
    """
    return {raw.name: raw.type.rows([query.get(raw.name) for query in queries]) for raw in features}


def ask(
    loaded,
    features: Sequence[RawFeature],
    queries: Sequence[Query],
    k: int,
    exclude_ids: Sequence[Sequence[str]] = (),
) -> list[list[tuple[str, float]]]:
    """Asks for the best items of each query.

    Args:
        loaded: A SavedModel as ``Release.load_saved_model`` returns it.
        features: The query's raw features.
        queries: See ``feature_rows``.
        k: How many items are wanted.
        exclude_ids: Of each query the items that may not come; none of any if empty.

    Returns:
        Of each query (item id, score), best first; fewer than k where there are no more.
    """
    excluded = exclude_ids or [()] * len(queries)
    answer = loaded.serving_default(
        k=k, exclude_ids=padded(excluded, object, ""), **feature_rows(queries, features)
    )
    return [
        [(item_id.decode(), score) for item_id, score in zip(ids, scores, strict=True) if item_id]
        for ids, scores in zip(
            answer["item_ids"].numpy(), answer["scores"].numpy().tolist(), strict=True
        )
    ]
