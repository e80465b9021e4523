"""Which table a feature is looked up in that names none, and which of them are items."""

from collections.abc import Iterator
from typing import Any

from twotower_tf.config.registries import FEATURE_KINDS

# Columns that the build fills in with ids of items.
_OF_ITEMS = ("history", "seed_item_id", "basket")
_ITEMS = "items"


def with_usual_tables(values: Any) -> Any:
    """Returns the values of a configuration with what its features leave out.

    A feature of the query that names items is encoded as an item (``encode: item``); any other
    one gets a table, which is made where there is none of that name. The item's own has a row for
    each item of the catalogue.
    """
    if not isinstance(values, dict) or not isinstance(values.get("tables", {}), dict):
        return values
    item_column = _item_column(values)
    tables, towers = dict(values.get("tables", {})), {}
    for side, tower in _towers(values):
        features = [_filled(one, side, item_column) for one in tower["features"]]
        towers[side] = {**tower, "features": features}
        for given, one in zip(tower["features"], features, strict=True):
            if one is not given and one.get("table") is not None:
                own = {"vocabulary": {"catalogue": True}} if one["table"] == _ITEMS else {}
                tables.setdefault(one["table"], own)
    return {**values, **towers, **({"tables": tables} if tables else {})}


def _towers(values: dict) -> Iterator[tuple[str, dict]]:
    for side in ("query", "candidate"):
        tower = values.get(side)
        if isinstance(tower, dict) and isinstance(tower.get("features"), list):
            yield side, tower


def _filled(feature: Any, side: str, item_column: str) -> Any:
    if not isinstance(feature, dict) or feature.get("table") is not None:
        return feature
    section = FEATURE_KINDS.sections.get(str(feature.get("kind")))
    if not hasattr(section, "usual_table") or feature.get("encode") == "item":
        return feature
    column = feature.get("column") or feature.get("name")
    filled_in = column in _OF_ITEMS and feature.get("of") in (None, "event")
    may_be_item = "encode" not in feature and "encode" in section.model_fields
    if side == "query" and filled_in and may_be_item:
        return {**feature, "encode": "item"}
    is_item = side == "candidate" and column == item_column
    # The column of an object, such as details.brand, is no name.
    own = column if str(column).isidentifier() else feature.get("name")
    return {**feature, "table": section.usual_table or (_ITEMS if is_item else own)}


def _item_column(values: dict) -> str:
    place: Any = values
    for key in ("source", "items", "columns", "item_id"):
        place = place.get(key) if isinstance(place, dict) else None
    return place if isinstance(place, str) else "item_id"
