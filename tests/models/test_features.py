"""Tables, encoders and towers against plain NumPy."""

import itertools

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (chooses Keras 2 before TensorFlow loads)

# isort: split
import tensorflow as tf

from twotower_tf.frequency.estimator import StreamingFrequencyEstimator
from twotower_tf.graph.ragged import as_ragged
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.age import AgeEncoder
from twotower_tf.models.features.bag import BagEncoder
from twotower_tf.models.features.dense import DenseEncoder
from twotower_tf.models.features.id import IdEncoder
from twotower_tf.models.features.text import TextEncoder
from twotower_tf.models.mlp_tower import MlpTower


def _row(table: EmbeddingTable, word: str) -> np.ndarray:
    return table.embeddings.numpy()[int(table.rows(tf.constant(word)))]


def test_equal_ids_share_a_row_and_unknown_ids_never_fail():
    table = EmbeddingTable(buckets=50, dim=3)
    ids = tf.constant([["a", "b"], ["a", "never seen before ☃"]])
    rows = table.rows(ids).numpy()
    assert rows.shape == (2, 2)
    assert rows[0, 0] == rows[1, 0]
    assert ((rows >= 0) & (rows < 50)).all()
    np.testing.assert_array_equal(table(ids).numpy(), table.embeddings.numpy()[rows])


def test_vocabulary_ids_have_rows_of_their_own_and_the_rest_hash_behind_them():
    table = EmbeddingTable(buckets=4, dim=2, vocabulary=["x", "y", "z"])
    own = table.rows(tf.constant([["z", "x"], ["y", "z"]])).numpy()
    assert own[0, 0] == own[1, 1]
    assert set(own.ravel()) == {0, 1, 2}
    others = table.rows(tf.constant([f"other {n}" for n in range(100)])).numpy()
    assert set(others) == {3, 4, 5, 6}


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_ids_that_share_a_row_of_a_table_share_a_bucket_of_the_sketch_only_by_chance(seed):
    table = EmbeddingTable(buckets=64, dim=1)
    ids = np.array([f"id {n}" for n in range(12_800)])
    rows = table.rows(tf.constant(ids)).numpy()
    together = ids[rows == rows[0]]
    sketch = StreamingFrequencyEstimator(buckets=64, initial_gap=100, seed=seed)
    for _ in range(100):
        sketch.update(tf.constant(ids[:1]))
    taken_for_the_first = sketch.probabilities(tf.constant(together[1:])).numpy() > 0.015
    # About 200 ids, of which one in 64 would be.
    assert len(together) > 150
    assert taken_for_the_first.mean() < 0.1


def test_a_vocabulary_may_be_set_later_and_ids_not_in_it_keep_their_rows():
    table = EmbeddingTable(buckets=50, dim=2, vocabulary=8)
    ids = [f"id {n}" for n in range(40)] + ["", "ключ"]
    before = table.rows(tf.constant(ids)).numpy()
    assert before.min() >= 8
    table.set_vocabulary(["id 7", "ключ", "id 3", "elsewhere", ""])
    after = dict(zip(ids, table.rows(tf.constant(ids)).numpy(), strict=True))
    own = [after.pop(listed) for listed in ("id 7", "ключ", "id 3", "")]
    assert len({*own}) == 4
    assert max(own) < 5
    assert all(after[one] == row for one, row in zip(ids, before, strict=True) if one in after)
    with pytest.raises(ValueError, match="keeps rows for 8 ids, got 9"):
        table.set_vocabulary([str(n) for n in range(9)])


def test_without_buckets_ids_outside_the_vocabulary_have_the_zero_vector_and_no_gradient():
    table = EmbeddingTable(buckets=0, dim=2, vocabulary=4)
    table.set_vocabulary(["a", "b", "c"])
    ids = tf.constant([["a", "new"], ["", "b"]])
    with tf.GradientTape() as tape:
        vectors = table(ids)
        loss = tf.reduce_sum(vectors * [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    assert not vectors.numpy()[[0, 1], [1, 0]].any()
    rows = table.rows(ids).numpy()
    assert rows[0, 1] == rows[1, 0] == -1
    expected = np.zeros((4, 2))
    expected[rows[0, 0]], expected[rows[1, 1]] = [1, 2], [7, 8]
    gradient = tf.convert_to_tensor(tape.gradient(loss, table.embeddings))
    np.testing.assert_array_equal(gradient, expected)
    # In a mean a zero counts as one.
    bags = table.bags(tf.ragged.constant([["a", "new"], ["new"], []], dtype=tf.string))
    means = table.combine(bags, "mean").numpy()
    np.testing.assert_allclose(means, [vectors[0, 0] / 2, [0, 0], [0, 0]], rtol=1e-6)


def test_table_refuses_bad_sizes_and_repeated_words():
    with pytest.raises(ValueError, match="at least 1, buckets 0 with a vocabulary, got 0 and 4"):
        EmbeddingTable(buckets=0, dim=4)
    with pytest.raises(ValueError, match="twice"):
        EmbeddingTable(buckets=1, dim=4, vocabulary=["a", "a"])
    with pytest.raises(ValueError, match="twice"):
        EmbeddingTable(buckets=1, dim=4, vocabulary=9).set_vocabulary(["a", "b", "a"])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("combiner", ["mean", "sum", "sqrtn"])
@pytest.mark.parametrize("padded", [False, True])
def test_bags_combine_like_numpy_and_empty_bags_give_zeros(combiner, weighted, padded):
    table = EmbeddingTable(buckets=100, dim=4, seed=3)
    bags = [["a", "b", "a"], [], ["c"], []]
    weights = [[0.5, 2.0, 0.25], [], [3.0], []]
    expected = np.zeros((4, 4))
    for number, (words, ws) in enumerate(zip(bags, weights, strict=True)):
        w = np.array(ws) if weighted else np.ones(len(words))
        if len(words):
            total = sum(x * _row(table, word) for x, word in zip(w, words, strict=True))
            scale = {"sum": 1.0, "mean": w.sum(), "sqrtn": np.sqrt((w**2).sum())}[combiner]
            expected[number] = total / scale
    ids, ws = tf.ragged.constant(bags, dtype=tf.string), tf.ragged.constant(weights, tf.float32)
    raw = {"f": ids.to_tensor("") if padded else ids}
    raw["f_weights"] = ws.to_tensor(0.0) if padded else ws
    got = BagEncoder("f", table, combiner, weighted)(raw)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)


def test_bag_gradients_touch_only_the_rows_of_the_batch_and_equal_numpy():
    table = EmbeddingTable(buckets=100, dim=2, seed=1)
    bags = tf.ragged.constant([["a", "b"], ["a"]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(table.combine(table.bags(bags), "mean") * [[1.0, 2.0], [10.0, 20.0]])
    gradient = tape.gradient(loss, table.embeddings)
    assert isinstance(gradient, tf.IndexedSlices)
    dense = tf.convert_to_tensor(gradient).numpy()
    expected = np.zeros((100, 2))
    expected[int(table.rows(tf.constant("a")))] += [0.5 + 10, 1 + 20]
    expected[int(table.rows(tf.constant("b")))] += [0.5, 1]
    np.testing.assert_allclose(dense, expected, atol=1e-6)


def test_text_is_the_mean_of_its_lower_cased_words_and_bigrams():
    table = EmbeddingTable(buckets=1000, dim=4, seed=5)
    got = TextEncoder("title", table, ngrams=2)({"title": tf.constant(["Ünder the  SEA!", ""])})
    grams = ["ünder", "the", "sea", "ünder the", "the sea"]
    expected = np.mean([_row(table, gram) for gram in grams], axis=0)
    np.testing.assert_allclose(got.numpy()[0], expected, atol=1e-6)
    np.testing.assert_array_equal(got.numpy()[1], np.zeros(4))


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        # Vowel signs of Hindi are marks, and belong to their words.
        ("auto", "हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("words", "Cafe\u0301s, İ2", ["caf\u00e9s", "i\u03072"]),
        ("words", "東京タワー 333m", ["東京タワー", "333m"]),
        ("auto", "東京タワーへ go!", ["東", "京", "タ", "ワ", "ー", "へ", "go"]),
        ("auto", "น้ำปลา 3 ขวด", ["น้", "ำ", "ป", "ล", "า", "3", "ข", "ว", "ด"]),
        ("auto", "한국어 책", ["한국어", "책"]),
        ("characters", "Ab é1", ["a", "b", "é", "1"]),
    ],
)
def test_tokens_of_text_are_words_or_characters(tokens, text, expected):
    table = EmbeddingTable(buckets=1000, dim=4, seed=5)
    got = TextEncoder("title", table, 2, tokens)({"title": tf.constant([text])})
    grams = [*expected, *(f"{a} {b}" for a, b in itertools.pairwise(expected))]
    rows = np.mean([_row(table, gram) for gram in grams], axis=0)
    np.testing.assert_allclose(got.numpy()[0], rows, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_texts_are_the_mean_of_all_their_words_and_bigrams_none_across_two_texts(padded):
    table = EmbeddingTable(buckets=1000, dim=4, seed=5)
    lists = [["Red shoes", "für SHOES!"], [], ["!!", "one"], ["a b c", "a", "a"]]
    grams = [
        ["red", "shoes", "red shoes", "für", "shoes", "für shoes"],
        [],
        ["one"],
        ["a", "b", "c", "a b", "b c", "a", "a"],
    ]
    expected = np.zeros((4, 4))
    for number, words in enumerate(grams):
        if words:
            expected[number] = np.mean([_row(table, word) for word in words], axis=0)
    texts = tf.ragged.constant(lists, dtype=tf.string)
    encode = tf.function(TextEncoder("searches", table, ngrams=2))
    got = encode({"searches": texts.to_tensor("") if padded else texts})
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)
    nothing = tf.ragged.constant([[], []], dtype=tf.string)
    got = encode({"searches": tf.zeros([2, 0], tf.string) if padded else nothing})
    np.testing.assert_array_equal(got.numpy(), np.zeros((2, 4)))


def test_quantile_normalisation_is_the_cumulative_distribution():
    values = np.random.default_rng(0).lognormal(size=5000)
    encoder = DenseEncoder("x", powers=True)
    encoder.adapt(values)
    probes = np.array([values.min() - 1, *np.quantile(values, [0.1, 0.5, 0.93]), 1e9])
    got = encoder({"x": tf.constant(probes, tf.float32)}).numpy()
    expected = np.array([0.0, 0.1, 0.5, 0.93, 1.0])
    np.testing.assert_allclose(got[:, 0], expected, atol=2e-3)
    np.testing.assert_allclose(got[:, 1], got[:, 0] ** 2, atol=1e-6)
    np.testing.assert_allclose(got[:, 2], np.sqrt(got[:, 0]), atol=1e-6)


def test_quantile_normalisation_of_a_constant_and_of_few_values_stays_in_zero_to_one():
    for values in ([7.0], [1.0, 1.0, 2.0]):
        encoder = DenseEncoder("x")
        encoder.adapt(np.array(values))
        got = encoder({"x": tf.constant([-1.0, 1.0, 2.0, 7.0, 9.0])}).numpy()
        assert ((got >= 0) & (got <= 1)).all()
        assert (np.diff(got[:, 0]) >= 0).all()


def test_z_normalisation_and_bucketised_numbers():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    z = DenseEncoder("x", normalise="z")
    z.adapt(values)
    got = z({"x": tf.constant(values, tf.float32)}).numpy()[:, 0]
    np.testing.assert_allclose(got, (values - 3) / values.std(), atol=1e-6)
    bucketised = DenseEncoder("x", buckets=4, dim=3)
    bucketised.adapt(np.arange(101.0))
    vectors = bucketised({"x": tf.constant([-5.0, 20.0, 30.0, 80.0, 1e9])}).numpy()
    assert vectors.shape == (5, 3)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[3], vectors[4])
    assert (vectors[1] != vectors[2]).any()


def test_age_is_the_logarithm_of_one_plus_days():
    got = AgeEncoder("age")({"age": tf.constant([0.0, 1.0, 99.0])}).numpy()
    np.testing.assert_allclose(got[:, 0], np.log([1.0, 2.0, 100.0]), rtol=1e-6)


def test_tower_equals_a_numpy_forward_pass_and_has_unit_length():
    table = EmbeddingTable(buckets=20, dim=4, seed=2)
    tower = MlpTower([IdEncoder("id", table), AgeEncoder("age")], [6, 3], seed=9, name="tower")
    raw = {"id": tf.constant(["a", "b"]), "age": tf.constant([0.5, 3.0])}
    got = tower(raw).numpy()
    x = np.stack([[*_row(table, "a"), np.log(1.5)], [*_row(table, "b"), np.log(4.0)]])
    (w0, b0, w1, b1) = [v.numpy() for v in tower.trainable_variables[1:]]
    x = np.maximum(x @ w0 + b0, 0) @ w1 + b1
    np.testing.assert_allclose(got, x / np.linalg.norm(x, axis=1, keepdims=True), atol=1e-5)


def test_tower_needs_a_feature_and_a_layer():
    with pytest.raises(ValueError, match="query_tower needs at least one feature"):
        MlpTower([], [4], name="query_tower")
    with pytest.raises(ValueError, match="query_tower needs at least one layer"):
        MlpTower([AgeEncoder("age")], [], name="query_tower")


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [3], [0, 3, 0, 0, 2, 0], [5, 1], [4] * 90])
def test_padded_lists_become_ragged_and_bags_are_numbered_as_tensorflow_does_it(lengths):
    ids = [[f"i{n}" for n in range(length)] for length in lengths]
    ragged = tf.ragged.constant(ids, tf.string, ragged_rank=1, row_splits_dtype=tf.int64)
    padded = ragged.to_tensor("", shape=[None, max(lengths, default=0) + 1])
    made = as_ragged(padded)
    assert made.to_list() == tf.RaggedTensor.from_tensor(padded, padding="").to_list()
    assert as_ragged(padded[:, :0]).to_list() == [[]] * len(lengths)
    # Each bag's sum of embeddings of ones is its length, if just its values are counted in it.
    table = EmbeddingTable(buckets=50, dim=2)
    table(tf.constant(["any"]))
    table.embeddings.assign(tf.ones_like(table.embeddings))
    np.testing.assert_array_equal(table.combine(table.bags(made), "sum")[:, 0], lengths)
