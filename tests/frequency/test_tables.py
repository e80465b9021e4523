"""Tables in shards against tables in one piece, in one process."""

import contextlib

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.frequency import tables
from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator

KINDS = [StreamingFrequencyEstimator, AdaptiveFrequencyEstimator]


@contextlib.contextmanager
def sharded(shards):
    """In this scope variables are sharded as ParameterServerStrategy shards them."""

    def creator(next_creator, **kwargs):
        size = tf.TensorShape(kwargs["shape"])
        if size.rank == 0:
            return next_creator(**kwargs)
        parts = []
        for part in np.array_split(np.arange(size[0]), shards):
            given = {"partition_shape": [len(part)], "partition_offset": [part[0]]}
            value = kwargs["initial_value"](**given)
            parts.append(next_creator(**kwargs | {"initial_value": value, "shape": [len(part)]}))
        return tables.ShardedVariable(parts, name=kwargs["name"])

    with tf.variable_creator_scope(creator):
        yield


@pytest.mark.parametrize("shards", [2, 3, 7])
@pytest.mark.parametrize("in_graph", [True, False])
def test_shards_are_read_and_written_by_the_places_of_the_whole(shards, in_graph):
    with sharded(shards):
        table = tables.create(50, 2.5, tf.float32, "table")

    def gather(places):
        return tables.gather(table, places)

    def scatter(places, values):
        tables.scatter(table, places, values)

    if in_graph:
        gather, scatter = tf.function(gather), tf.function(scatter)
    expected = np.full(50, 2.5, np.float32)
    random = np.random.default_rng(0)
    for count in (0, 1, 50, 20):
        places = random.permutation(50)[:count]
        values = random.random(count).astype(np.float32)
        scatter(tf.constant(places, tf.int64), tf.constant(values))
        expected[places] = values
        asked = random.integers(0, 50, (4, 3))
        np.testing.assert_array_equal(gather(tf.constant(asked)), expected[asked])
    np.testing.assert_array_equal(tf.concat(table.variables, 0), expected)


@pytest.mark.parametrize("hashes", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_sharded_sketch_is_the_plain_one_to_the_bit(kind, hashes):
    # 125 groups of 8 in 3 shards: two groups lie in two shards each.
    plain = kind(1000, hashes)
    with sharded(3):
        in_shards = kind(1000, hashes)
    assert len(in_shards.variables) == 1 + 2 * 3
    spec = [tf.TensorSpec([None], tf.int64)]
    updates = [tf.function(each.update, input_signature=spec) for each in (plain, in_shards)]
    for batch in np.random.default_rng(1).geometric(0.003, (100, 40)):
        for update in updates:
            update(tf.constant(batch))
    ids = tf.range(3000)
    np.testing.assert_array_equal(in_shards.probabilities(ids), plain.probabilities(ids))
    np.testing.assert_allclose(in_shards.touched_share(), plain.touched_share())
    np.testing.assert_allclose(in_shards.mean_gap(), plain.mean_gap())


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_does_not_depend_on_the_number_of_shards(kind, tmp_path):
    with sharded(2):
        written = kind(100)
    with sharded(3):
        others = [kind(100)]
    others.append(kind(100))
    written.update(tf.range(30))
    path = tf.train.Checkpoint(sketch=written).save(str(tmp_path / "checkpoint"))
    for other in others:
        tf.train.Checkpoint(sketch=other).restore(path).assert_consumed()
        np.testing.assert_array_equal(
            other.probabilities(tf.range(40)), written.probabilities(tf.range(40))
        )


@pytest.mark.parametrize("kind", KINDS)
def test_sharded_sketch_never_reads_or_makes_a_whole_shard(kind):
    with sharded(2):
        estimator = kind(2000)
    for method in (estimator.update, estimator.probabilities):
        graph = tf.function(method).get_concrete_function(tf.TensorSpec([64], tf.int64)).graph
        outputs = [output.shape for op in graph.get_operations() for output in op.outputs]
        assert not [shape for shape in outputs if {1000, 2000} & set(shape.as_list() or [])]


@pytest.mark.parametrize("kind", KINDS)
def test_worker_that_was_overtaken_gives_no_estimate_out_of_range(kind):
    estimator = kind(100, alpha=1.0)
    for step in (0, 50, 100, 99, 98, 40, 120):
        estimator.step.assign(step)
        estimator.update(tf.constant(["item"]))
        found = float(estimator.probabilities(tf.constant("item")))
        assert 0 < found <= 1
        assert 1 / found <= 100.5  # No gap is longer than the steps there were, or the first.
