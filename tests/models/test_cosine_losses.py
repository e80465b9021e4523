"""The losses without a softmax against naive float64 loops, values and gradients."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.models.candidates import distinct_items
from twotower_tf.models.losses.batch_loss import WholeBatch
from twotower_tf.models.losses.cosine import PairwiseHinge, Pointwise
from twotower_tf.models.losses.mse_gramian import MseGramian

BATCHES = {
    "all different": ([3, 1, 4, 5, 9, 2], None),
    "duplicates": ([7, 3, 7, 7, 1, 3, 5, 7], None),
    "two items": ([7, 3, 3, 7, 7], None),
    "some rewards zero": ([7, 3, 7, 1], [0.0, 1.0, 0.5, 0.0]),
    "one example": ([5], None),
    "one item": ([5, 5, 5, 5], None),
}
MAKERS = {
    "hinge": lambda: PairwiseHinge(0.2),
    "wide hinge": lambda: PairwiseHinge(2.0),
    "2 negatives": lambda: Pointwise(2),
    "3 negatives": lambda: Pointwise(3),
    "gramian": lambda: MseGramian(dimension=6, gravity=0.7, rate=0.3),
}


def make_batch(name, seed=0, dim=6):
    items, rewards = BATCHES[name]
    random = np.random.default_rng(seed)
    positives, first = (t.numpy() for t in distinct_items(tf.constant(items)))
    u, v = random.normal(size=(len(items), dim)), random.normal(size=(len(first), dim))
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, v))
    rewards = random.uniform(0, 2, len(items)) if rewards is None else np.array(rewards)
    return u, v, positives, rewards


def value_and_gradients(loss, u, v, positives, rewards, **kwargs):
    u, v = tf.constant(u), tf.constant(v)
    with tf.GradientTape() as tape:
        tape.watch([u, v])
        value = loss(u, v, tf.constant(positives), tf.constant(rewards), **kwargs)
    gradients = tape.gradient(value, [u, v])
    return [value.numpy(), *(tf.convert_to_tensor(one).numpy() for one in gradients)]


def naive_hinge(margin, u, v, positives, rewards):
    value, grad_u, grad_v = 0.0, np.zeros_like(u), np.zeros_like(v)
    for i, own in enumerate(positives):
        for j in range(len(v)):
            violation = u[i] @ v[j] + margin - u[i] @ v[own]
            if j != own and violation > 0:
                weight = rewards[i] / len(u) / (len(v) - 1)
                value += weight * violation
                grad_u[i] += weight * (v[j] - v[own])
                grad_v[j] += weight * u[i]
                grad_v[own] -= weight * u[i]
    return value, grad_u, grad_v


def naive_pointwise(chosen, u, v, positives, rewards):
    value, grad_u, grad_v = 0.0, np.zeros_like(u), np.zeros_like(v)
    for i, own in enumerate(positives):
        negatives = chosen[i] if len(v) > 1 else []
        for j, target in [(own, 1.0), *((j, -1.0) for j in negatives)]:
            weight = rewards[i] / len(u) / (len(chosen[i]) + 1)
            error = u[i] @ v[j] - target
            value += weight * error**2
            grad_u[i] += 2 * weight * error * v[j]
            grad_v[j] += 2 * weight * error * u[i]
    return value, grad_u, grad_v


def negatives_chosen(loss, positives, items):
    """Which negatives each example has, found by the items its loss responds to."""
    chosen = []
    for i in range(len(positives)):
        counts = np.zeros(items, int)
        for j in range(items):
            # Only item j is in sight of the query: (1 + 1)^2 / (n+1) per time it is a negative.
            u, v = np.zeros((len(positives), 1)), np.zeros((items, 1))
            u[i], v[j] = 1.0, 1.0
            rewards = np.eye(len(positives))[i]
            value = value_and_gradients(loss, u, v, positives, rewards)[0]
            blank = value_and_gradients(loss, u, 0 * v, positives, rewards)[0]
            if j != positives[i]:
                counts[j] = round((value - blank) * len(positives) * (loss.negatives + 1) / 3)
            else:
                # Pulled to +1 only: never its own negative.
                assert value < blank
        chosen.append([j for j in range(items) for _ in range(counts[j])])
    return chosen


@pytest.mark.parametrize("margin", [0.2, 2.0])
@pytest.mark.parametrize("name", BATCHES)
def test_hinge_equals_the_naive_loops(name, margin):
    batch = make_batch(name)
    for got, expected in zip(
        value_and_gradients(PairwiseHinge(margin), *batch), naive_hinge(margin, *batch), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("negatives", [2, 3])
@pytest.mark.parametrize("name", BATCHES)
def test_pointwise_equals_the_naive_loops_over_the_negatives_it_chose(name, negatives):
    batch = make_batch(name)
    loss = Pointwise(negatives)
    items = len(batch[1])
    chosen = negatives_chosen(loss, batch[2], items)
    for i, own in enumerate(batch[2]):
        assert own not in chosen[i]
        assert len(chosen[i]) == (negatives if items > 1 else 0)
        assert len(set(chosen[i])) == min(negatives, items - 1)
    if items == 1:
        chosen = [[0] * negatives] * len(batch[2])
    for got, expected in zip(
        value_and_gradients(loss, *batch), naive_pointwise(chosen, *batch), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_pointwise_takes_every_other_item_about_as_often():
    loss, items = Pointwise(2), 12
    positives = np.arange(600) % items
    whole = WholeBatch.of(tf.constant(positives), tf.zeros([items]))
    chosen = loss._negatives_of(tf.constant(positives), tf.constant(items), whole).numpy()
    assert not (chosen == positives[:, None]).any()
    counts = np.bincount(chosen.ravel(), minlength=items)
    # 1200 draws from 12: 100 each, standard deviation 9.6.
    assert counts.min() > 65
    assert counts.max() < 135


def naive_gramian(batches, gravity, rate):
    """Value and gradients of the last batch, after the ones before; and both Gramians."""
    dim = batches[0][0].shape[1]
    mu, mv = np.zeros((dim, dim)), np.zeros((dim, dim))
    for n, (u, v, positives, _) in enumerate(batches, start=1):
        a = max(rate, 1 / n)
        mu = (1 - a) * mu + a * sum(np.outer(x, x) for x in u) / len(u)
        mv = (1 - a) * mv + a * sum(np.outer(v[j], v[j]) for j in positives) / len(u)
    rewards = batches[-1][3]
    value, grad_u, grad_v = gravity * np.trace(mu @ mv), np.zeros_like(u), np.zeros_like(v)
    for i, own in enumerate(positives):
        error = u[i] @ v[own] - rewards[i]
        value += error**2 / len(u)
        grad_u[i] += (2 * error * v[own] + gravity * 2 * mv @ u[i]) / len(u)
        grad_v[own] += (2 * error * u[i] + gravity * 2 * mu @ v[own]) / len(u)
    return (value, grad_u, grad_v), (mu, mv)


@pytest.mark.parametrize("name", BATCHES)
def test_gramian_loss_equals_the_naive_loops_after_several_batches(name):
    batches = [make_batch("duplicates", seed) for seed in range(5)] + [make_batch(name)]
    loss = MseGramian(dimension=6, gravity=0.7, rate=0.3)
    for batch in batches:
        got = value_and_gradients(loss, *batch, training=True)
    expected, gramians = naive_gramian(batches, 0.7, 0.3)
    for one, two in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(loss.query_gramian, gramians[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(loss.candidate_gramian, gramians[1], rtol=1e-5, atol=1e-7)


def test_gravity_of_one_batch_is_the_mean_squared_product_of_all_its_pairs():
    u, v, positives, _ = make_batch("duplicates")
    errors = np.einsum("id,id->i", u, v[positives])
    loss = MseGramian(dimension=6, gravity=1.0, rate=0.01)
    value = value_and_gradients(loss, u, v, positives, errors, training=True)[0]
    np.testing.assert_allclose(value, ((u @ v[positives].T) ** 2).mean(), rtol=1e-5)


def test_gramian_estimates_change_only_while_training_and_by_batches_with_examples():
    loss = MAKERS["gramian"]()
    batch = make_batch("duplicates")
    value_and_gradients(loss, *batch, training=False)
    empty = (np.zeros((0, 6)), np.zeros((0, 6)), np.zeros(0, np.int32), np.zeros(0))
    value_and_gradients(loss, *empty, training=True)
    assert int(loss.batches) == 0
    assert not loss.query_gramian.numpy().any()
    value_and_gradients(loss, *batch, training=True)
    before = loss.query_gramian.numpy()
    value_and_gradients(loss, *empty, training=True)
    assert int(loss.batches) == 1
    np.testing.assert_array_equal(loss.query_gramian, before)


def test_gramian_estimates_are_saved_and_not_trained(tmp_path):
    loss, restored = MAKERS["gramian"](), MAKERS["gramian"]()
    value_and_gradients(loss, *make_batch("duplicates"), training=True)
    assert loss.trainable_variables == ()
    path = tf.train.Checkpoint(loss=loss).write(str(tmp_path / "loss"))
    tf.train.Checkpoint(loss=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(restored.candidate_gramian, loss.candidate_gramian)
    assert int(restored.batches) == 1


@pytest.mark.parametrize("run", ["eagerly", "in a graph", "in a graph of known shapes"])
@pytest.mark.parametrize("items", [0, 3])
@pytest.mark.parametrize("maker", MAKERS)
def test_empty_batch_costs_nothing(maker, items, run):
    loss = MAKERS[maker]()

    def step(u, v, positives, rewards):
        with tf.GradientTape() as tape:
            tape.watch([u, v])
            value = loss(u, v, positives, rewards, training=True)
        return value, tape.gradient(value, [u, v])

    shapes = [([0, 6], tf.float32), ([items, 6], tf.float32), ([0], tf.int32), ([0], tf.float32)]
    if run == "in a graph":
        unknown = [tf.TensorSpec([None, *shape[1:]], dtype) for shape, dtype in shapes]
        step = tf.function(step, input_signature=unknown)
    elif run == "in a graph of known shapes":
        step = tf.function(step)
    value, gradients = step(*(tf.zeros(shape, dtype) for shape, dtype in shapes))
    assert value.numpy() == 0.0
    for gradient, rows in zip(gradients, (0, items), strict=True):
        assert tf.convert_to_tensor(gradient).shape == (rows, 6)
        assert not tf.convert_to_tensor(gradient).numpy().any()


@pytest.mark.parametrize("maker", ["hinge", "2 negatives"])
def test_examples_of_reward_zero_have_exactly_no_gradient(maker):
    grad_u = value_and_gradients(MAKERS[maker](), *make_batch("some rewards zero"))[1]
    assert not grad_u[[0, 3]].any()
    assert grad_u[[1, 2]].any(axis=1).all()


def test_reward_zero_is_the_target_of_the_gramian_loss():
    u, v, positives, rewards = make_batch("duplicates")
    loss = MseGramian(dimension=6, gravity=0.0, rate=0.1)
    value = value_and_gradients(loss, u, v, positives, 0 * rewards)[0]
    np.testing.assert_allclose(value, (np.einsum("id,id->i", u, v[positives]) ** 2).mean())


@pytest.mark.parametrize("maker", MAKERS)
def test_same_batch_in_a_graph_gives_the_same_bits_twice(maker):
    values = []
    for _ in range(2):
        loss = MAKERS[maker]()
        step = tf.function(lambda *batch, loss=loss: loss(*batch, training=True))
        batch = [tf.constant(part) for part in make_batch("duplicates")]
        values.append([step(*batch).numpy().tobytes() for _ in range(3)])
    assert values[0] == values[1]


@pytest.mark.parametrize("maker", ["hinge", "2 negatives", "gramian"])
def test_parts_of_a_batch_add_up_to_the_whole(maker):
    u, v, positives, rewards = make_batch("duplicates")
    counts = WholeBatch.of(tf.constant(positives), v).counts
    expected = value_and_gradients(MAKERS[maker](), u, v, positives, rewards)
    total, grad_u, grad_v = 0.0, [], 0.0
    for start, end in ((0, 3), (3, 8)):
        whole = WholeBatch(tf.constant(8), tf.constant(start), counts)
        value, *gradients = value_and_gradients(
            MAKERS[maker](), u[start:end], v, positives[start:end], rewards[start:end], whole=whole
        )
        total, grad_v = total + value, grad_v + gradients[1]
        grad_u.append(gradients[0])
    np.testing.assert_allclose(total, expected[0], rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(grad_u), expected[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(grad_v, expected[2], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairwiseHinge(0.0), "margin must be above 0 and at most 2, got 0.0"),
        (lambda: PairwiseHinge(2.1), "got 2.1"),
        (lambda: Pointwise(4), "negatives must be 2 or 3, got 4"),
        (lambda: MseGramian(0, 1.0, 0.1), "dimension must be at least 1, got 0"),
        (lambda: MseGramian(4, -1.0, 0.1), "gravity must be finite and at least 0, got -1.0"),
        (lambda: MseGramian(4, 1.0, 0.0), "rate must be in"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("maker", ["hinge", "2 negatives"])
def test_rewards_as_a_column_are_refused_instead_of_broadcast(maker):
    u, v, positives, rewards = make_batch("duplicates")
    with pytest.raises(ValueError, match="rewards must have the shape"):
        value_and_gradients(MAKERS[maker](), u, v, positives, rewards[:, None])
