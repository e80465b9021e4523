"""Reads a checkpoint into a model whose loss or optimiser may be of another kind than it was.

What the model learnt is kept in any case. An optimiser's slots (sums of squared gradients,
momenta) are kept where they mean the same, else they start anew; so does what belongs to a loss,
such as a learned temperature.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from twotower_tf.models.compiled_model import CompiledModel

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SLOT = "optimizer/_variables/{}/.ATTRIBUTES/VARIABLE_VALUE"


def read_into(model: CompiledModel, last_day: tf.Variable, path: str) -> None:
    """Reads a checkpoint of ``checkpoints.Checkpoints``; the log says what started anew.

    Args:
        model: Compiled and built; its features, layers and tables are those of the checkpoint.
        last_day: What the last day is kept in.
        path: Its files' common start.

    Raises:
        AssertionError: If a variable of the model itself is not in the checkpoint.
    """
    optimizer = model.optimizer
    reader = tf.train.load_checkpoint(path)
    written, own = _slots_written(reader), _slots_of(optimizer)
    if [name for name, _ in written] == [name for name, _ in own]:
        state = tf.train.Checkpoint(model=model, optimizer=optimizer, last_day=last_day)
        if _reads_all(state, path):
            return
    _read_model(model, last_day, path)
    optimizer.iterations.assign(
        reader.get_tensor("optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE")
    )
    _carry_slots(reader, written, own)


def _reads_all(state: tf.train.Checkpoint, path: str) -> bool:
    """Reads a checkpoint; says whether it and what it is read into have the same variables."""
    try:
        state.read(path).assert_consumed()
    except (AssertionError, ValueError):
        return False
    return True


def _read_model(model: CompiledModel, last_day: tf.Variable, path: str) -> None:
    """Reads all but the optimiser; what belongs to the loss only if it is all there."""
    # Keras has no name for a model without its optimiser.
    parts = {name: one for name, one in model._trackable_children().items() if name != "optimizer"}
    kept = {name: one for name, one in parts.items() if name not in model.of_loss}
    try:
        _read_parts(parts, last_day, path)
    except (AssertionError, ValueError):
        _read_parts(kept, last_day, path)
        logging.warning("the loss is another than before: what belongs to it starts anew")


def _read_parts(parts: Mapping, last_day: tf.Variable, path: str) -> None:
    state = tf.train.Checkpoint(model=tf.train.Checkpoint(**parts), last_day=last_day)
    state.read(path).assert_existing_objects_matched()


def _slots_of(optimizer: tf.keras.optimizers.Optimizer) -> list[tuple[str, tf.Variable]]:
    """Returns the optimiser's slots, each with what it is of its weight, such as ``accumulator``.

    In their order, which is that of the weights; those of a loss come last.
    """
    slots = [one for one in optimizer.variables if one is not optimizer.iterations]
    return [(_what(one.name), one) for one in slots if one.name.count("/")]


def _slots_written(reader: Any) -> list[tuple[str, str]]:
    """Returns the same of a checkpoint, with the keys of their values."""
    graph = TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    names = {one.checkpoint_key: one.full_name for node in graph.nodes for one in node.attributes}
    # The first of an optimiser's variables is its step.
    found, number = [], 1
    while (key := _SLOT.format(number)) in names:
        found.append((_what(names[key]), key))
        number += 1
    return found


def _what(name: str) -> str:
    return name.partition("/")[0]


def _carry_slots(
    reader: Any,
    written: list[tuple[str, str]],
    own: list[tuple[str, tf.Variable]],
) -> None:
    shapes = reader.get_variable_to_shape_map()
    pairs = list(zip(written, own, strict=False))
    if all(
        old == new and shapes[key] == variable.shape.as_list()
        for (old, key), (new, variable) in pairs
    ):
        for (_, key), (_, variable) in pairs:
            variable.assign(reader.get_tensor(key))
        return
    logging.warning(
        "the optimiser is of another kind than before: the model goes on, and what the optimiser "
        "had gathered of each weight starts anew; its first steps are large, so give this night a "
        "lower learning rate if the loss jumps"
    )
