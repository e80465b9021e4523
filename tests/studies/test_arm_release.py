"""Which part of a release's answer each page of a user shows."""

import types

import numpy as np

from twotower_tf.config_loader import load_config
from twotower_tf.examples.schema import RawFeature, raw_features
from twotower_tf.examples.value_types import TextList
from twotower_tf.simulator.pages import RECOMMENDED, VISIT
from twotower_tf.studies.arm_release import ArmRelease

ITEMS = 2 * RECOMMENDED + 3


def tensor(values):
    array = np.array(values, object)
    return types.SimpleNamespace(numpy=lambda: array)


class Recommender:
    """Knows users 0 and 1; its release recommends the items 0, 1, 2, ... to all."""

    def __init__(self, *signatures):
        features = raw_features(load_config("configs/demo.yaml"), "query")
        serving = {
            "items": ITEMS,
            "query_features": [raw.to_json() for raw in features],
            "more_features": [],
        }
        names = ("serving_default", *signatures)
        if signatures:
            shown = RawFeature("shown_item_ids", "shown_item_ids", "impression", TextList(None))
            serving["ranking_features"] = [shown.to_json()]
        loaded = types.SimpleNamespace(**{name: self._signature(name) for name in names})
        self.release = types.SimpleNamespace(
            read_serving=lambda: serving, load_saved_model=lambda: loaded
        )
        self.ranks = bool(signatures)
        self.asked = []

    def _signature(self, name):
        def ask(k, **inputs):
            devices = inputs["device"].tolist()
            self.asked.append((name, k, devices, inputs["seed_item_id"].tolist()))
            # One less than was asked for, as where an item is missing.
            ids = [[b"v%06d" % item for item in range(k - 1)] + [b""]] * len(devices)
            scores = np.tile(100.0 - np.arange(k), (len(devices), 1))
            answer = {"item_ids": ids, "scores": scores, "expected_watch_seconds": 7.0 * scores}
            answer["sources"] = [[b"index"] * (k - 1) + [b""]] * len(devices)
            return {name: tensor(values) for name, values in answer.items()}

        return ask

    def queries_for_users(self, user_ids):
        assert user_ids == sorted(set(user_ids))
        known = ("u00000", "u00001")
        return [{"seed_item_id": f"seed of {one}"} if one in known else None for one in user_ids]


def visits(*rows):
    made = np.zeros(len(rows), VISIT)
    for place, (user, earlier, device) in enumerate(rows):
        made[place]["user"], made[place]["earlier"] = user, earlier
        made[place]["device"] = device
    return made


def test_a_later_page_goes_on_where_the_one_before_ended():
    release = ArmRelease(Recommender())
    items, scores = release.recommend(visits((0, 1, 0), (0, 0, 0), (1, 2, 0), (2, 7, 0)))
    assert items[1].tolist() == list(range(RECOMMENDED))
    assert items[0].tolist() == list(range(RECOMMENDED, 2 * RECOMMENDED))
    # The catalogue has three more, of which the last one does not come; after that nothing is left.
    last = [2 * RECOMMENDED, 2 * RECOMMENDED + 1]
    assert items[2].tolist() == last + [-1] * (RECOMMENDED - 2)
    assert items[3].tolist() == [-1] * RECOMMENDED
    np.testing.assert_array_equal(scores, np.where(items >= 0, 100.0 - items, 0.0))


def test_users_are_asked_for_with_their_past_and_visits_with_their_device():
    recommender = Recommender()
    ArmRelease(recommender).recommend(visits((1, 0, 0), (2, 0, 3)))
    ((name, k, devices, seeds),) = recommender.asked
    assert (name, k) == ("serving_default", RECOMMENDED)
    assert devices == ["phone", "desktop"]
    assert seeds == ["seed of u00001", ""]


def test_many_visits_are_asked_for_in_batches_and_long_answers_together(monkeypatch):
    monkeypatch.setattr("twotower_tf.studies.arm_release._VISITS_AT_ONCE", 2)
    recommender = Recommender()
    rows = [(0, earlier, 0) for earlier in (1, 0, 1, 0, 0)]
    items, _ = ArmRelease(recommender).recommend(visits(*rows))
    assert [k for _, k, *_ in recommender.asked] == [
        RECOMMENDED,
        2 * RECOMMENDED,
        2 * RECOMMENDED,
    ]
    assert items[:, 0].tolist() == [RECOMMENDED, 0, RECOMMENDED, 0, 0]


def test_a_release_that_ranks_is_asked_to_and_its_retrieval_scores_are_kept():
    recommender = Recommender("recommend")
    items, scores = ArmRelease(recommender).recommend(visits((0, 0, 0)))
    assert [name for name, *_ in recommender.asked] == ["recommend"]
    np.testing.assert_array_equal(scores[0, :-1], 100.0 - items[0, :-1])
    assert items[0, :-1].tolist() == list(range(RECOMMENDED - 1))
