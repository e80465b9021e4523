"""What an impression is itself, beside who saw it and what was shown: where, when, by what."""

from collections.abc import Mapping

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.schema import (
    HOUR,
    NOMINATION_SCORE,
    NOMINATION_SOURCE,
    POSITION,
    SURFACE,
    WEEKDAY,
    impression_features,
)
from twotower_tf.models.embeddings import EmbeddingTable

# What all candidates of a request have in common, and what each has itself.
OF_REQUEST = (SURFACE, HOUR, WEEKDAY)
OF_CANDIDATE = (NOMINATION_SOURCE,)
NUMBERS_OF_CANDIDATE = (NOMINATION_SCORE, POSITION)
# Texts of few values; those that are known beforehand have a row each.
_DIM, _BUCKETS = 8, 256
_LISTED = {HOUR: [str(hour) for hour in range(24)], WEEKDAY: [str(day) for day in range(7)]}


def impression_tables(config: Config, seed: int) -> dict[str, EmbeddingTable]:
    """Returns the tables of those texts that the configuration's impressions have, by name."""
    names = [*OF_REQUEST, *OF_CANDIDATE]
    has = {raw.name for raw in impression_features(config)}
    return {
        name: EmbeddingTable(
            _BUCKETS, _DIM, _LISTED.get(name, ()), seed=seed + number, name=f"values_of_{name}"
        )
        for number, name in enumerate(names)
        if name in has
    }


def embedded(
    tables: Mapping[str, EmbeddingTable], impression: Mapping[str, tf.Tensor], names
) -> list[tf.Tensor]:
    """Returns the vectors of those of the texts that have a table, float32 [..., 8] each."""
    return [tables[name](impression[name]) for name in names if name in tables]
