"""The types of raw features' values, one a file: from records to tables, examples and requests.

They are loaded when first used: a configuration that is only read needs neither Arrow nor
TensorFlow.

>>> from twotower_tf.examples import value_types
>>> value_types.Text(default="none").default
'none'
"""

import dataclasses
import importlib
from collections.abc import Mapping

# A type's name in JSON is its module's.
_MODULES = {
    "Text": "text",
    "Number": "number",
    "Age": "age",
    "TextList": "text_list",
    "Weights": "weights",
    "Labels": "labels",
    "Vector": "vector",
}
# What texts are, and so how a record's value becomes one: any text as it is; ids, as
# ``values.id_text`` writes them, in NFC or not; prose, to be read for its words, which a record
# may give as a list of texts.
TEXT, ID, NFC_ID, PROSE = "text", "id", "nfc_id", "prose"
_CLASSES = {module: name for name, module in _MODULES.items()}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def json_name(value_type) -> str:
    """Returns what a type is called in JSON."""
    return _MODULES[type(value_type).__name__]


def of_json(name: str, parameters: Mapping[str, object]):
    """Returns the type that JSON names, with its parameters; others than its own are passed over.

    Raises:
        ValueError: If there is no such type.
    """
    if name not in _CLASSES:
        raise ValueError(f"unknown type '{name}' (allowed: {', '.join(_CLASSES)})")
    made_of = __getattr__(_CLASSES[name])
    own = {field.name for field in dataclasses.fields(made_of)}
    return made_of(**{key: value for key, value in parameters.items() if key in own})
