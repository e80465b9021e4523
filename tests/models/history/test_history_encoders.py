"""The history encoders against naive NumPy, one history at a time."""

import doctest

import numpy as np
import pytest
from pydantic import ValidationError

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.config.registries import HISTORY_ENCODERS
from twotower_tf.models.history import attention, gaps, mean, recency, traits
from twotower_tf.models.history.item_sequence import ItemSequence

DIM, LENGTH = 6, 5
VECTORS = np.random.default_rng(1).normal(size=(4, DIM)).astype(np.float32)
# Repeats, an empty one in the middle, one longer than what has a place of its own, an empty last.
HISTORIES = [[0, 1, 1], [], [3], [2, 0, 1, 3, 3, 2, 0], []]


# Kinds, and the same with what else is known of past events.
ENCODERS = [
    *HISTORY_ENCODERS.sections,
    *(
        f"{kind} by {what}"
        for kind in ("recency", "attention", "gru", "transformer")
        for what in ("times", "types", "dwell", "times types dwell")
    ),
]
ASKED = {"times": True, "types": ["click", "buy"], "dwell": True}


def _days(items) -> np.ndarray:
    """Seconds to years, of each history its own."""
    rng = np.random.default_rng(len(items) + 10)
    return np.sort(10 ** rng.uniform(-5, 4, size=len(items)))[::-1].astype(np.float32)


def _types(items) -> list[str]:
    """Listed ones, others, none; of each history its own."""
    known = ["buy", "", "click", "view"]
    return [known[(item + place + len(items)) % 4] for place, item in enumerate(items)]


def _dwell(items) -> np.ndarray:
    """None to days, in seconds; a negative one counts as none."""
    rng = np.random.default_rng(len(items) + 20)
    return rng.choice([-3.0, 0.0, 0.4, 1.0, 6.9, 7.0, 3e3, 4e12], len(items)).astype(np.float32)


def _sequence(histories=HISTORIES, vectors=VECTORS) -> ItemSequence:
    ragged = tf.ragged.constant(histories, tf.int32, row_splits_dtype=tf.int64)
    days, dwell = (np.concatenate([of(items) for items in histories]) for of in (_days, _dwell))
    types = [one for items in histories for one in _types(items)]
    return ItemSequence(
        tf.constant(vectors),
        ragged.values,
        ragged.row_splits,
        tf.constant(days, tf.float32),
        tf.constant(types, tf.string, [len(types)]),
        tf.constant(dwell, tf.float32),
    )


def _new_encoder(name: str):
    kind, _, asked = name.partition(" by ")
    has_length = "length" in HISTORY_ENCODERS.sections[kind].model_fields
    more = {"length": LENGTH} if has_length else {}
    more |= {key: ASKED[key] for key in asked.split()}
    section = HISTORY_ENCODERS.parse({"kind": kind, **more})
    encoder = HISTORY_ENCODERS.make(section, DIM, seed=3, name="history")
    encoder(_sequence())
    return encoder


def _encoder(name: str):
    encoder = _new_encoder(name)
    rng = np.random.default_rng(5)
    for variable in encoder.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    return encoder


def _weights(encoder, *path) -> np.ndarray:
    return next(v for v in encoder.variables if v.name.endswith("/".join(path) + ":0")).numpy()


def _has(encoder, name: str) -> bool:
    return any(v.name.endswith(f"{name}:0") for v in encoder.variables)


def _doublings(number: float) -> int:
    """The number of times that one doubles to a number, one added."""
    number, doublings = 1 + max(0.0, float(number)), 0
    while number >= 2 and doublings < 31:
        number, doublings = number / 2, doublings + 1
    return doublings


def _bucket(days: float) -> int:
    return _doublings(float(days) * 86400)


def _of_events(encoder, items, by_age: str):
    """What the encoder learnt of each event beside its item: of its age, its type, its dwell."""
    learnt = {
        by_age: [_bucket(days) for days in _days(items)],
        "by_type": [[*ASKED["types"], one].index(one) for one in _types(items)],
        "by_dwell": [_doublings(one) for one in _dwell(items)],
    }
    # Row 0 is that of types that are not listed.
    learnt["by_type"] = [(row + 1) % 3 for row in learnt["by_type"]]
    return sum(
        _weights(encoder, name)[rows] for name, rows in learnt.items() if _has(encoder, name)
    )


def _place_weights(encoder, items) -> np.ndarray:
    log_weights = _weights(encoder, "log_weights")
    back = np.minimum(np.arange(len(items))[::-1], LENGTH - 1)
    return log_weights[back] + _of_events(encoder, items, "log_weights_by_age")


def _with_events(encoder, items) -> np.ndarray:
    """The newest items' vectors, with those of what the events were if the encoder has any."""
    return (VECTORS[items] + _of_events(encoder, items, "ages"))[-LENGTH:]


def _softmax_mean(scores, vectors):
    weights = np.exp(scores - scores.max())
    return (weights / weights.sum()) @ vectors


def _naive_mean(encoder, items):
    return VECTORS[items].mean(axis=0)


def _naive_sum(encoder, items):
    return VECTORS[items].sum(axis=0)


def _naive_recency(encoder, items):
    return _softmax_mean(_place_weights(encoder, items), VECTORS[items])


def _naive_attention(encoder, items):
    kernel, bias = _weights(encoder, "hidden/kernel"), _weights(encoder, "hidden/bias")
    hidden = np.maximum(VECTORS[items] @ kernel + bias, 0)
    content = (hidden @ _weights(encoder, "score/kernel"))[:, 0] / hidden.shape[1]
    return _softmax_mean(content + _place_weights(encoder, items), VECTORS[items])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _naive_gru(encoder, items):
    kernel, recurrent, bias = (
        _weights(encoder, name) for name in ("gru_cell/kernel", "recurrent_kernel", "bias")
    )
    state = np.zeros(DIM)
    for vector in _with_events(encoder, items):
        x, h = vector @ kernel + bias[0], state @ recurrent + bias[1]
        update, reset = (_sigmoid(x[at : at + DIM] + h[at : at + DIM]) for at in (0, DIM))
        new = np.tanh(x[2 * DIM :] + reset * h[2 * DIM :])
        state = update * state + (1 - update) * new
    return state


def _layer_norm(encoder, x, name):
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    return normed * _weights(encoder, f"{name}/gamma") + _weights(encoder, f"{name}/beta")


def _naive_transformer(encoder, items):
    def dense(x, name):
        return x @ _weights(encoder, f"{name}/kernel") + _weights(encoder, f"{name}/bias")

    days = _days(items)[-LENGTH:]
    x = _with_events(encoder, items)
    items = items[-LENGTH:]
    x = x + _weights(encoder, "positions")[LENGTH - len(items) :]
    normed = _layer_norm(encoder, x, "before_attention")
    query, key, value = (dense(normed, name) for name in ("query", "key", "value"))
    mixed = np.zeros_like(x)
    for place in range(len(items)):
        scores = key[: place + 1] @ query[place] / np.sqrt(DIM)
        if _has(encoder, "by_gap"):
            gaps = [_bucket(earlier - days[place]) for earlier in days[: place + 1]]
            scores = scores + _weights(encoder, "by_gap")[gaps, 0]
        mixed[place] = _softmax_mean(scores, value[: place + 1])
    x = x + dense(mixed, "out")
    inner = np.maximum(dense(_layer_norm(encoder, x, "before_dense"), "inner"), 0)
    return (x + dense(inner, "last"))[-1]


NAIVE = {
    "mean": _naive_mean,
    "sum": _naive_sum,
    "recency": _naive_recency,
    "attention": _naive_attention,
    "gru": _naive_gru,
    "transformer": _naive_transformer,
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_equals_its_naive_definition_and_empty_histories_give_zeros(kind):
    encoder = _encoder(kind)
    got = encoder(_sequence()).numpy()
    naive = NAIVE[kind.split()[0]]
    expected = [naive(encoder, items) if items else np.zeros(DIM) for items in HISTORIES]
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", [name for name in ENCODERS if " by " in name])
def test_an_encoder_that_knows_more_of_events_starts_as_the_one_that_does_not(kind):
    plain, knowing = (_new_encoder(name)(_sequence()) for name in (kind.split()[0], kind))
    np.testing.assert_array_equal(plain.numpy(), knowing.numpy())


@pytest.mark.parametrize("kind", ["mean", "sum"])
@pytest.mark.parametrize("key", ASKED)
def test_those_without_weights_take_nothing_of_events(kind, key):
    with pytest.raises(ValidationError, match=f"unknown key '{key}'.*allowed: kind"):
        HISTORY_ENCODERS.parse({"kind": kind, key: ASKED[key]})


def test_a_type_is_listed_once():
    with pytest.raises(ValidationError, match="'buy' is listed twice"):
        HISTORY_ENCODERS.parse({"kind": "recency", "types": ["buy", "click", "buy"]})


def test_a_dwell_that_is_no_number_counts_as_none():
    numbers = tf.constant([float("nan"), float("inf"), float("-inf")])
    assert gaps.doublings(numbers).numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ENCODERS)
def test_no_history_depends_on_the_others_of_its_batch(kind):
    encoder = _encoder(kind)
    together = encoder(_sequence()).numpy()
    for items, row in zip(HISTORIES, together, strict=True):
        np.testing.assert_allclose(encoder(_sequence([items])).numpy()[0], row, atol=2e-6)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_batch_of_empty_histories_gives_zeros_also_without_any_item(kind):
    encoder = _encoder(kind)
    empty = _sequence([[], []], np.zeros((0, DIM), np.float32))
    np.testing.assert_array_equal(encoder(empty).numpy(), np.zeros((2, DIM)))


@pytest.mark.parametrize("kind", ENCODERS)
def test_gradients_reach_the_items_and_every_weight(kind):
    encoder = _encoder(kind)
    vectors = tf.Variable(VECTORS)
    with tf.GradientTape() as tape:
        sequence = _sequence()._replace(vectors=tf.convert_to_tensor(vectors))
        loss = tf.reduce_sum(encoder(sequence) ** 2)
    gradients = tape.gradient(loss, [vectors, *encoder.trainable_variables])
    assert all(gradient is not None for gradient in gradients)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize("kind", ENCODERS)
def test_items_that_no_history_has_get_no_gradient_though_all_histories_are_empty(kind):
    encoder = _encoder(kind)
    vectors = tf.Variable(VECTORS)
    for _ in range(5):
        # What memory holds from before: it once came back as a gradient.
        junk = [tf.fill([len(VECTORS), DIM], 7.0) for _ in range(50)]
        del junk
        with tf.GradientTape() as tape:
            sequence = _sequence([[], [], []])._replace(vectors=tf.convert_to_tensor(vectors))
            loss = tf.reduce_sum((encoder(sequence) + 1.0) ** 2)
        gradient = tape.gradient(loss, vectors)
        assert gradient is None or not tf.convert_to_tensor(gradient).numpy().any()


@pytest.mark.parametrize("module", [attention, mean, recency, traits])
def test_the_examples_of_the_docstrings_hold(module):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed
