"""Signatures whose inputs may all be left out: who leaves one out gets its declared default.

An input that is left out is an input without rows. Every function made here has such an empty
tensor as the default of each of its inputs, and fills the rows in itself, for only inside the
graph is it known how many rows the request has. What a caller has to do to leave an input out:

- Python: nothing, with ``tf.saved_model.load(folder).serving_default(...)``. (The entry
  ``.signatures["serving_default"]`` of the same object demands all inputs: TensorFlow's choice.)
- A session (the C, Java and Go interfaces, the TF1 loader): not to feed it. The placeholders have
  the defaults.
- TensorFlow Serving and other readers of the ``SignatureDef``: its field ``defaults`` has them.
- Any of them: to send no rows, ``[]`` (of a list feature: shape [0, 0]).
"""

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from twotower_tf.examples.schema import RawFeature
from twotower_tf.graph.ragged import demand

_Tensors = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        spec: Its name, type and shape.
        left_out: The value that stands for "left out".
    """

    spec: tf.TensorSpec
    left_out: tf.Tensor


def feature_input(raw: RawFeature) -> Input:
    """Returns the input of a raw feature, a row for each query or item: [B], or [B, L] of a list.

    Lists are padded with ``""`` or 0.
    """
    rank, dtype = (2 if raw.type.is_list else 1), raw.type.tensor_type
    return Input(tf.TensorSpec([None] * rank, dtype, raw.name), tf.zeros([0] * rank, dtype))


def signature(
    function: Callable[[_Tensors], _Tensors], inputs: Sequence[Input]
) -> tf.types.experimental.GenericFunction:
    """Returns a function of named tensors, each of which may be left out.

    Args:
        function: Given the inputs by name, those left out as ``Input.left_out``.
        inputs: Names and types. TensorFlow takes names only that Python takes.
    """
    names = [one.spec.name for one in inputs]

    def by_name(*values, **named):
        return function({**dict(zip(names, values, strict=False)), **named})

    # TensorFlow reads names and defaults off the Python signature: this is the one way to have
    # names that are not known before the configuration is.
    by_name.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                one.spec.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=one.left_out
            )
            for one in inputs
        ]
    )
    specs = [one.spec for one in inputs]
    return tf.function(by_name, input_signature=specs, autograph=False)


def fill_rows(inputs: Mapping[str, tf.Tensor], defaults: Mapping[str, str | float]) -> _Tensors:
    """Gives inputs that were left out as many rows as the others have.

    Args:
        inputs: Of the same number of rows B, or none, each.
        defaults: What fills the rows, by name; of lists what pads them.

    Returns:
        The inputs, each of B rows.

    Raises:
        InvalidArgumentError: When run, if the numbers of rows differ.
    """
    # Few operations, for each costs a microsecond of every request. Those of one type stand
    # together, for one operation tells the shapes of all of them.
    by_type = sorted(inputs, key=lambda name: inputs[name].dtype.name)
    values = [inputs[name] for name in by_type]
    ranks = [value.shape.rank for value in values]
    first = np.cumsum([0, *ranks[:-1]])
    rows = tf.gather(tf.concat(_shapes(values), 0), first)
    lacking = tf.reduce_max(rows) - rows
    wrong = "every input must have as many rows as the others, or none; rows of"
    with tf.control_dependencies(
        [demand(tf.reduce_all(rows * lacking == 0), wrong, ", ".join(by_type), rows)]
    ):
        # What ``tf.pad`` takes, of all one below the other: how much is added behind the rows.
        added = tf.scatter_nd([[place, 1] for place in first], lacking, [sum(ranks), 2])
    filled = {}
    for name, value, padding in zip(by_type, values, tf.split(added, ranks), strict=True):
        default = tf.constant(defaults[name], value.dtype)
        # Without anything to add the operation gives on what it was given.
        filled[name] = tf.pad(value, padding, constant_values=default)
    return filled


def _shapes(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the shapes of tensors, those of one type standing together."""
    groups = itertools.groupby(values, key=lambda value: value.dtype)
    return [shape for _, group in groups for shape in tf.shape_n(list(group))]


def defaults_of(features: Sequence[RawFeature]) -> dict[str, str | float]:
    """Returns what fills the rows of raw features that were left out; lists are then empty."""
    return {raw.name: raw.type.fill for raw in features}


def as_trained(
    rows: Mapping[str, tf.Tensor | tf.RaggedTensor], features: Sequence[RawFeature]
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Makes lists ragged and cuts them as the examples' were: the last ``max_length`` values.

    Raises:
        InvalidArgumentError: When run, if a list has fewer weights than ids.
    """
    parsed: dict[str, tf.Tensor | tf.RaggedTensor] = {}
    for raw in features:
        parsed[raw.name] = raw.type.as_parsed(rows[raw.name], raw.name, parsed)
    return {raw.name: raw.type.cut_tensor(parsed[raw.name]) for raw in features}


def parse_examples(
    serialised: tf.Tensor, features: Mapping[str, RawFeature]
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Parses ``tf.train.Example``; missing features get their defaults, missing lists are empty.

    Args:
        serialised: string [B].
        features: What to look for, by the example's keys.

    Returns:
        The features by name, [B], lists ragged.
    """
    spec = {key: raw.type.parsing_spec for key, raw in features.items()}
    parsed = tf.io.parse_example(serialised, spec)
    return {raw.name: parsed[key] for key, raw in features.items()}
