"""Asking a release: a query as JSON or of a known user in, item ids, scores and titles out."""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from twotower_tf.config import nearest
from twotower_tf.errors import InputError
from twotower_tf.indexing.candidates import load_titles
from twotower_tf.indexing.releases import Release
from twotower_tf.storage import Workdir


def parse_query(text: str, features: Sequence[Mapping]) -> dict:
    """Reads a query given as JSON: the raw query features by name, any of them left out.

    Args:
        text: A JSON object, such as ``{"seed_item_id": "a", "history": ["b", "c"], "age": 30}``.
        features: The raw query features, ``Release.serving()["query_features"]``.

    Raises:
        InputError: If it is not JSON, or a key is unknown, or a value has the wrong type.
    """
    try:
        query = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--query is not JSON: {error}") from error
    if not isinstance(query, dict):
        raise InputError(f"--query must be a JSON object of features, got {text[:60]}")
    check_query(query, features)
    return query


def check_query(query: Mapping, features: Sequence[Mapping]) -> None:
    """Raises InputError for the first unknown key or value of the wrong type of a query."""
    known = {raw["name"]: raw for raw in features}
    for name, value in query.items():
        if name not in known:
            allowed = ", ".join(known)
            raise InputError(
                f"query: unknown feature '{name}'{nearest(name, known)} (allowed: {allowed})"
            )
        expected = _expected(known[name])
        if not _has_type(value, known[name]):
            raise InputError(f"query: '{name}' must be {expected}, got {json.dumps(value)[:60]}")
    for name in known:
        ids = name.removesuffix("_weights")
        if not known[name]["is_list"] or ids == name or ids not in known:
            continue
        given, wanted = len(query.get(name, [])), len(query.get(ids, []))
        if given != wanted:
            raise InputError(
                f"query: '{name}' must have as many values as '{ids}', got {given} and {wanted}"
            )


def recommend(
    release: Release, query: Mapping, k: int, titles: Mapping[str, str]
) -> list[tuple[str, float, str]]:
    """Asks a release.

    Args:
        release: Which.
        query: Raw query features by name; missing ones get their declared defaults.
        k: How many items are wanted; fewer come where the catalogue is smaller.
        titles: Titles by item id, where there are any.

    Returns:
        (item id, score, title) each, best first; the score is the cosine, in [-1, 1].

    Raises:
        InputError: If k is less than 1, or the query does not fit the release.
    """
    import tensorflow as tf

    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    features = release.serving()["query_features"]
    check_query(query, features)
    answer = release.load().signatures["serving_default"](
        k=tf.constant(k, tf.int32),
        **{raw["name"]: tf.constant(_row_of_one(query, raw)) for raw in features},
    )
    item_ids = [item_id.decode() for item_id in answer["item_ids"][0].numpy()]
    scores = answer["scores"][0].numpy().tolist()
    return [
        (item_id, score, titles.get(item_id, ""))
        for item_id, score in zip(item_ids, scores, strict=True)
    ]


def release_titles(workdir: Workdir, release: Release) -> dict[str, str]:
    """Returns the titles of the catalogue a release was built from; none if that is gone."""
    catalogue = workdir.partition("catalogue", release.day)
    return load_titles(catalogue) if catalogue.exists() else {}


def _row_of_one(query: Mapping, raw: Mapping) -> np.ndarray:
    dtype = object if raw["dtype"] == "bytes" else np.float32
    if not raw["is_list"]:
        return np.array([query.get(raw["name"], raw["default"])], dtype)
    values = query.get(raw["name"], [])
    # An empty array of objects has no type TensorFlow could read; one "" is an empty list too.
    return np.array([values or [_PADDING[raw["dtype"]]]], dtype)


_PADDING = {"bytes": "", "float": 0.0}


def _expected(raw: Mapping) -> str:
    if raw["is_list"]:
        return "a list of texts" if raw["dtype"] == "bytes" else "a list of numbers"
    return "a text in quotes" if raw["dtype"] == "bytes" else "a number"


def _has_type(value, raw: Mapping) -> bool:
    if raw["is_list"]:
        scalar = {**raw, "is_list": False}
        return isinstance(value, list) and all(_has_type(one, scalar) for one in value)
    if raw["dtype"] == "bytes":
        return isinstance(value, str)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
