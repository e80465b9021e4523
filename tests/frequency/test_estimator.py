"""The streaming frequency estimator against plain Python."""

import doctest
from collections import Counter

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.frequency import estimator as estimator_module
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator
from twotower_tf.graph import hashing
from twotower_tf.graph.hashing import fingerprint, hash_to_buckets

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def naive_bucket(fingerprint_: int, buckets: int, seed: int) -> int:
    return splitmix64((fingerprint_ & MASK) ^ splitmix64(seed & MASK)) % buckets


class NaiveEstimator:
    """Algorithms 2 and 3 of Yi et al. 2019: dictionaries, loops, Python's float64."""

    def __init__(self, hash_functions, alpha, initial_gap):
        self.hash_functions = hash_functions
        self.alpha = alpha
        self.initial_gap = initial_gap
        self.last_step = [{} for _ in hash_functions]
        self.gap = [{} for _ in hash_functions]
        self.step = 0

    def update(self, ids):
        self.step += 1
        for k, hash_function in enumerate(self.hash_functions):
            for bucket in {hash_function(item) for item in ids}:
                gap = self.gap[k].get(bucket, self.initial_gap)
                newest = self.step - self.last_step[k].get(bucket, 0)
                self.gap[k][bucket] = (1 - self.alpha) * gap + self.alpha * newest
                self.last_step[k][bucket] = self.step

    def probability(self, item):
        return 1 / max(
            self.gap[k].get(hash_function(item), self.initial_gap)
            for k, hash_function in enumerate(self.hash_functions)
        )


def naive_twin(estimator: StreamingFrequencyEstimator) -> NaiveEstimator:
    """The naive estimator with the same hash functions, which take integer ids."""

    def hash_function(k):
        seed = estimator.seed * estimator.hashes + k
        return lambda item: naive_bucket(splitmix64(item & MASK), estimator.buckets, seed)

    return NaiveEstimator(
        [hash_function(k) for k in range(estimator.hashes)], estimator.alpha, estimator.initial_gap
    )


def zipf_batches(items: int, batch: int, steps: int, seed: int = 0) -> np.ndarray:
    weights = 1.0 / np.arange(1, items + 1)
    return np.random.default_rng(seed).choice(items, size=(steps, batch), p=weights / weights.sum())


# ---------------------------------------------------------------------------------- hashing


def test_mixer_yields_the_published_splitmix64_sequence():
    # The generator's first outputs from the state 0, as every published implementation has them.
    gamma = 0x9E3779B97F4A7C15
    states = np.array([0, gamma, 2 * gamma & MASK], np.uint64).astype(np.int64)
    mixed = fingerprint(tf.constant(states)).numpy().astype(np.uint64)
    assert mixed.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("seed", [0, 1, -5, 2**62])
@pytest.mark.parametrize("buckets", [1, 7, 1000, 50_000_000, 2**40 + 1])
def test_buckets_equal_plain_python_integers(seed, buckets):
    ids = [0, 1, -1, 12345, -(2**63), 2**63 - 1]
    mixed = fingerprint(tf.constant(ids, tf.int64))
    got = hash_to_buckets(mixed, buckets, seed).numpy().tolist()
    assert got == [naive_bucket(splitmix64(i & MASK), buckets, seed) for i in ids]


def test_fingerprint_of_an_integer_does_not_depend_on_its_type():
    reference = fingerprint(tf.constant([0, 5, 100], tf.int64)).numpy()
    for dtype in (tf.int8, tf.int32, tf.uint16, tf.uint32, tf.uint64):
        np.testing.assert_array_equal(fingerprint(tf.constant([0, 5, 100], dtype)), reference)


def test_fingerprints_keep_the_shape_and_tell_similar_strings_apart():
    ids = tf.constant([[f"item_{i}" for i in range(5000)], [f"item_{i} " for i in range(5000)]])
    got = fingerprint(ids)
    assert got.shape == ids.shape
    assert got.dtype == tf.int64
    assert len(set(got.numpy().ravel().tolist())) == 10_000


@pytest.mark.parametrize("ids", [tf.constant([1.5]), tf.constant([True])])
def test_fingerprint_refuses_what_is_neither_string_nor_integer(ids):
    with pytest.raises(ValueError, match="strings or integers, got"):
        fingerprint(ids)


def test_hash_to_buckets_refuses_no_buckets():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        hash_to_buckets(fingerprint([1]), 0, 0)


def chi_square_z(observed: np.ndarray, expected: float) -> float:
    """How many standard deviations the chi-square statistic is from its mean."""
    freedom = observed.size - 1
    return (((observed - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


IDS = {
    "integers": tf.range(100_000, dtype=tf.int64),
    "strings": tf.strings.as_string(tf.range(100_000)),
}


@pytest.mark.parametrize("kind", IDS)
def test_buckets_are_uniform(kind):
    buckets = hash_to_buckets(fingerprint(IDS[kind]), 1000, seed=3).numpy()
    assert abs(chi_square_z(np.bincount(buckets, minlength=1000), 100.0)) < 4


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("seeds", [(0, 1), (1, 2), (0, 2**40)])
def test_hash_functions_of_two_seeds_are_independent(kind, seeds):
    first, second = (hash_to_buckets(fingerprint(IDS[kind]), 30, seed).numpy() for seed in seeds)
    # Independent means uniform over the 900 pairs.
    assert abs(chi_square_z(np.bincount(first * 30 + second, minlength=900), 100_000 / 900)) < 4


# --------------------------------------------------------------------------------- estimator


@pytest.mark.parametrize("hashes", [1, 2, 4])
@pytest.mark.parametrize("buckets", [3, 40, 5000])
def test_equals_plain_python_with_duplicates_and_collisions(hashes, buckets):
    estimator = StreamingFrequencyEstimator(buckets, hashes, alpha=0.05, initial_gap=20.0, seed=7)
    naive = naive_twin(estimator)
    update = tf.function(estimator.update)
    items = np.arange(100)
    for batch in zipf_batches(items=100, batch=12, steps=150):
        update(tf.constant(batch))
        naive.update(batch.tolist())
    expected = [naive.probability(int(item)) for item in items]
    np.testing.assert_allclose(estimator.probabilities(items), expected, rtol=2e-6)
    assert estimator.step.numpy() == 150


def test_string_ids_are_estimated_as_plain_python_does():
    estimator = StreamingFrequencyEstimator(buckets=100_003, alpha=0.1)
    naive = NaiveEstimator([lambda item: item], alpha=0.1, initial_gap=100.0)
    names = [f"video {i}" for i in range(30)]
    for batch in zipf_batches(items=30, batch=8, steps=100):
        batch = [names[i] for i in batch]
        estimator.update(tf.constant(batch))
        naive.update(batch)
    expected = [naive.probability(name) for name in names]
    np.testing.assert_allclose(estimator.probabilities(tf.constant(names)), expected, rtol=2e-6)


def test_ids_of_any_shape_count_the_same_and_keep_their_shape():
    flat, square = (StreamingFrequencyEstimator(buckets=50) for _ in range(2))
    flat.update(tf.constant([1, 2, 3, 2]))
    square.update(tf.constant([[1, 2], [3, 2]]))
    np.testing.assert_array_equal(flat.gap, square.gap)
    assert square.probabilities(tf.constant([[[1, 2, 3]]])).shape == (1, 1, 3)
    assert square.probabilities(tf.constant(1)).shape == ()


def test_item_seen_twice_in_a_batch_is_one_sighting():
    estimator = StreamingFrequencyEstimator(buckets=10, alpha=0.5, initial_gap=100.0)
    estimator.update(tf.constant([4, 4, 4]))
    assert estimator.probabilities(tf.constant(4)).numpy() == np.float32(1 / 50.5)


def test_items_that_collide_in_a_batch_are_one_sighting():
    estimator = StreamingFrequencyEstimator(buckets=1, alpha=0.5, initial_gap=100.0)
    estimator.update(tf.constant([4, 5, 6]))
    assert estimator.probabilities(tf.constant(6)).numpy() == np.float32(1 / 50.5)


def test_several_hash_functions_answer_with_the_largest_gap():
    estimator = StreamingFrequencyEstimator(buckets=4, hashes=2)
    estimator.gap.assign([2.0] * 4 + [8.0] * 4)
    assert estimator.probabilities(tf.constant(1)).numpy() == 0.125
    estimator.gap.assign([16.0] * 4 + [8.0] * 4)
    assert estimator.probabilities(tf.constant(1)).numpy() == 0.0625


def test_gap_too_short_to_be_true_gives_probability_one():
    estimator = StreamingFrequencyEstimator(buckets=2)
    estimator.gap.assign([0.999, 0.0])
    assert estimator.probabilities(tf.constant([0, 1, 2, 3, 4])).numpy().tolist() == [1.0] * 5


@pytest.mark.parametrize("start", [2**24 - 1, 2**24 + 1, 2**31 - 9])
def test_gaps_stay_exact_where_float32_cannot_tell_steps_apart(start):
    # alpha = 1: the gap kept is the newest one.
    estimator = StreamingFrequencyEstimator(buckets=1000, alpha=1.0)
    estimator.step.assign(start)
    for ids in ([1, 2, 3], [1], [1, 2], [1], [3]):
        estimator.update(tf.constant(ids))
    got = estimator.probabilities(tf.constant([1, 2, 3])).numpy()
    np.testing.assert_array_equal(got, np.float32([1, 1 / 2, 1 / 4]))


def test_step_beyond_int32_fails_instead_of_wrapping():
    estimator = StreamingFrequencyEstimator(buckets=10)
    estimator.step.assign(2**31 - 1)
    gap = estimator.gap.numpy()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"past step 2\^31"):
        tf.function(estimator.update)(tf.constant([1]))
    np.testing.assert_array_equal(estimator.gap, gap)


@pytest.mark.parametrize("dtype", [tf.string, tf.int32, tf.int64])
def test_empty_batch_passes_a_step_and_touches_nothing(dtype):
    estimator = StreamingFrequencyEstimator(buckets=10, hashes=2)
    gap = estimator.gap.numpy()
    tf.function(estimator.update)(tf.zeros([0], dtype))
    assert estimator.step.numpy() == 1
    np.testing.assert_array_equal(estimator.gap, gap)
    assert estimator.probabilities(tf.zeros([0], dtype)).shape == (0,)


def test_estimates_converge_to_constant_probabilities():
    # Each item is in a batch with its own probability, independently of the others.
    probabilities = np.array([0.05, 0.1, 0.5, 0.9])
    draws = np.random.default_rng(5).random((4000, 4)) < probabilities
    estimator = StreamingFrequencyEstimator(buckets=10_000, alpha=0.05)
    update = tf.function(estimator.update, input_signature=[tf.TensorSpec([None], tf.int64)])
    estimates = []
    for step, present in enumerate(draws):
        update(tf.constant(np.flatnonzero(present)))
        if step >= 2000 and step % 20 == 0:
            estimates.append(estimator.probabilities(tf.range(4)).numpy())
    np.testing.assert_allclose(np.mean(estimates, axis=0), probabilities, rtol=0.1)


def test_more_hash_functions_overestimate_less_where_items_collide():
    batches = zipf_batches(items=400, batch=32, steps=1200)
    presence = Counter(int(i) for batch in batches for i in set(batch.tolist()))
    truth = np.array([presence[i] / len(batches) for i in range(400)])
    overestimate = {}
    for hashes in (1, 4):
        estimator = StreamingFrequencyEstimator(buckets=800, hashes=hashes, alpha=0.02)
        update = tf.function(estimator.update)
        for batch in batches:
            update(tf.constant(batch))
        excess = estimator.probabilities(np.arange(400)).numpy() - truth
        overestimate[hashes] = np.maximum(excess, 0).mean()
    assert overestimate[4] < 0.5 * overestimate[1]


def test_health_statistics_describe_the_touched_buckets():
    estimator = StreamingFrequencyEstimator(buckets=1000, hashes=2, alpha=1.0, initial_gap=100.0)
    assert estimator.touched_share().numpy() == 0.0
    assert estimator.mean_gap().numpy() == 0.0
    for ids in ([0], [0], [0, 1, 2]):
        estimator.update(tf.constant(ids))
    # Newest gaps: 1 for item 0, and 3 (since step 0) for items 1 and 2; two buckets each.
    np.testing.assert_allclose(estimator.touched_share(), 6 / 2000)
    np.testing.assert_allclose(estimator.mean_gap(), (1 + 3 + 3) / 3)


def test_sketch_takes_8_bytes_a_bucket_and_trains_nothing():
    estimator = StreamingFrequencyEstimator(buckets=1000, hashes=3)
    tables = [v for v in estimator.variables if v.shape.rank == 1]
    assert sum(v.dtype.size * v.shape.num_elements() for v in tables) == 8 * 3 * 1000
    assert len(estimator.variables) == 3
    assert estimator.trainable_variables == []


def test_update_never_reads_or_makes_a_whole_table():
    size = 2 * 1237
    estimator = StreamingFrequencyEstimator(buckets=1237, hashes=2)
    for method in (estimator.update, estimator.probabilities):
        spec = tf.TensorSpec([64], tf.int64)
        graph = tf.function(method).get_concrete_function(spec).graph
        outputs = [output.shape for op in graph.get_operations() for output in op.outputs]
        assert not [shape for shape in outputs if shape.rank is None or size in shape.as_list()]


def test_same_stream_gives_the_same_bits():
    tables = []
    for _ in range(2):
        estimator = StreamingFrequencyEstimator(buckets=50, hashes=2, seed=3)
        for batch in zipf_batches(items=100, batch=64, steps=20):
            estimator.update(tf.constant(batch))
        tables.append((estimator.gap.numpy().tobytes(), estimator.last_step.numpy().tobytes()))
    assert tables[0] == tables[1]


def test_seed_chooses_the_hash_functions():
    touched = set()
    for seed in range(4):
        estimator = StreamingFrequencyEstimator(buckets=1_000_000, hashes=2, seed=seed)
        estimator.update(tf.constant([42]))
        touched |= {i % 1_000_000 for i in np.flatnonzero(estimator.last_step.numpy()).tolist()}
    assert len(touched) == 8


def test_saved_model_can_go_on_counting(tmp_path):
    estimator = StreamingFrequencyEstimator(buckets=500, alpha=0.2)
    estimator.update(tf.constant(["a"]))
    module = tf.Module()
    module.sketch = estimator
    spec = [tf.TensorSpec([None], tf.string)]
    module.update = tf.function(estimator.update, input_signature=spec)
    module.probabilities = tf.function(estimator.probabilities, input_signature=spec)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for update in (loaded.update, estimator.update):
        update(tf.constant(["a", "b"]))
    ids = tf.constant(["a", "b", "c"])
    np.testing.assert_array_equal(loaded.probabilities(ids), estimator.probabilities(ids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"buckets": 0}, "buckets must be an integer of at least 1, got 0"),
        ({"buckets": 10.5}, "buckets must be an integer of at least 1, got 10.5"),
        ({"hashes": -1}, "hashes must be an integer of at least 1, got -1"),
        ({"alpha": 0.0}, r"alpha must be in \(0, 1\], got 0.0"),
        ({"alpha": 1.5}, r"alpha must be in \(0, 1\], got 1.5"),
        ({"initial_gap": 0.5}, "initial_gap must be finite and at least 1 step, got 0.5"),
        ({"initial_gap": float("nan")}, "got nan"),
    ],
)
def test_arguments_out_of_range_are_refused_saying_what_was_given(arguments, message):
    with pytest.raises(ValueError, match=message):
        StreamingFrequencyEstimator(**({"buckets": 10} | arguments))


@pytest.mark.parametrize("module", [hashing, estimator_module])
def test_documented_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
