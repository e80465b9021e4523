"""The simulator's truth: what it draws has the probabilities that it states."""

import dataclasses
import datetime

import numpy as np
import pytest

from tests.simulator.small import SMALL, drawn
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings

ONE_CHANNEL = dataclasses.replace(SMALL, channels=1, topics=1, videos=3000)
DAY = SMALL.start


def test_item_frequencies_approach_the_sampling_probabilities():
    settings = dataclasses.replace(
        SMALL, users=500, events_per_day=200_000, seed_share=0.8, seed_strength=0.9, days=1
    )
    simulator = Simulator(settings)
    p = simulator.sampling_probabilities(DAY)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    observed = np.bincount(drawn(simulator, DAY)["item"], minlength=len(p)) / 200_000
    # The expected total variation of that many independent draws; sessions add a little.
    noise = 0.5 * np.sum(np.sqrt(2.0 / np.pi * p * (1.0 - p) / 200_000))
    assert 0.5 * np.abs(observed - p).sum() < 2.5 * noise
    # Without the seeds' route the statement would be plainly wrong.
    unseeded = Simulator(dataclasses.replace(settings, seed_share=0.0)).sampling_probabilities(DAY)
    assert 0.5 * np.abs(observed - unseeded).sum() > 8 * noise


def test_sampling_probabilities_equal_a_walk_through_all_sessions_of_all_users():
    settings = dataclasses.replace(SMALL, users=6, videos=60, uploads_per_day=2)
    simulator = Simulator(settings)
    date = simulator.dates[1]
    published = 60 + 2 * 2
    activity = simulator._world.users.activity
    expected = np.zeros(len(simulator.item_ids))
    for row, share in enumerate(activity):
        user = f"u{row:05d}"
        unseeded = simulator.item_probabilities(user, date)
        seeded = np.zeros((len(expected), len(expected)))
        for seed in range(published):
            seeded[seed] = simulator.item_probabilities(user, date, f"v{seed:06d}")
        # A session has 1 to 9 events, alike; all but the first have a seed half of the time.
        for length in range(1, 10):
            item = unseeded
            for _ in range(length):
                expected += share / 9 / 5 * item
                item = 0.5 * unseeded + 0.5 * item @ seeded
    np.testing.assert_allclose(simulator.sampling_probabilities(date), expected, atol=1e-12)


@pytest.mark.parametrize("with_seed", [False, True])
def test_conditional_frequencies_approach_the_item_probabilities(with_seed):
    settings = dataclasses.replace(
        SMALL, users=3, videos=60, events_per_day=30_000, uploads_per_day=2, days=1
    )
    simulator = Simulator(settings)
    events = drawn(simulator, DAY)
    events = events[(events["seed"] >= 0) == with_seed]
    pairs, counts = np.unique(
        np.stack((events["user"], events["seed"])), axis=1, return_counts=True
    )
    expected, variance = np.zeros(62), np.zeros(62)
    for (user, seed), count in zip(pairs.T.tolist(), counts, strict=True):
        p = simulator.item_probabilities(f"u{user:05d}", DAY, f"v{seed:06d}" if seed >= 0 else None)
        expected += count * p
        variance += count * p * (1.0 - p)
    observed = np.bincount(events["item"], minlength=62)
    often = expected > 10
    z = ((observed - expected) / np.sqrt(variance))[often]
    assert often.sum() > 40
    assert np.abs(z).max() < 4.5
    assert 0.5 < np.mean(z**2) < 1.6


def test_a_users_frequencies_are_nearer_the_own_probabilities_than_another_users():
    settings = dataclasses.replace(SMALL, users=3, events_per_day=20_000, seed_share=0.0, days=1)
    simulator = Simulator(settings)
    events = drawn(simulator, DAY)
    observed = np.bincount(events["item"][events["user"] == 0], minlength=310)
    observed = observed / observed.sum()
    distance = [
        0.5 * np.abs(observed - simulator.item_probabilities(f"u{user:05d}", DAY)).sum()
        for user in range(3)
    ]
    assert 4 * distance[0] < min(distance[1:])


def test_a_seed_leads_to_its_neighbours_by_popularity_over_distance():
    simulator = Simulator(dataclasses.replace(ONE_CHANNEL, seed_strength=1.0))
    popularity = simulator.item_probabilities("u00000", DAY)
    for seed in (0, 17, 3005):
        p = simulator.item_probabilities("u00000", DAY, f"v{seed:06d}")
        assert p[seed] == 0.0
        assert p.sum() == pytest.approx(1.0)
        related = np.flatnonzero(p)
        ratio = np.sort(p[related] / popularity[related])[::-1]
        distance = np.repeat(np.arange(1, 11), 2)
        np.testing.assert_allclose(ratio / ratio[0], 1.0 / distance, rtol=1e-9)


def test_a_seed_among_few_videos_leads_to_the_two_beside_it():
    settings = dataclasses.replace(ONE_CHANNEL, videos=4, uploads_per_day=0, seed_strength=1.0)
    simulator = Simulator(settings)
    for seed in range(4):
        p = simulator.item_probabilities("u00000", DAY, f"v{seed:06d}")
        assert p[seed] == 0.0
        assert np.count_nonzero(p) == 2


def test_popularity_jitters_from_day_to_day_by_the_stated_amount():
    settings = dataclasses.replace(ONE_CHANNEL, freshness_boost=0.0, popularity_jitter=0.3)
    simulator = Simulator(settings)
    # With one channel a probability is proportional to the popularity of the day.
    first, second = (simulator.item_probabilities("u00000", d)[:3000] for d in simulator.dates[:2])
    assert np.std(np.log(second / first)) == pytest.approx(0.3 * np.sqrt(2), rel=0.05)


def test_freshness_fades_with_the_stated_half_life():
    settings = dataclasses.replace(
        ONE_CHANNEL, popularity_jitter=0.0, freshness_boost=8.0, freshness_half_life_days=2.0
    )
    simulator = Simulator(settings)
    p = [simulator.item_probabilities("u00000", date) for date in simulator.dates]
    upload, old = 3005, 0
    fresh = [p[day][upload] / p[day][old] for day in range(3)]
    old_boost = [1 + 8 * 0.5 ** ((300 + day) / 2) for day in range(3)]
    assert fresh[1] / fresh[0] == pytest.approx(
        (1 + 8 * 0.5**0.5) / (1 + 8) * old_boost[0] / old_boost[1]
    )
    assert fresh[2] / fresh[0] == pytest.approx((1 + 8 * 0.5) / (1 + 8), rel=1e-9)


def test_base_popularity_follows_the_stated_power_law():
    settings = dataclasses.replace(
        ONE_CHANNEL,
        videos=20_000,
        popularity_jitter=0.0,
        freshness_boost=0.0,
        popularity_exponent=0.8,
    )
    p = np.sort(Simulator(settings).sampling_probabilities(DAY))[::-1][:20_000]
    ranks = np.arange(10, 2000)
    slope = np.polyfit(np.log(ranks + 1), np.log(p[ranks]), 1)[0]
    assert slope == pytest.approx(-0.8, abs=0.05)


def test_uploads_are_watched_on_their_first_day_and_more_than_the_average_item():
    simulator = Simulator(dataclasses.replace(SMALL, uploads_per_day=50, events_per_day=20_000))
    for day, date in enumerate(simulator.dates):
        published = 300 + 50 * (day + 1)
        counts = np.bincount(drawn(simulator, date)["item"], minlength=published)
        new = counts[published - 50 :]
        assert np.mean(new > 0) > 0.9
        assert new.mean() > 1.5 * counts.mean()


def test_an_item_has_probability_zero_before_its_day():
    simulator = Simulator(SMALL)
    p = simulator.item_probabilities("u00001", simulator.dates[1])
    assert len(p) == 330
    assert np.all(p[:320] > 0)
    assert not p[320:].any()
    assert not simulator.sampling_probabilities(simulator.dates[1])[320:].any()


@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_tastes_drift_by_the_stated_share_and_stay_as_wide(drift):
    settings = dataclasses.replace(
        SMALL, users=2000, days=6, channel_share=0.0, taste_spread=2.0, taste_drift=drift
    )
    simulator = Simulator(settings)
    # The first two videos are of different topics; the rest of their odds is alike for all users.
    log_odds = []
    for date in (simulator.dates[0], simulator.dates[5]):
        pairs = [simulator.item_probabilities(f"u{user:05d}", date)[:2] for user in range(2000)]
        log_odds.append(np.log([first / second for first, second in pairs]))
    assert np.corrcoef(log_odds)[0, 1] == pytest.approx((1.0 - drift) ** 5, abs=0.04)
    assert np.std(log_odds, axis=1) == pytest.approx(2.0 * np.sqrt(2.0), rel=0.05)


def test_watch_shares_have_the_stated_mean_and_rise_with_the_taste():
    simulator = Simulator(dataclasses.replace(SMALL, events_per_day=20_000))
    events = drawn(simulator, DAY)
    expected = np.empty(len(events))
    for user in range(40):
        mine = events["user"] == user
        shares = simulator.expected_watch_shares(f"u{user:05d}", DAY)
        expected[mine] = shares[events["item"][mine]]
    share = events["watched_seconds"] / simulator._world.videos.duration[events["item"]]
    assert share.min() >= 0.0
    assert share.max() <= 1.0
    assert 0.02 < np.mean(share < 0.02) < 0.4
    for part in (expected < 0.3, (expected >= 0.3) & (expected < 0.6), expected >= 0.6):
        error = share[part].std() / np.sqrt(part.sum())
        assert abs(share[part].mean() - expected[part].mean()) < 4 * error
    assert share[expected >= 0.6].mean() > 2 * share[expected < 0.3].mean()


def test_best_items_are_those_of_the_greatest_probability():
    simulator = Simulator(SMALL)
    for seed in (None, "v000007"):
        p = simulator.item_probabilities("u00005", DAY, seed)
        best = simulator.best_items("u00005", DAY, 12, seed)
        by_hand = sorted(range(len(p)), key=lambda row: (-p[row], row))[:12]
        assert best == [simulator.item_ids[row] for row in by_hand]


def test_the_default_platform_is_skewed_and_rewards_knowing_the_user():
    settings = SimulatorSettings()
    simulator = Simulator(settings)
    yesterday, today = simulator.dates[-2:]
    events = drawn(simulator, today)
    counts = np.sort(np.bincount(events["item"]))[::-1]
    assert 0.25 < counts[:47].sum() / counts.sum() < 0.35
    popular = set(np.argsort(-np.bincount(drawn(simulator, yesterday)["item"]))[:100].tolist())
    oracle_hits = popular_hits = 0
    for event in events[::40]:
        seed = f"v{event['seed']:06d}" if event["seed"] >= 0 else None
        p = simulator.item_probabilities(f"u{event['user']:05d}", today, seed)
        oracle_hits += np.count_nonzero(p > p[event["item"]]) < 100
        popular_hits += event["item"] in popular
    assert oracle_hits > 2 * popular_hits


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.write("/nowhere", "xml"), "event_format: 'xml' given, must be one of jsonl"),
        (lambda s: s.item_probabilities("u00040", DAY), "no user has the id 'u00040'"),
        (lambda s: s.item_probabilities("u5", DAY), "no user has the id 'u5'"),
        (lambda s: s.item_probabilities("u00000", DAY, "v000310"), "no item published by 2026"),
        (lambda s: s.sampling_probabilities(datetime.date(2026, 1, 4)), "to 2026-01-03"),
        (lambda s: s.sampling_probabilities(1), "day: 1 given"),
        (lambda s: s.best_items("u00000", DAY, 311), "k: 311 given, must be from 1 to 310"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(call, message):
    with pytest.raises(ValueError, match=message):
        call(Simulator(SMALL))
