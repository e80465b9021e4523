"""The ranking model: its loss, what it serves, and that nothing makes it serve nonsense."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from tests.ranking_batches import ITEMS, as_lists, batch_of, catalogue, config_of, pasts
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.ranking.ranking_model import RankingModel

CLICK = {"click": {"weight": 0.5, "loss": 2.0}}
KINDS = {
    "plain": {},
    "linear": {"layers": [], "powers": False},
    "click": {"heads": CLICK},
    "mmoe": {"heads": CLICK, "bottom": {"kind": "mmoe", "experts": 3}, "churn": False},
}


def _model(**ranking) -> RankingModel:
    tf.keras.utils.set_random_seed(1)
    model = RankingModel.from_config(config_of(**ranking))
    model.item_features.set_catalogue(catalogue())
    model.adapt([batch_of(seed) for seed in range(4)])
    return model


@pytest.fixture(scope="module")
def models() -> dict[str, RankingModel]:
    """Models of several kinds that learnt a little: all their weights say something."""
    made = {name: _model(**ranking) for name, ranking in KINDS.items()}
    for model in made.values():
        _train(model, 3)
    return made


def _train(model: RankingModel, steps: int) -> None:
    step = tf.function(model.train_step, reduce_retracing=True, autograph=False)
    for seed in range(steps):
        step(batch_of(seed))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def test_clicked_impressions_weigh_their_watched_seconds_and_others_one(models):
    batch = batch_of(9)
    clicked, seconds, weight = (
        batch[name].numpy() for name in ("clicked", "watched_seconds", "weight")
    )
    for name in ("plain", "click"):
        model = models[name]
        watch, *click = (one.numpy() for one in model.logits(batch))
        each = np.where(clicked > 0, seconds * _softplus(-watch), _softplus(watch))
        expected = np.mean(weight * each)
        if click:
            each = np.where(clicked > 0, _softplus(-click[0]), _softplus(click[0]))
            expected += 2.0 * np.mean(weight * each)
        np.testing.assert_allclose(model.compute_loss(batch), expected, rtol=1e-5)


def test_with_equal_weights_a_clicked_impression_weighs_one():
    model, batch = _model(weight_by_watch_time=False), batch_of(9)
    logits, clicked = model.logits(batch)[0].numpy(), batch["clicked"].numpy()
    each = np.where(clicked > 0, _softplus(-logits), _softplus(logits))
    expected = np.mean(batch["weight"].numpy() * each)
    np.testing.assert_allclose(model.compute_loss(batch), expected, rtol=1e-5)


def test_it_starts_with_the_odds_of_all_impressions():
    batches = [batch_of(seed) for seed in range(4)]
    clicked, seconds, weight = (
        np.concatenate([batch[name].numpy() for batch in batches])
        for name in ("clicked", "watched_seconds", "weight")
    )
    watched = (weight * clicked * seconds).sum()
    for exact, ones in ((False, weight * (1 - clicked)), (True, weight)):
        bias = _model(exact_odds=exact)._heads[0].bias.numpy()
        np.testing.assert_allclose(np.exp(bias), [watched / ones.sum()], rtol=1e-5)


@pytest.mark.long
def test_it_learns_how_long_items_are_watched():
    model = _model(optimizer={"learning_rate": 0.2})
    _train(model, 200)
    found = model.predict_batch(batch_of(1000, 256)).expected_watch_seconds.numpy()
    items = batch_of(1000, 256)["item_id"].numpy()
    even = np.array([ITEMS.index(item.decode()) % 2 == 0 for item in items])
    # Of the even ones 8 of 10 were clicked, for 50 seconds; of the others, which count twice, none.
    assert np.median(found[~even]) < 0.5
    np.testing.assert_allclose(np.median(found[even]), 100, rtol=0.3)


def _requests(seed: int, users: int, candidates: int) -> tuple[dict, np.ndarray, dict]:
    rng = np.random.default_rng(seed)
    lists = as_lists(pasts(rng, users))
    query = {"history": lists.pop("history"), "device": tf.constant(["tv"] * users)}
    sources = tf.constant(rng.choice(["index", "fresh", "else"], (users, candidates)))
    impression = {
        **lists,
        "nomination_score": tf.constant(rng.random((users, candidates)), tf.float32),
        "nomination_source": sources,
        "surface": tf.constant(["home"] * users),
        "hour": tf.constant(["7"] * users),
        "weekday": tf.constant(["6"] * users),
    }
    return query, rng.choice([*ITEMS, "not there"], (users, candidates)), impression


def _features(items: np.ndarray) -> dict:
    known = catalogue()
    place = {item: n for n, item in enumerate(known.item_ids)}
    blank = {"channel": "", "length": 0.0}
    made = {"item_id": tf.constant(items)}
    for name, default in blank.items():
        values = [known.features[name][place[i]] if i in place else default for i in items]
        made[name] = tf.constant(values)
    return made


@pytest.mark.parametrize("name", KINDS)
def test_a_candidate_of_a_request_scores_as_an_impression_of_it_at_the_first_place(models, name):
    model = models[name]
    query, items, impression = _requests(5, users=3, candidates=4)
    ranked = model.scores(query, fingerprint(tf.constant(items)), impression)
    first = float(model.candidate_numbers.least("position"))
    for at in range(4):
        batch = {
            "query": query,
            "candidate": _features(items[:, at]),
            "item_id": tf.constant(items[:, at]),
            "impression": {
                key: value[:, at] if key.startswith("nomination") else value
                for key, value in impression.items()
            }
            | {"position": tf.fill([3], first)},
        }
        alone = model.predict_batch(batch)
        for got, expected in zip(ranked, alone, strict=True):
            if got is not None:
                np.testing.assert_allclose(got[:, at], expected, rtol=1e-4)


def test_the_score_is_the_product_of_what_the_heads_predict_to_their_weights(models):
    ranked = models["click"].predict_batch(batch_of(3))
    expected = ranked.expected_watch_seconds * ranked.click_probability**0.5
    np.testing.assert_allclose(ranked.score, expected, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_no_number_makes_a_score_that_is_not_finite(models, name, value):
    query, items, impression = _requests(6, users=2, candidates=3)
    for key, given in impression.items():
        if getattr(given, "dtype", None) == tf.float32:
            impression[key] = given + value
    ranked = models[name].scores(query, fingerprint(tf.constant(items)), impression)
    for part in ranked:
        assert part is None or (np.isfinite(part) & (part.numpy() > 0)).all()


def test_a_weight_that_is_not_finite_ranks_last_and_does_not_fail():
    model = _model()
    model._heads[0].bias.assign([np.nan])
    ranked = model.predict_batch(batch_of(1))
    np.testing.assert_allclose(ranked.score, np.exp(-20), rtol=1e-5)


def test_the_same_seed_and_batches_make_the_same_model():
    one, other = _model(), _model()
    for model in (one, other):
        _train(model, 2)
    one, other = ([weight.numpy() for weight in model.weights] for model in (one, other))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_graph_and_padded_lists_score_as_eager_ones(models):
    query, items, impression = _requests(7, users=2, candidates=5)
    prints = fingerprint(tf.constant(items))
    expected = models["plain"].scores(query, prints, impression).score

    def padded(values):
        lists = {k: v for k, v in values.items() if isinstance(v, tf.RaggedTensor)}
        return {**values, **{name: value.to_tensor() for name, value in lists.items()}}

    graph = tf.function(models["plain"].scores, autograph=False)
    found = graph(padded(query), prints, padded(impression)).score
    np.testing.assert_allclose(found, expected, rtol=1e-5)
