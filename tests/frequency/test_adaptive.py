"""The adaptive estimator against plain Python."""

import doctest
import math

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.frequency import adaptive, bucket
from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.frequency.estimator import StreamingFrequencyEstimator

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class NaiveAdaptive:
    """The class's definition with dictionaries and loops, in Python's float64.

    `table[k][group]` is a list of 8 places, each None or a dictionary; nothing is packed, but
    gap and weight are rounded to what their bits hold.
    """

    def __init__(self, buckets, hashes=1, alpha=0.01, initial_gap=100.0, seed=0, step=0):
        self.ways = min(8, buckets)
        self.groups = buckets // self.ways
        self.hashes, self.initial_gap, self.seed, self.step = hashes, initial_gap, seed, step
        self.heaviest = min(1 / alpha, 1008)
        self.table = [[[None] * self.ways for _ in range(self.groups)] for _ in range(hashes)]

    def address(self, item):
        def hashed(k, size):
            seed = (self.seed * (self.hashes + 1) + k) & MASK
            return splitmix64(splitmix64(item & MASK) ^ splitmix64(seed)) % size

        return [hashed(k, self.groups) for k in range(self.hashes)], 1 + hashed(self.hashes, 1023)

    def find(self, groups, tag):
        for k, group in enumerate(groups):
            for place in self.table[k][group]:
                if place is not None and place["tag"] == tag:
                    return place
        return None

    def trusted(self, place):
        if place["w"] == 0:
            return 0.0
        expected = (self.step - place["s"]) / place["g"]
        variance = 1 + expected * max(1 - 1 / place["g"], 0.05) + expected**2 / place["w"]
        surprise = (place["n"] - expected) ** 2 / variance
        return 0.0 if surprise > 9 else place["w"] / max(surprise, 1)

    def span(self, place):
        return place["w"] * place["g"] + self.step - place["s"]

    def round_gap(self, gap):
        scale = 4095 / 31
        return 2 ** (min(round(math.log2(max(gap, 1)) * scale), 4095) / scale)

    def count(self, place):
        place["n"] += 1
        trusted = self.trusted(place)
        if place["n"] == 16:
            merged = trusted + 16
            gap = (trusted * place["g"] + self.step - place["s"]) / merged
            weight = max(1, round(min(merged, self.heaviest) / self.heaviest * 63))
            place |= {"n": 0, "s": self.step, "w": weight / 63 * self.heaviest}
            place["g"] = self.round_gap(gap)
        elif place["w"] > 0 and trusted == 0:
            place |= {"w": 0.0, "g": self.round_gap(min(place["g"], self.initial_gap))}

    def score(self, place):
        if place is None:
            return -1.0
        return (place["w"] + place["n"] + 0.125) / (self.span(place) + 1)

    def guess(self, place):
        if place is None:
            return self.initial_gap
        return max(self.initial_gap, self.span(place) / (place["w"] + place["n"] + 1))

    def update(self, items):
        self.step += 1
        addresses = [self.address(item) for item in dict.fromkeys(items)]
        found = [self.find(*address) for address in addresses]
        for place in {id(place): place for place in found if place is not None}.values():
            self.count(place)
        newcomers = set()
        for (groups, tag), place in zip(addresses, found, strict=True):
            if place is None:
                lowest = [min(map(self.score, self.table[k][g])) for k, g in enumerate(groups)]
                k = lowest.index(min(lowest))
                newcomers.add((k, groups[k], tag))
        for k, group in {each[:2] for each in newcomers}:
            places = self.table[k][group]
            order = sorted(range(self.ways), key=lambda way: self.score(places[way]))
            tags = sorted(tag for *where, tag in newcomers if where == [k, group])
            for way, tag in zip(order, tags, strict=False):
                gap = self.round_gap(self.guess(places[way]))
                places[way] = {"tag": tag, "n": 0, "s": self.step, "w": 0.0, "g": gap}

    def probability(self, item):
        groups, tag = self.address(item)
        place = self.find(groups, tag)
        if place is None:
            rivals = [rival for k, group in enumerate(groups) for rival in self.table[k][group]]
            return 1 / self.guess(min(rivals, key=self.score))
        trusted, n = self.trusted(place), place["n"]
        elapsed = self.step - place["s"]
        if trusted > 0:
            return min(1, (trusted + n) / (trusted * place["g"] + elapsed))
        gap = place["g"] if place["w"] == 0 else min(place["g"], self.initial_gap)
        weight = 1 / (1 + n) ** 2
        return min(1, (n + weight) / (elapsed + weight * gap))


def zipf_batches(items: int, batch: int, steps: int, seed: int = 0) -> np.ndarray:
    weights = 1.0 / np.arange(1, items + 1)
    return np.random.default_rng(seed).choice(items, size=(steps, batch), p=weights / weights.sum())


def jumping_batches(items: int, batch: int, steps: int, seed: int = 0) -> np.ndarray:
    """As above, but half-way the most frequent items become the rarest."""
    batches = zipf_batches(items, batch, steps, seed)
    batches[steps // 2 :] = items - 1 - batches[steps // 2 :]
    return batches


def updating(estimator):
    update = tf.function(estimator.update, input_signature=[tf.TensorSpec([None], tf.int64)])
    return lambda ids: update(tf.constant(ids, tf.int64))


# ------------------------------------------------------------------------- the definition


@pytest.mark.parametrize("hashes", [1, 3])
@pytest.mark.parametrize("buckets", [1, 16, 47, 5000])
def test_equals_plain_python_with_duplicates_evictions_and_jumps(hashes, buckets):
    arguments = {"buckets": buckets, "hashes": hashes, "alpha": 0.03, "initial_gap": 20.0}
    estimator = AdaptiveFrequencyEstimator(**arguments, seed=7)
    naive = NaiveAdaptive(**arguments, seed=7)
    update = updating(estimator)
    items = np.arange(100)
    for step, batch in enumerate(jumping_batches(items=100, batch=12, steps=300)):
        update(batch)
        naive.update(batch.tolist())
        if step % 50 == 49:
            expected = [naive.probability(int(item)) for item in items]
            np.testing.assert_allclose(estimator.probabilities(items), expected, rtol=1e-4)
    assert estimator.step.numpy() == 300


@pytest.mark.parametrize("start", [2**24 + 1, 2**31 - 400])
def test_late_steps_equal_plain_python(start):
    estimator = AdaptiveFrequencyEstimator(200)
    naive = NaiveAdaptive(200, step=start)
    estimator.step.assign(start)
    update = updating(estimator)
    for batch in jumping_batches(items=40, batch=8, steps=300):
        update(batch)
        naive.update(batch.tolist())
    expected = [naive.probability(item) for item in range(40)]
    np.testing.assert_allclose(estimator.probabilities(tf.range(40)), expected, rtol=1e-4)


def test_step_beyond_int32_fails_instead_of_wrapping():
    estimator = AdaptiveFrequencyEstimator(buckets=10)
    estimator.step.assign(2**31 - 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"past step 2\^31"):
        tf.function(estimator.update)(tf.constant([1]))
    assert not estimator.word.numpy().any()


@pytest.mark.parametrize("tag", [1, 511, 512, 1023])
def test_a_packed_bucket_comes_back_within_its_rounding(tag):
    gaps = np.float32([1, 1.004, 2.5, 99, 1e6, 2**31])
    weights = np.float32([0, 1, 16, 50, 99, 100])
    sightings = np.float32([0, 1, 2, 7, 14, 15])
    packed = bucket.pack(
        tf.fill([6], tag), bucket.Bucket(sightings, weights, gaps, tf.zeros([6])), 100.0
    )
    assert bucket.tags_of(packed).numpy().tolist() == [tag] * 6
    back = bucket.unpack(packed, tf.constant([3] * 6), 100.0)
    np.testing.assert_allclose(back.gap, gaps, rtol=0.0027)
    np.testing.assert_allclose(back.weight, weights, atol=100 / 126 + 1e-5)
    np.testing.assert_array_equal(back.sightings, sightings)
    assert back.weight[0] == 0
    assert back.weight[1] > 0


# ----------------------------------------------------------------------------- the batch


def test_order_and_repetition_in_a_batch_do_not_matter():
    first, second = (AdaptiveFrequencyEstimator(buckets=24, hashes=2) for _ in range(2))
    generator = np.random.default_rng(0)
    for batch in jumping_batches(items=200, batch=64, steps=60):
        first.update(tf.constant(batch))
        second.update(tf.constant(generator.permutation(np.concatenate([batch, batch[:9]]))))
    for one, other in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_two_items_of_a_batch_get_the_same_bucket():
    estimator = AdaptiveFrequencyEstimator(buckets=8)
    estimator.update(tf.range(8))
    assert estimator.touched_share().numpy() == 1.0
    tags = bucket.tags_of(estimator.word).numpy()
    assert len(set(tags.tolist())) == 8


def test_items_that_share_group_and_tag_are_one_sighting():
    naive = NaiveAdaptive(8)
    tags = {}
    for item in range(200):
        tags.setdefault(naive.address(item)[1], []).append(item)
    twins = next(items for items in tags.values() if len(items) > 1)
    single, both = AdaptiveFrequencyEstimator(8), AdaptiveFrequencyEstimator(8)
    for _ in range(20):
        single.update(tf.constant(twins[:1]))
        both.update(tf.constant(twins))
    np.testing.assert_array_equal(single.word, both.word)
    np.testing.assert_array_equal(single.start, both.start)


def test_ids_of_any_shape_count_the_same_and_keep_their_shape():
    flat, square = (AdaptiveFrequencyEstimator(buckets=50) for _ in range(2))
    flat.update(tf.constant([1, 2, 3, 2]))
    square.update(tf.constant([[1, 2], [3, 2]]))
    np.testing.assert_array_equal(flat.word, square.word)
    assert square.probabilities(tf.constant([[[1, 2, 3]]])).shape == (1, 1, 3)
    assert square.probabilities(tf.constant(1)).shape == ()


@pytest.mark.parametrize("dtype", [tf.string, tf.int32, tf.int64])
@pytest.mark.parametrize("hashes", [1, 2])
def test_empty_batch_passes_a_step_and_touches_nothing(dtype, hashes):
    estimator = AdaptiveFrequencyEstimator(buckets=10, hashes=hashes)
    tf.function(estimator.update)(tf.zeros([0], dtype))
    assert estimator.step.numpy() == 1
    assert not estimator.word.numpy().any()
    assert estimator.probabilities(tf.zeros([0], dtype)).shape == (0,)


@pytest.mark.parametrize("ids", [tf.constant([1.5]), tf.constant([True])])
def test_what_is_neither_string_nor_integer_is_refused(ids):
    estimator = AdaptiveFrequencyEstimator(buckets=10)
    for method in (estimator.update, estimator.probabilities):
        with pytest.raises(ValueError, match="strings or integers, got"):
            method(ids)


# ------------------------------------------------------------------------- what it is for


def test_new_item_is_right_after_a_few_sightings_however_late_it_comes():
    estimator = AdaptiveFrequencyEstimator(buckets=1000)
    estimator.step.assign(100_000)
    estimates = []
    for step in range(40):
        estimator.update(tf.constant(["new"] if step % 4 == 0 else ["other"]))
        estimates.append(float(estimator.probabilities(tf.constant("new"))))
    assert estimates[0] == pytest.approx(0.01, rel=0.003)
    # Four sightings, three gaps of 4: within a factor of two; ten: within a tenth.
    assert 0.125 < estimates[12] < 0.5
    assert estimates[36] == pytest.approx(0.25, rel=0.1)


def test_silence_counts_before_the_item_is_seen_again():
    estimator = AdaptiveFrequencyEstimator(buckets=1000)
    update = updating(estimator)
    for step in range(400):
        update([1, 2] if step % 2 == 0 else [2])
    assert float(estimator.probabilities(1)) == pytest.approx(0.5, rel=0.02)
    for _ in range(200):
        update([2])
    assert float(estimator.probabilities(1)) < 0.06
    assert float(estimator.probabilities(2)) == pytest.approx(1.0, rel=0.01)


def test_estimates_of_constant_probabilities_settle_near_them():
    probabilities = np.array([0.02, 0.05, 0.1, 0.5, 0.9])
    draws = np.random.default_rng(5).random((4000, 5)) < probabilities
    estimator = AdaptiveFrequencyEstimator(buckets=10_000)
    update = updating(estimator)
    estimates = []
    for step, present in enumerate(draws):
        update(np.flatnonzero(present))
        if step >= 2000 and step % 20 == 0:
            estimates.append(estimator.probabilities(tf.range(5)).numpy())
    np.testing.assert_allclose(np.mean(estimates, axis=0), probabilities, rtol=0.1)


@pytest.mark.parametrize("buckets", [400, 3000])
def test_closer_to_the_truth_than_the_paper_in_the_same_memory(buckets):
    items, size = 2000, 64
    share = 1.0 / np.arange(1, items + 1)
    truth = 1 - (1 - share / share.sum()) ** size
    batches = zipf_batches(items, size, steps=2500)
    error = {}
    for kind in (StreamingFrequencyEstimator, AdaptiveFrequencyEstimator):
        estimator = kind(buckets, alpha=0.02)
        update = updating(estimator)
        for batch in batches:
            update(batch)
        error[kind] = np.abs(estimator.probabilities(np.arange(items)) - truth).sum()
    assert error[AdaptiveFrequencyEstimator] < 0.5 * error[StreamingFrequencyEstimator]


def test_stream_of_items_seen_once_cannot_flush_what_comes_back():
    estimator = AdaptiveFrequencyEstimator(buckets=80)
    update = updating(estimator)
    for step in range(300):
        update(np.arange(20) if step % 50 == 0 else np.arange(0))
    for step in range(1500):
        returning = np.arange(20) if step % 50 == 0 else np.arange(0)
        update(np.concatenate([returning, [1000 + 2 * step, 1001 + 2 * step]]))
    estimates = estimator.probabilities(tf.range(20)).numpy()
    assert np.median(estimates) == pytest.approx(1 / 50, rel=0.25)


# -------------------------------------------------------------------- memory, persistence


@pytest.mark.parametrize("hashes", [1, 3])
@pytest.mark.parametrize("buckets", [1000, 1007])
def test_sketch_takes_no_more_than_8_bytes_a_bucket_and_trains_nothing(buckets, hashes):
    estimator = AdaptiveFrequencyEstimator(buckets=buckets, hashes=hashes)
    tables = [v for v in estimator.variables if v.shape.rank == 1]
    taken = sum(v.dtype.size * v.shape.num_elements() for v in tables)
    assert 8 * hashes * (buckets - 7) <= taken <= 8 * hashes * buckets
    assert len(estimator.variables) == 3
    assert estimator.trainable_variables == []


@pytest.mark.parametrize("hashes", [1, 2])
def test_update_never_reads_or_makes_a_whole_table(hashes):
    estimator = AdaptiveFrequencyEstimator(buckets=1240, hashes=hashes)
    size = 1240 * hashes
    for method in (estimator.update, estimator.probabilities):
        spec = tf.TensorSpec([64], tf.int64)
        graph = tf.function(method).get_concrete_function(spec).graph
        outputs = [output.shape for op in graph.get_operations() for output in op.outputs]
        assert not [shape for shape in outputs if shape.rank and size in shape.as_list()]


def test_health_statistics_describe_the_buckets_in_use():
    estimator = AdaptiveFrequencyEstimator(buckets=1000, hashes=2)
    assert estimator.touched_share().numpy() == 0.0
    assert estimator.mean_gap().numpy() == 0.0
    update = updating(estimator)
    for _ in range(200):
        update([0, 1])
    estimator.update(tf.constant([0, 1, 2]))
    np.testing.assert_allclose(estimator.touched_share(), 3 / 2000)
    np.testing.assert_allclose(estimator.mean_gap(), (1 + 1 + 100) / 3, rtol=0.003)


def test_documented_examples_run():
    result = doctest.testmod(adaptive)
    assert result.attempted > 0
    assert result.failed == 0
