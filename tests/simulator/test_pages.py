"""Pages: what they show, and that clicks and watches have the probabilities that are stated."""

import dataclasses
import datetime
import json
import math
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.simulator.small import SMALL
from twotower_tf.simulator.pages import IMPRESSION, RECOMMENDED, SOURCES, examination
from twotower_tf.simulator.settings import PAGE_SIZE
from twotower_tf.simulator.simulator import Simulator
from twotower_tf.simulator.world import opinions

PAGES = dataclasses.replace(SMALL, pages_per_day=200)
MANY = dataclasses.replace(SMALL, users=1500, pages_per_day=15_000, days=1)
DAY = PAGES.start


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.readlines()


def paths_under(folder):
    return sorted(
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in os.walk(folder)
        for name in names
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    Simulator(PAGES).write(str(out))
    return out


@pytest.fixture(scope="module")
def many():
    """A simulator, and 180,000 impressions of it."""
    simulator = Simulator(MANY)
    return simulator, simulator.impressions(DAY)


def of_impressions(ask, impressions):
    """Returns what ``ask`` says of each impression's user and item, asked user by user."""
    found = np.empty(len(impressions))
    for user in np.unique(impressions["user"]):
        mine = impressions["user"] == user
        found[mine] = ask(f"u{user:05d}")[impressions["item"][mine]]
    return found


def z_score(drawn, mean, variance):
    return (np.sum(drawn) - np.sum(mean)) / math.sqrt(np.sum(variance))


def test_pages_add_clicks_and_impressions_and_change_nothing_else(written, tmp_path):
    Simulator(dataclasses.replace(PAGES, pages_per_day=0)).write(str(tmp_path))
    shown = [name for name in paths_under(written) if name.startswith("impressions")]
    assert len(shown) == 3
    assert paths_under(tmp_path) == [name for name in paths_under(written) if name not in shown]
    for name in paths_under(tmp_path):
        more, fewer = lines(written / name), lines(tmp_path / name)
        assert (more == fewer) != name.startswith("events")
        if name.startswith("events"):
            left = list(more)
            for line in fewer:
                left.remove(line)
            assert 50 < len(left) < 1000
            assert all('"seed_item_id": null' in line for line in left)


def test_same_settings_give_the_same_bytes_and_more_days_leave_earlier_ones(written, tmp_path):
    Simulator(dataclasses.replace(PAGES, days=4)).write(str(tmp_path))
    for name in paths_under(written):
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_day_of_pages_does_not_depend_on_what_was_asked_before():
    fresh, used = Simulator(PAGES), Simulator(PAGES)
    for date in reversed(used.dates):
        used.impressions(date)
    np.testing.assert_array_equal(used.impressions(DAY), fresh.impressions(DAY))


def test_impressions_have_the_promised_fields_in_every_format(written, tmp_path):
    simulator = Simulator(PAGES)
    simulator.write(str(tmp_path), "parquet")
    folder = f"impressions/dt={DAY.isoformat()}"
    rows = [json.loads(line) for line in lines(written / folder / "impressions-00000.jsonl")]
    assert pq.read_table(tmp_path / folder / "impressions-00000.parquet").to_pylist() == rows
    assert len(rows) == 200 * PAGE_SIZE
    names = "user_id item_id timestamp page_id position source score device"
    assert list(rows[0]) == names.split()
    pages = {}
    for row in rows:
        pages.setdefault(row["page_id"], []).append(row)
    assert len(pages) == 200
    for page in pages.values():
        assert [row["position"] for row in page] == list(range(PAGE_SIZE))
        assert len({row["item_id"] for row in page}) == PAGE_SIZE
        assert len({(row["user_id"], row["timestamp"], row["device"]) for row in page}) == 1
    other_day = lines(written / "impressions/dt=2026-01-02/impressions-00000.jsonl")
    assert pages.keys().isdisjoint(json.loads(line)["page_id"] for line in other_day)
    assert np.all(simulator.impressions(DAY)["item"] < 310)


def test_a_log_joined_by_user_item_and_time_has_the_clicks(written):
    simulator = Simulator(PAGES)
    midnight = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    events = {}
    for line in lines(written / f"events/dt={DAY.isoformat()}/events-00000.jsonl"):
        event = json.loads(line)
        key = event["user_id"], event["item_id"]
        events.setdefault(key, []).append((event["timestamp"], event["watched_seconds"]))
    impressions = simulator.impressions(DAY)
    clicked = impressions[impressions["clicked_at"] >= 0]
    for row in clicked:
        key = f"u{row['user']:05d}", f"v{row['item']:06d}"
        assert (row["clicked_at"], row["watched_seconds"]) in events[key]
        assert midnight + 3600 <= row["timestamp"] < row["clicked_at"] <= row["timestamp"] + 100
        assert row["clicked_at"] < midnight + 86_400
    unclicked = impressions[impressions["clicked_at"] < 0]
    assert not unclicked["watched_seconds"].any()


@pytest.mark.parametrize(("users", "pages"), [(1, 10), (40, 400), (2000, 20_000)])
def test_a_users_pages_lie_far_enough_apart_to_look_at_each(users, pages):
    settings = dataclasses.replace(PAGES, users=users, pages_per_day=pages, days=1)
    impressions = Simulator(settings).impressions(DAY)
    first = impressions[::PAGE_SIZE]
    assert np.all(np.diff(first["timestamp"]) >= 0)
    first = first[np.lexsort((first["timestamp"], first["user"]))]
    same = np.diff(first["user"]) == 0
    assert np.diff(first["timestamp"])[same].min() >= 100


def test_clicks_have_their_closed_form_at_every_position(many):
    simulator, impressions = many
    clicked = impressions["clicked_at"] >= 0
    scores = []
    for position in range(PAGE_SIZE):
        here = impressions["position"] == position
        p = of_impressions(
            lambda user, at=position: simulator.click_probabilities(user, DAY, at),
            impressions[here],
        )
        scores.append(z_score(clicked[here], p, p * (1.0 - p)))
    assert np.abs(scores).max() < 4.0
    assert 0.2 < np.mean(np.square(scores)) < 2.5


def test_clicks_have_their_closed_form_at_every_probability(many):
    simulator, impressions = many
    p = of_impressions(lambda user: simulator.click_probabilities(user, DAY), impressions)
    p = p / np.sqrt(1.0 + impressions["position"])
    clicked = impressions["clicked_at"] >= 0
    bins = np.digitize(p, np.quantile(p, np.linspace(0, 1, 11)[1:-1]))
    for number in range(10):
        here = bins == number
        assert abs(z_score(clicked[here], p[here], p[here] * (1.0 - p[here]))) < 4.0
    assert clicked[bins == 9].mean() > 10 * clicked[bins == 0].mean()


def test_watched_seconds_have_their_expectation(many):
    simulator, impressions = many
    expected = of_impressions(lambda user: simulator.expected_watch_seconds(user, DAY), impressions)
    expected = expected / np.sqrt(1.0 + impressions["position"])
    watched = impressions["watched_seconds"]
    for part in (expected < 3.0, (expected >= 3.0) & (expected < 30.0), expected >= 30.0):
        error = watched[part].std() * math.sqrt(part.sum())
        assert abs(watched[part].sum() - expected[part].sum()) < 4.0 * error


def test_a_click_follows_the_stated_law():
    simulator = Simulator(PAGES)
    world, day = simulator._world, simulator._day(DAY)
    weights, logits = world.popularity(0), world.tastes(0)
    for user, item in [(0, 0), (3, 17), (39, 309)]:
        topic = world.videos.topic[item]
        match = math.exp(logits[user, topic] - logits[user].max())
        subscribed = world.videos.channel[item] in world.users.subscriptions[user]
        opinion = opinions(PAGES, np.array([user]), np.array([item]))[0]
        logit = -4 + 2.5 * match + 0.7 * subscribed + 0.25 * math.log(weights[item]) + 0.5 * opinion
        p = 1 / (1 + math.exp(-logit))
        name = f"u{user:05d}"
        assert simulator.click_probabilities(name, DAY)[item] == pytest.approx(p, rel=1e-6)
        last = simulator.click_probabilities(name, DAY, PAGE_SIZE - 1)[item]
        assert last == pytest.approx(p / math.sqrt(PAGE_SIZE), rel=1e-6)
        seconds = p * simulator.expected_watch_shares(name, DAY)[item] * world.videos.duration[item]
        assert simulator.expected_watch_seconds(name, DAY)[item] == pytest.approx(seconds, rel=1e-6)
    assert day.published == 310
    assert not simulator.click_probabilities("u00000", DAY)[310:].any()


def test_opinions_are_standard_logistic_whatever_the_rows():
    users, items = (part.ravel() for part in np.mgrid[0:300, 0:300])
    values = opinions(PAGES, users, items).reshape(300, 300)
    assert np.mean(values) == pytest.approx(0.0, abs=0.03)
    assert np.std(values) == pytest.approx(math.pi / math.sqrt(3.0), rel=0.02)
    for axis in (0, 1):
        # Means over 300 users, or items, vary as means of 300 independent draws do.
        assert np.std(values.mean(axis=axis)) == pytest.approx(1.814 / math.sqrt(300), rel=0.15)
    assert opinions(PAGES, np.array([7]), np.array([9]))[0] == values[7, 9]
    other = opinions(dataclasses.replace(PAGES, seed=18), users, items)
    assert abs(np.corrcoef(values.ravel(), other)[0, 1]) < 0.02


def test_places_say_nothing_of_what_is_there(many):
    simulator, impressions = many
    worth = of_impressions(lambda user: simulator.expected_watch_seconds(user, DAY), impressions)
    correlation = np.corrcoef(impressions["position"], np.log(worth))[0, 1]
    assert abs(correlation) < 4.0 / math.sqrt(len(worth))
    for source in range(len(SOURCES)):
        shown = impressions["position"][impressions["source"] == source]
        if len(shown):
            assert shown.mean() == pytest.approx((PAGE_SIZE - 1) / 2, abs=0.08)


def test_each_nominator_proposes_what_its_name_says(many):
    simulator, impressions = many
    source = {name: impressions[impressions["source"] == n] for n, name in enumerate(SOURCES)}
    assert not len(source["index"])
    assert all(len(source[name]) > 0.2 * len(impressions) for name in SOURCES[1:])
    videos, users = simulator._world.videos, simulator._world.users
    shown = source["channel"]
    subscribed = users.subscriptions[shown["user"]]
    assert np.all((subscribed == videos.channel[shown["item"]][:, np.newaxis]).any(axis=1))
    expected = simulator.sampling_probabilities(DAY) * MANY.events_per_day
    popular = source["popular"]
    np.testing.assert_allclose(popular["score"], expected[popular["item"]])
    assert set(popular["item"]) <= set(np.argsort(-expected)[:200].tolist())
    age = -videos.publish_day[source["fresh"]["item"]]
    np.testing.assert_allclose(source["fresh"]["score"], 0.5**age)
    assert set(source["fresh"]["item"]) <= set(range(110, 310))


def test_a_release_fills_its_places_in_its_order_and_others_the_rest():
    simulator = Simulator(PAGES)
    day = simulator._day(DAY)
    visits = simulator._pages.visits(day)
    rng = np.random.default_rng(5)
    items = np.argsort(rng.random((200, 310)), axis=1)[:, :RECOMMENDED]
    # The first page has no release, the second half of one, the third an item twice.
    items[0] = -1
    items[1, 4:] = -1
    items[2, 1] = items[2, 0]
    scores = -np.arange(200.0 * RECOMMENDED).reshape(200, RECOMMENDED)
    impressions = simulator._pages.show(day, visits, (items, scores))
    assert impressions.dtype == IMPRESSION
    places = np.zeros(PAGE_SIZE)
    for page, wanted in enumerate(items.tolist()):
        shown = impressions[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        assert len(set(shown["item"].tolist())) == PAGE_SIZE
        ours = shown[shown["source"] == SOURCES.index("index")]
        expected = list(dict.fromkeys(item for item in wanted if item >= 0))
        assert ours["item"].tolist() == expected
        for row in ours:
            assert scores[page, wanted.index(row["item"])] == row["score"]
        places[ours["position"]] += 1
    # Nobody's places: the release is as often at each.
    assert np.all(np.abs(places / 200 - RECOMMENDED / PAGE_SIZE) < 0.14)


def test_one_position_less_is_looked_at_less():
    np.testing.assert_allclose(examination(np.arange(4)), [1.0, 0.5**0.5, 3**-0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.impressions(datetime.date(2026, 1, 9)), "to 2026-01-03"),
        (lambda s: s.click_probabilities("u00000", DAY, 12), "position: 12 given, must be from 0"),
        (lambda s: s.expected_watch_seconds("u00040", DAY), "no user has the id 'u00040'"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(call, message):
    with pytest.raises(ValueError, match=message):
        call(Simulator(PAGES))


def test_without_pages_there_are_no_impressions():
    assert not len(Simulator(dataclasses.replace(PAGES, pages_per_day=0)).impressions(DAY))
