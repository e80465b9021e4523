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
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from twotower_tf.examples.schema import RawFeature
from twotower_tf.models.features import as_ragged

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


def batch_input(name: str, dtype: tf.DType, is_list: bool) -> Input:
    """Returns an input with a row for each query or item: [B], or [B, L] of a list."""
    rank = 2 if is_list else 1
    return Input(tf.TensorSpec([None] * rank, dtype, name), tf.zeros([0] * rank, dtype))


def feature_input(raw: RawFeature) -> Input:
    """Returns the input of a raw feature; lists are padded with ``""`` or 0."""
    return batch_input(raw.name, _dtype(raw), raw.is_list)


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
    shapes = {name: tf.shape(value) for name, value in inputs.items()}
    # Few operations, for each costs a microsecond of every request.
    rows = tf.concat([_first(shape) for shape in shapes.values()], 0)
    batch = tf.reduce_max(rows)
    wrong = "every input must have as many rows as the others, or none; rows of"
    with tf.control_dependencies(
        [demand(tf.reduce_all((rows == 0) | (rows == batch)), wrong, ", ".join(inputs), rows)]
    ):
        lacking = tf.split(batch - rows, len(inputs))
    filled = {}
    for (name, value), count in zip(inputs.items(), lacking, strict=True):
        shape = count if value.shape.rank == 1 else tf.concat([count, shapes[name][1:]], 0)
        missing = tf.fill(shape, tf.constant(defaults[name], value.dtype))
        filled[name] = tf.concat([value, missing], 0)
    return filled


def demand(condition: tf.Tensor, *message) -> tf.Operation:
    """Returns an operation that fails with a message unless a condition, a scalar, holds.

    Unlike those of ``tf.debugging``, it is no branch of the graph with all that this costs.
    """
    data = [tf.convert_to_tensor(part) for part in message]
    return tf.raw_ops.Assert(condition=condition, data=data, summarize=100)


def defaults_of(features: Sequence[RawFeature]) -> dict[str, str | float]:
    """Returns what fills the rows of raw features that were left out; lists are then empty."""
    return {raw.name: _padding(raw) if raw.is_list else raw.default for raw in features}


def as_trained(
    rows: Mapping[str, tf.Tensor | tf.RaggedTensor], features: Sequence[RawFeature]
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Makes lists ragged and cuts them as the examples' were: the last ``max_length`` values.

    Raises:
        InvalidArgumentError: When run, if a list has fewer weights than ids.
    """
    tensors: dict[str, tf.Tensor | tf.RaggedTensor] = {}
    ids = None
    for raw in features:
        value = rows[raw.name]
        if raw.is_list:
            # Weights follow their ids in the schema.
            if raw.dtype == "bytes":
                value = ids = as_ragged(value)
            else:
                value = _weights(value, ids, raw.name)
            if raw.max_length is not None:
                value = value[:, -raw.max_length :]
        tensors[raw.name] = value
    return tensors


def parse_examples(
    serialised: tf.Tensor, features: Sequence[RawFeature], prefix: str
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Parses ``tf.train.Example``; missing features get their defaults, missing lists are empty.

    Args:
        serialised: string [B].
        features: What to look for.
        prefix: What stands before a feature's name in the example's keys.

    Returns:
        The features by name, [B], lists ragged.
    """
    spec = {prefix + raw.name: _parsing_spec(raw) for raw in features}
    parsed = tf.io.parse_example(serialised, spec)
    return {raw.name: parsed[prefix + raw.name] for raw in features}


def _weights(
    weights: tf.Tensor | tf.RaggedTensor, ids: tf.RaggedTensor, name: str
) -> tf.RaggedTensor:
    lengths = ids.row_lengths()
    message = f"{name} must have as many values as the list it weighs"
    if isinstance(weights, tf.RaggedTensor):
        fits = tf.reduce_all(weights.row_lengths() == lengths)
        with tf.control_dependencies([demand(fits, message)]):
            return weights.with_flat_values(tf.identity(weights.flat_values))
    fits = tf.reduce_all(tf.shape(weights, tf.int64)[1] >= lengths)
    with tf.control_dependencies([demand(fits, message)]):
        # A weight of 0 is no padding.
        return tf.RaggedTensor.from_tensor(tf.identity(weights), lengths=lengths)


def _first(shape: tf.Tensor) -> tf.Tensor:
    """Returns the first dimension of a shape, [1]."""
    return shape if shape.shape == [1] else shape[:1]


def _parsing_spec(raw: RawFeature):
    if raw.is_list:
        return tf.io.RaggedFeature(_dtype(raw), row_splits_dtype=tf.int64)
    return tf.io.FixedLenFeature([], _dtype(raw), default_value=raw.default)


def _dtype(raw: RawFeature) -> tf.DType:
    return tf.string if raw.dtype == "bytes" else tf.float32


def _padding(raw: RawFeature) -> str | float:
    return "" if raw.dtype == "bytes" else 0.0
