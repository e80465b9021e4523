"""In how many batches items are, against sets of batches."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

import twotower_tf  # noqa: F401
from twotower_tf.training.batch_counts import BatchCounts


def _zipf_items(examples, seed=0) -> list[str]:
    return [f"é{n}" for n in np.random.default_rng(seed).zipf(1.3, examples) % 500]


@pytest.mark.parametrize("batch_size", [1, 7, 100, 5000])
def test_probability_is_the_share_of_batches_that_contain_the_item(batch_size):
    items = _zipf_items(1000)
    batches = [set(items[at : at + batch_size]) for at in range(0, len(items), batch_size)]
    expected = {item: sum(item in batch for batch in batches) / len(batches) for item in items}
    data = tf.data.Dataset.from_tensor_slices(
        {"item_id": items, "row": np.arange(1000), "reward": np.arange(1000) % 4 / 4}
    )
    counts = BatchCounts()
    passed = list(counts.counting(data.batch(batch_size)))
    rows = np.concatenate([batch["row"] for batch in passed])
    np.testing.assert_array_equal(rows, np.arange(1000))
    found = counts.probabilities()
    assert found == expected
    assert list(found) == list(dict.fromkeys(items))
    assert counts.weight == 375.0
    assert counts.items_per_batch == np.mean([len(batch) for batch in batches])


def test_nothing_counted_is_empty():
    assert BatchCounts().probabilities() == {}
    assert BatchCounts().items_per_batch is None


def test_counts_are_let_go_of_when_nobody_holds_them():
    counts = BatchCounts()
    for _ in counts.counting(
        tf.data.Dataset.from_tensors({"item_id": ["a", "b"], "reward": [0.0, 1.0]})
    ):
        pass
    assert counts.probabilities() == {"a": 1.0, "b": 1.0}
    known = weakref.ref(counts)
    del counts
    gc.collect()
    assert known() is None
