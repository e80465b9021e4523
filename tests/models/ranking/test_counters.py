"""Counters of a user's past, against counting in plain Python."""

import math

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from tests.ranking_batches import ITEMS, as_lists, catalogue, channel_of, config_of, pasts
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.ranking.counters import Past, counters, days_since
from twotower_tf.models.ranking.ranking_model import RankingModel


def test_an_event_counts_where_its_key_is_the_candidates_and_it_is_no_padding():
    past = Past(
        {"item": tf.constant([[7, 8, 7, 0], [7, 0, 0, 0]])},
        {"item": tf.constant([[True, True, True, False], [False, False, False, False]])},
        tf.constant([[9.0, 2.0, 3.0, 0.0], [1.0, 0.0, 0.0, 0.0]]),
        tf.constant([[10.0, 20.0, 40.0, 0.0], [5.0, 0.0, 0.0, 0.0]]),
    )
    found = counters({"item": tf.constant([[7, 8, 0], [7, 8, 0]])}, past)
    assert found["item_count"].numpy().tolist() == [[2, 1, 0], [0, 0, 0]]
    never = math.inf
    assert found["item_days"].numpy().tolist() == [[3, 2, never], [never, never, never]]
    assert found["item_amount"].numpy().tolist() == [[50, 20, 0], [0, 0, 0]]
    assert days_since(past.days, past.counts["item"]).numpy().tolist() == [2, never]


def test_users_without_any_past_have_done_nothing():
    nothing = tf.zeros([2, 0])
    past = Past({"item": tf.zeros([2, 0], tf.int32)}, {"item": nothing > 0}, nothing, nothing)
    found = counters({"item": tf.ones([2, 3], tf.int32)}, past)
    assert not found["item_count"].numpy().any()
    assert not found["item_amount"].numpy().any()
    assert np.isposinf(found["item_days"]).all()
    assert np.isposinf(days_since(nothing, nothing > 0)).all()


def _naive(past: dict, user: int, item: str, same) -> dict[str, float]:
    """Counts what of a user's past is the same thing as an item."""
    made = {}
    watched = list(
        zip(*(past[f"history{of}"][user] for of in ("", "_days", "_dwell")), strict=True)
    )
    ours = [(days, dwell) for other, days, dwell in watched if other and same(other, item)]
    made["watched_count"] = len(ours)
    made["watched_days"] = min((days for days, _ in ours), default=math.inf)
    made["watched_amount"] = sum(dwell for _, dwell in ours)
    names = ("item_ids", "days", "clicked")
    shown = list(zip(*(past[f"shown_{of}"][user] for of in names), strict=True))
    vain = [days for other, days, clicked in shown if other and not clicked and same(other, item)]
    made["in_vain_count"] = len(vain)
    made["in_vain_days"] = min(vain, default=math.inf)
    return made


@pytest.mark.parametrize("seed", range(4))
def test_what_a_user_did_with_an_item_and_its_channel_is_what_plain_python_counts(seed):
    model = _MODEL
    rng = np.random.default_rng(seed)
    past = pasts(rng, 9)
    lists = as_lists(past)
    chosen = rng.choice([*ITEMS, "not there"], (9, 5))
    prints = fingerprint(tf.constant(chosen))
    keys = model.interactions.keys_of_items(tf.reshape(prints, [-1]))
    keys = {name: tf.reshape(values, [9, 5]) for name, values in keys.items()}
    last, found = model.interactions({"history": lists["history"]}, lists, keys)
    assert list(found) == model.interactions.names

    def same_channel(one: str, other: str) -> bool:
        return channel_of(one) == channel_of(other) != ""

    for user in range(9):
        days = [
            days
            for days, one in zip(past["history_days"][user], past["history"][user], strict=True)
            if one
        ]
        np.testing.assert_allclose(last["last_watch_days"][user], min(days, default=math.inf))
        for place, item in enumerate(chosen[user]):
            for what, same in (("item", str.__eq__), ("channel", same_channel)):
                for kind, value in _naive(past, user, item, same).items():
                    before, _, after = kind.rpartition("_")
                    got = found[f"{before}_{what}_{after}"][user, place]
                    np.testing.assert_allclose(got, value, rtol=1e-5, err_msg=f"{kind} {what}")


_MODEL = RankingModel.from_config(config_of())
_MODEL.item_features.set_catalogue(catalogue())
