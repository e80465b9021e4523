"""Branches that are seldom taken."""

import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.graph.branches import rarely


@pytest.fixture
def root():
    """A function of a number that takes the rare branch if it is told to."""

    def either(x, is_rare):
        return rarely(is_rare, lambda: tf.sqrt(tf.abs(x)) * 3.0, lambda: x)

    inputs = [tf.TensorSpec([]), tf.TensorSpec([], tf.bool)]
    return tf.function(either, input_signature=inputs, autograph=False)


def test_a_branch_is_taken_by_the_condition(root):
    assert float(root(-4.0, True)) == 6.0
    assert float(root(-4.0, False)) == -4.0


def test_the_rare_branch_stays_one_operation_of_the_graph(root):
    graph = root.get_concrete_function().graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    (branch,) = (node for node in graph.node if node.op in ("If", "StatelessIf"))
    taken = functions[branch.attr["then_branch"].func.name]
    (call,) = (node for node in taken.node_def if "PartitionedCall" in node.op)
    assert functions[call.attr["f"].func.name].attr["_noinline"].b
    assert not {"Sqrt", "Abs"} & {node.op for node in taken.node_def}
