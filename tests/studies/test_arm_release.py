"""Which part of a release's answer each page of a user shows."""

import types

import numpy as np
import tensorflow as tf

from twotower_tf.config_loader import load_config
from twotower_tf.examples.schema import raw_features
from twotower_tf.simulator.pages import RECOMMENDED, VISIT
from twotower_tf.studies.arm_release import ArmRelease

ITEMS = 2 * RECOMMENDED + 3


class Recommender:
    """Knows users 0 and 1; its release recommends the items 0, 1, 2, ... to all."""

    def __init__(self, *signatures):
        features = raw_features(load_config("configs/demo.yaml"), "query")
        serving = {
            "items": ITEMS,
            "query_features": [raw.to_json() for raw in features],
            "more_features": [],
        }
        names = signatures or ("serving_default",)
        loaded = types.SimpleNamespace(**{name: self._signature(name) for name in names})
        self.release = types.SimpleNamespace(
            read_serving=lambda: serving, load_saved_model=lambda: loaded
        )
        self.asked = []

    def _signature(self, name):
        def ask(k, **inputs):
            devices = inputs["device"].tolist()
            self.asked.append((name, k, devices, inputs["seed_item_id"].tolist()))
            # One less than was asked for, as where an item is missing.
            ids = [[b"v%06d" % item for item in range(k - 1)] + [b""]] * len(devices)
            score = "scores" if name == "serving_default" else "expected_watch_seconds"
            scores = np.tile(100.0 - np.arange(k), (len(devices), 1))
            return {"item_ids": tf.constant(ids), score: tf.constant(scores, tf.float32)}

        return ask

    def query_for_user(self, user_id):
        return {"seed_item_id": f"seed of {user_id}"}


def visits(*rows):
    made = np.zeros(len(rows), VISIT)
    for place, (user, earlier, device) in enumerate(rows):
        made[place]["user"], made[place]["earlier"] = user, earlier
        made[place]["device"] = device
    return made


def test_a_later_page_goes_on_where_the_one_before_ended():
    release = ArmRelease(Recommender())
    known = np.array([True, True, False])
    items, scores = release.recommend(visits((0, 1, 0), (0, 0, 0), (1, 2, 0), (2, 7, 0)), known)
    assert items[1].tolist() == list(range(RECOMMENDED))
    assert items[0].tolist() == list(range(RECOMMENDED, 2 * RECOMMENDED))
    # The catalogue has three more, of which the last one does not come; after that nothing is left.
    last = [2 * RECOMMENDED, 2 * RECOMMENDED + 1]
    assert items[2].tolist() == last + [-1] * (RECOMMENDED - 2)
    assert items[3].tolist() == [-1] * RECOMMENDED
    np.testing.assert_array_equal(scores, np.where(items >= 0, 100.0 - items, 0.0))


def test_users_are_asked_for_with_their_past_and_visits_with_their_device():
    recommender = Recommender()
    known = np.array([True, True, False])
    ArmRelease(recommender).recommend(visits((1, 0, 0), (2, 0, 3)), known)
    ((name, k, devices, seeds),) = recommender.asked
    assert (name, k) == ("serving_default", RECOMMENDED)
    assert devices == ["phone", "desktop"]
    assert seeds == ["seed of u00001", ""]


def test_many_visits_are_asked_for_in_batches_and_long_answers_together(monkeypatch):
    monkeypatch.setattr("twotower_tf.studies.arm_release._VISITS_AT_ONCE", 2)
    recommender = Recommender()
    rows = [(0, earlier, 0) for earlier in (1, 0, 1, 0, 0)]
    items, _ = ArmRelease(recommender).recommend(visits(*rows), np.array([True]))
    assert [k for _, k, *_ in recommender.asked] == [
        RECOMMENDED,
        2 * RECOMMENDED,
        2 * RECOMMENDED,
    ]
    assert items[:, 0].tolist() == [RECOMMENDED, 0, RECOMMENDED, 0, 0]


def test_a_release_that_ranks_is_asked_to():
    recommender = Recommender("serving_default", "recommend")
    ArmRelease(recommender).recommend(visits((0, 0, 0)), np.array([True]))
    assert recommender.asked[0][0] == "recommend"
