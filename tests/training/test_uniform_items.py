"""Uniform draws from the catalogue: which, how often, how old, and again after a resume."""

import doctest

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.examples.items.catalogue_reader import Catalogue, Lists
from twotower_tf.training import uniform_items
from twotower_tf.training.uniform_items import with_uniform_items

IDS = np.array([f"item {n}" for n in range(20)], object)
A_DAY = 86_400
CATALOGUE = Catalogue(
    IDS,
    {
        "name": IDS,
        "price": np.arange(20, dtype=np.float32),
        "tags": Lists(
            np.arange(190).astype(str).astype(object), np.cumsum([0, *range(20)], dtype=np.int64)
        ),
        "age": np.full(20, 2.5, np.float32),
    },
    {"age": np.array([np.nan if n == 7 else n * A_DAY for n in range(20)])},
)


def batches(count=6):
    times = tf.constant([9, 30, 12], tf.int64) * A_DAY
    return tf.data.Dataset.range(count).map(
        lambda n: {"item_id": tf.reshape(n, [1]), "timestamp": times + n}
    )


def drawn(dataset):
    return [batch["uniform_negatives"]["item_id"].numpy().tolist() for batch in dataset]


def test_features_are_those_of_the_items_drawn_as_old_as_at_the_times_of_the_examples():
    tags, found = CATALOGUE.features["tags"], []
    for number, batch in enumerate(with_uniform_items(batches(), CATALOGUE, 40, seed=3)):
        assert batch["item_id"].numpy().tolist() == [number]
        negatives = batch["uniform_negatives"]
        rows = [int(name.split()[-1]) for name in negatives["item_id"].numpy()]
        found += rows
        assert len(rows) == 40
        assert negatives["catalogue_size"].numpy() == 20
        candidate = negatives["candidate"]
        assert candidate["price"].numpy().tolist() == rows
        assert candidate["tags"].to_list() == [
            [value.encode() for value in tags[row : row + 1].values] for row in rows
        ]
        times = [(9, 30, 12)[draw % 3] + number / A_DAY for draw in range(40)]
        ages = [
            2.5 if row == 7 else max(0.0, time - row) for row, time in zip(rows, times, strict=True)
        ]
        np.testing.assert_allclose(candidate["age"].numpy(), ages, rtol=1e-6)
    # One whose time is not known is among them.
    assert 7 in found


def test_draws_depend_on_seed_and_step_only_so_that_a_resume_goes_on():
    whole = drawn(with_uniform_items(batches(6), CATALOGUE, 5, seed=3))
    assert drawn(with_uniform_items(batches(6), CATALOGUE, 5, seed=3)) == whole
    resumed = with_uniform_items(batches(6).skip(4), CATALOGUE, 5, seed=3, first_step=4)
    assert drawn(resumed) == whole[4:]
    assert drawn(with_uniform_items(batches(6), CATALOGUE, 5, seed=4)) != whole
    assert len({tuple(step) for step in whole}) == 6


def test_every_item_is_drawn_as_often():
    names = np.concatenate(drawn(with_uniform_items(batches(50), CATALOGUE, 100, seed=0)))
    counts = np.unique(names, return_counts=True)[1]
    # 5000 draws from 20 items; the 99.9 % point of chi-squared with 19 degrees of freedom.
    assert len(counts) == 20
    assert ((counts - 250) ** 2 / 250).sum() < 43.8


def test_number_of_batches_stays_known():
    dataset = batches(6).apply(tf.data.experimental.assert_cardinality(6))
    assert int(with_uniform_items(dataset, CATALOGUE, 2, seed=0).cardinality()) == 6


def test_a_catalogue_without_items_or_no_draws_are_refused():
    with pytest.raises(ValueError, match="holds no items"):
        with_uniform_items(batches(), CATALOGUE.take(np.arange(0)), 2, seed=0)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        with_uniform_items(batches(), CATALOGUE, 0, seed=0)


def test_documented_example_runs():
    result = doctest.testmod(uniform_items)
    assert result.attempted > 0
    assert result.failed == 0
