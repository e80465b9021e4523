"""Asks a loaded release: queries as plain values in, item ids and scores out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from twotower_tf.examples.schema import RawFeature
from twotower_tf.examples.value_types.lists import padded

Query = Mapping[str, object]
# What ``recommend`` gives, in the order of ``Recommended``.
_RANKED = ("item_ids", "expected_watch_seconds", "scores", "sources")


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
    answer = loaded.serving_default(k=k, **_inputs(features, queries, exclude_ids))
    return [
        [(item_id.decode(), score) for item_id, score in zip(ids, scores, strict=True) if item_id]
        for ids, scores in zip(
            answer["item_ids"].numpy(), answer["scores"].numpy().tolist(), strict=True
        )
    ]


class Recommended(NamedTuple):
    """An item that a release with ranking recommends.

    Attributes:
        item_id: Which.
        expected_watch_seconds: How long it is likely to be watched.
        score: Of retrieval.
        source: The nominator that proposed it.
    """

    item_id: str
    expected_watch_seconds: float
    score: float
    source: str


def ask_ranked(
    loaded,
    features: Sequence[RawFeature],
    queries: Sequence[Query],
    k: int,
    exclude_ids: Sequence[Sequence[str]] = (),
) -> list[list[Recommended]]:
    """Asks a release with ranking for the best items of each query, see ``ask``.

    Args:
        loaded: The SavedModel.
        features: All that a query may say (``serving_description.ranked_features``).
        queries: See ``ask``.
        k: See ``ask``.
        exclude_ids: See ``ask``.
    """
    answer = loaded.recommend(k=k, **_inputs(features, queries, exclude_ids))
    columns = [answer[name].numpy().tolist() for name in _RANKED]
    return [
        [
            Recommended(item_id.decode(), seconds, score, source.decode())
            for item_id, seconds, score, source in zip(*row, strict=True)
            if item_id
        ]
        for row in zip(*columns, strict=True)
    ]


def _inputs(
    features: Sequence[RawFeature],
    queries: Sequence[Query],
    exclude_ids: Sequence[Sequence[str]],
) -> dict[str, np.ndarray]:
    excluded = exclude_ids or [()] * len(queries)
    return {"exclude_ids": padded(excluded, object, ""), **feature_rows(queries, features)}
