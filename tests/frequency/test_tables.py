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


def estimate_of_overtaken_worker(estimator, steps):
    """1 / p of an item that workers count in these steps, in this order."""
    for step in steps:
        estimator.step.assign(step - 1)
        estimator.update(tf.constant(["item"]))
    return 1 / float(estimator.probabilities(tf.constant("item")))


def test_overtaken_worker_finds_a_gap_of_one_step_and_does_not_turn_back_time():
    estimator = StreamingFrequencyEstimator(10, alpha=0.5, initial_gap=100.0)
    # Gaps of 200, 1 and, from step 200 on, 10.
    expected = ((100 + 200) / 2 + 1) / 2 / 2 + 10 / 2
    found = estimate_of_overtaken_worker(estimator, [200, 190, 210])
    assert found == pytest.approx(expected)


def test_overtaken_worker_finds_that_no_step_has_passed():
    estimator = AdaptiveFrequencyEstimator(10, initial_gap=100.0)
    # One sighting, no steps, and the first guess with a weight of 1 / (1 + 1)^2.
    expected = 0.25 * 100 / (1 + 0.25)
    found = estimate_of_overtaken_worker(estimator, [200, 190])
    assert found == pytest.approx(expected, rel=0.003)
