"""``assets.extra/serving.json``: what is needed to ask a release, for people and programs.

Keys: ``index_kind``, ``modules`` (what Python must import before it loads the SavedModel, for its
operations), ``items`` (how many it can give, fresh ones included), ``default_k``,
``query_features``, ``candidate_features`` and ``more_features``, what ``serving_default`` takes
for nominators beside the index (``RawFeature.to_json``). With ranking also ``ranking_features``,
what ``recommend`` takes beside all of these.
"""

import os
from collections.abc import Sequence
from typing import Literal

from twotower_tf.config.extensions import import_modules
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.schema import RawFeature
from twotower_tf.indexing.candidates.item_hashes import EXTRA
from twotower_tf.storage import read_json, write_json

SERVING_FILE = os.path.join(EXTRA, "serving.json")


def write_serving(
    folder: str,
    index_kind: str,
    modules: Sequence[str],
    items: int,
    default_k: int,
    query_features: Sequence[RawFeature],
    candidate_features: Sequence[RawFeature],
    more_features: Sequence[RawFeature],
    ranking_features: Sequence[RawFeature] = (),
) -> dict:
    """Writes the description into a SavedModel's folder, and returns it."""
    serving = {
        "index_kind": index_kind,
        "modules": list(modules),
        "items": items,
        "default_k": default_k,
        "query_features": [raw.to_json() for raw in query_features],
        "candidate_features": [raw.to_json() for raw in candidate_features],
        "more_features": [raw.to_json() for raw in more_features],
    }
    if ranking_features:
        serving["ranking_features"] = [raw.to_json() for raw in ranking_features]
    write_json(os.path.join(folder, SERVING_FILE), serving)
    return serving


def read_serving(folder: str) -> dict:
    """Reads the description of a SavedModel; raises JobError where there is none."""
    serving = read_json(os.path.join(folder, SERVING_FILE))
    if serving is None:
        raise JobError(f"release {folder} has no {SERVING_FILE}: it can't be asked from here")
    # Releases of before this was written down may have ScaNN's operations.
    return {"modules": ["scann"], "more_features": [], **serving}


def features_of(
    serving: dict, whose: Literal["query", "candidate", "more", "ranking"]
) -> list[RawFeature]:
    """Returns the raw features that a described release takes: of a tower, of nominators, or of
    ranking; none of ranking if it does none."""
    return [RawFeature.from_json(values) for values in serving.get(f"{whose}_features", [])]


def asked_features(serving: dict) -> list[RawFeature]:
    """Returns all that a query may say of a described release's ``serving_default``."""
    return features_of(serving, "query") + features_of(serving, "more")


def ranked_features(serving: dict) -> list[RawFeature]:
    """Returns all that a query may say of a described release's ``recommend``."""
    return asked_features(serving) + features_of(serving, "ranking")


def load_saved_model(folder: str):
    """Returns a release loaded by ``tf.saved_model.load``, its ops registered before.

    Raises:
        InputError: If a module that it needs can't be imported.
        JobError: If it has no description.
    """
    import tensorflow as tf

    try:
        import_modules(read_serving(folder)["modules"])
    except ValueError as error:
        raise InputError(f"release {folder} can't be loaded: {error}") from error
    return tf.saved_model.load(folder)
