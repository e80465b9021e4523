"""What the encoder of a history may ask for of each past event, beside which item it was of."""

from twotower_tf.examples import value_types
from twotower_tf.examples.schema import (
    HISTORY,
    HISTORY_DAYS,
    HISTORY_DWELL,
    HISTORY_TYPES,
    RawFeature,
)

# By the key of the encoder's section: what the raw feature is called, as the field of an
# ``ItemSequence``, and the column that the build fills in.
_ASKED_BY = {
    "times": ("days", HISTORY_DAYS),
    "types": ("types", HISTORY_TYPES),
    "dwell": ("dwell", HISTORY_DWELL),
}
# Of which column of the source each of these is made.
_COLUMNS = {HISTORY_TYPES: "event_type", HISTORY_DWELL: "dwell"}


def asked_keys(encoder) -> list[str]:
    """Returns the keys by which a history encoder's section asks for something."""
    return [key for key in _ASKED_BY if getattr(encoder, key, None)]


def names_beside(feature: str, keys: list[str]) -> dict[str, str]:
    """Returns the raw features that are asked for, by field of an ``ItemSequence``."""
    return {field: f"{feature}_{field}" for field, _ in map(_ASKED_BY.__getitem__, keys)}


def raw_features_beside(ids: RawFeature, keys: list[str]) -> list[RawFeature]:
    """Returns what is asked for beside the ids of a history: lists as long as that of the ids."""
    made = []
    for field, column in map(_ASKED_BY.__getitem__, keys):
        of_type = value_types.Labels if column == HISTORY_TYPES else value_types.Weights
        values = of_type(max_length=ids.type.max_length, weighs=ids.name)
        made.append(RawFeature(f"{ids.name}_{field}", column, ids.of, values))
    return made


def check_asked(feature, keys: list[str], owner: str, config) -> None:
    """Raises a ValueError if a feature's encoder asks for what histories can't have."""
    columns = config.source.events.columns
    for key in keys:
        if feature.column != HISTORY or owner != "event":
            raise ValueError(f"{key} of the encoder are those of the column 'history' alone")
        if columns.history is not None:
            raise ValueError(
                f"{key} of the encoder need histories that the build makes, not the log "
                "(source.events.columns.history)"
            )
        needed = _COLUMNS.get(_ASKED_BY[key][1])
        if needed is not None and getattr(columns, needed) is None:
            raise ValueError(
                f"{key} of the encoder need source.events.columns.{needed}: say which column of "
                "the events it is"
            )
