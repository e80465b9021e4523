"""``assets.extra/serving.json``: what is needed to ask a release, for people and programs.

Keys: ``index_kind``, ``items`` (how many it can give, fresh ones included), ``default_k``,
``query_features`` and ``candidate_features`` (``RawFeature.to_json``).
"""

import os
from collections.abc import Sequence
from typing import Literal

from twotower_tf.errors import JobError
from twotower_tf.examples.schema import RawFeature
from twotower_tf.indexing.candidates.item_versions import EXTRA
from twotower_tf.storage import read_json, write_json

SERVING_FILE = os.path.join(EXTRA, "serving.json")


def write_serving(
    folder: str,
    index_kind: str,
    items: int,
    default_k: int,
    query_features: Sequence[RawFeature],
    candidate_features: Sequence[RawFeature],
) -> dict:
    """Writes the description into a SavedModel's folder, and returns it."""
    serving = {
        "index_kind": index_kind,
        "items": items,
        "default_k": default_k,
        "query_features": [raw.to_json() for raw in query_features],
        "candidate_features": [raw.to_json() for raw in candidate_features],
    }
    write_json(os.path.join(folder, SERVING_FILE), serving)
    return serving


def read_serving(folder: str) -> dict:
    """Reads the description of a SavedModel; raises JobError where there is none."""
    serving = read_json(os.path.join(folder, SERVING_FILE))
    if serving is None:
        raise JobError(f"release {folder} has no {SERVING_FILE}: it can't be asked from here")
    return serving


def features_of(serving: dict, tower: Literal["query", "candidate"]) -> list[RawFeature]:
    """Returns the raw features that a described release takes, of one of its towers."""
    return [RawFeature.from_json(values) for values in serving[f"{tower}_features"]]


def load_saved_model(folder: str):
    """Returns a release loaded by ``tf.saved_model.load``, its ops registered before."""
    import tensorflow as tf

    if read_serving(folder)["index_kind"] == "scann":
        # Registers the ops the graph uses.
        import scann  # noqa: F401
    return tf.saved_model.load(folder)
