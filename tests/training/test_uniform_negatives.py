"""Uniform negatives: which, how often, and the same again after a resume."""

import doctest

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.training import uniform_negatives
from twotower_tf.training.uniform_negatives import with_uniform_negatives

IDS = tf.constant([f"item {n}" for n in range(20)])
COLUMNS = {
    "name": IDS,
    "age": tf.range(20, dtype=tf.float32),
    "tags": tf.RaggedTensor.from_row_lengths(
        tf.strings.as_string(tf.range(190)), tf.range(20, dtype=tf.int64)
    ),
}


def batches(count=6):
    return tf.data.Dataset.range(count).map(lambda n: {"item_id": tf.reshape(n, [1])})


def drawn(dataset):
    return [batch["negatives"]["item_id"].numpy().tolist() for batch in dataset]


def test_features_are_those_of_the_items_drawn():
    tags = COLUMNS["tags"].to_list()
    for number, batch in enumerate(with_uniform_negatives(batches(), COLUMNS, IDS, 7, seed=3)):
        assert batch["item_id"].numpy().tolist() == [number]
        negatives = batch["negatives"]
        rows = [int(name.split()[-1]) for name in negatives["item_id"].numpy()]
        assert len(rows) == 7
        assert negatives["catalogue_size"].numpy() == 20
        assert negatives["candidate"]["age"].numpy().tolist() == rows
        assert negatives["candidate"]["tags"].to_list() == [tags[row] for row in rows]


def test_draws_depend_on_seed_and_step_only_so_that_a_resume_goes_on():
    whole = drawn(with_uniform_negatives(batches(6), COLUMNS, IDS, 5, seed=3))
    assert drawn(with_uniform_negatives(batches(6), COLUMNS, IDS, 5, seed=3)) == whole
    resumed = with_uniform_negatives(batches(6).skip(4), COLUMNS, IDS, 5, seed=3, first_step=4)
    assert drawn(resumed) == whole[4:]
    assert drawn(with_uniform_negatives(batches(6), COLUMNS, IDS, 5, seed=4)) != whole
    assert len({tuple(step) for step in whole}) == 6


def test_every_item_is_drawn_as_often():
    names = np.concatenate(drawn(with_uniform_negatives(batches(50), COLUMNS, IDS, 100, seed=0)))
    counts = np.unique(names, return_counts=True)[1]
    # 5000 draws from 20 items; the 99.9 % point of chi-squared with 19 degrees of freedom.
    assert len(counts) == 20
    assert ((counts - 250) ** 2 / 250).sum() < 43.8


def test_number_of_batches_stays_known():
    dataset = batches(6).apply(tf.data.experimental.assert_cardinality(6))
    assert int(with_uniform_negatives(dataset, COLUMNS, IDS, 2, seed=0).cardinality()) == 6


def test_a_catalogue_without_items_or_of_uneven_columns_is_refused():
    with pytest.raises(ValueError, match="holds no items"):
        with_uniform_negatives(batches(), {}, tf.constant([], tf.string), 2, seed=0)
    with pytest.raises(ValueError, match="column age has 19 rows, but there are 20 item ids"):
        with_uniform_negatives(batches(), {"age": tf.range(19)}, IDS, 2, seed=0)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        with_uniform_negatives(batches(), COLUMNS, IDS, 0, seed=0)


def test_documented_example_runs():
    result = doctest.testmod(uniform_negatives)
    assert result.attempted > 0
    assert result.failed == 0
